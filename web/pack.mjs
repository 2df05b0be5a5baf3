// Writes what is served as C++ that holds the bytes: node pack.mjs OUTPUT.cc [DIST]
// Each file of the built dashboard, and Swagger UI beside it.
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "dist/web_assets.cc");
const dist = resolve(process.argv[3] ?? join(here, "dist"));
const types = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

function walk(folder) {
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? walk(path) : [path]))
    .sort();
}

const files = walk(dist)
  .filter((path) => types[extname(path)])
  .map((path) => ({ url: "/" + relative(dist, path).replaceAll("\\", "/"), path }));
const swagger = join(here, "node_modules/swagger-ui-dist");
for (const name of ["swagger-ui.css", "swagger-ui-bundle.js"]) {
  files.push({ url: `/swagger/${name}`, path: join(swagger, name) });
}
for (const name of ["index.html", "start.js"]) {
  files.push({ url: `/swagger/${name}`, path: join(here, "swagger", name) });
}

const text = (value) => JSON.stringify(value);
let code = `// Made by web/pack.mjs.
#include "services/web/web_assets.h"

`;
files.forEach((file, i) => {
  code += `asm(".section .rodata\\n"
    ".global gpu_telemetry_web_${i}\\n"
    ".global gpu_telemetry_web_${i}_end\\n"
    "gpu_telemetry_web_${i}:\\n"
    ".incbin \\"${file.path}\\"\\n"
    "gpu_telemetry_web_${i}_end:\\n"
    ".byte 0\\n"
    ".previous\\n");
extern "C" const char gpu_telemetry_web_${i}[];
extern "C" const char gpu_telemetry_web_${i}_end[];
`;
});
code += `
namespace gpu_telemetry::services {

std::span<const WebAsset> web_assets() {
  static const WebAsset kAssets[] = {
`;
files.forEach((file, i) => {
  const hashed = /^\/assets\/.*-[A-Za-z0-9_-]{8}\./.test(file.url);
  code += `      {${text(file.url)}, ${text(types[extname(file.path)])},
       {gpu_telemetry_web_${i}, static_cast<std::size_t>(gpu_telemetry_web_${i}_end - gpu_telemetry_web_${i})}, ${hashed}},
`;
});
code += `  };
  return kAssets;
}

}  // namespace gpu_telemetry::services
`;
writeFileSync(output, code);
