import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// `npx vite` serves the sources beside a gateway on its usual port.
export default defineConfig({
  plugins: [preact()],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
