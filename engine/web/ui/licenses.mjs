// Writes the licences of everything that the pages are built of into a file that is served with them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const texts = Object.entries(lock.packages)
  .filter(([path, of]) => path !== "" && !of.dev && !of.optional && existsSync(path))
  .map(([path, of]) => {
    const file = readdirSync(path).find((name) => /^licen[cs]e/i.test(name));
    const text = file ? readFileSync(`${path}/${file}`, "utf8").trim() : "";
    return `${path.replace(/^.*node_modules\//, "")} ${of.version}: ${of.license ?? "see its text"}\n\n${text}\n`;
  })
  .sort();
writeFileSync("dist/licenses.txt", texts.join(`\n${"-".repeat(80)}\n\n`));
