// "Try it out" asks the server that this page came from.
window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    supportedSubmitMethods: ["get", "head", "post", "delete"],
  });
};
