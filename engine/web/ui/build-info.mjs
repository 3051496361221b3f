// Says of which sources `dist` was built, so that a test without Node can tell whether it is current.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const hash = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

const walk = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? walk(path) : [path];
  });

const sources = [
  ...walk("src"),
  ...walk("public"),
  "build-info.mjs",
  "index.html",
  "licenses.mjs",
  "openapi.json",
  "package-lock.json",
  "package.json",
  "tsconfig.json",
  "vite.config.ts",
];
const outputs = walk("dist").filter((path) => path !== "dist/build-info.json");
const table = (paths) => Object.fromEntries(paths.sort().map((path) => [path, hash(path)]));

writeFileSync(
  join("dist", "build-info.json"),
  `${JSON.stringify({ sources: table(sources), outputs: table(outputs) }, null, 1)}\n`,
);
