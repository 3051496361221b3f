// A server of a project of its own, through the real program, and a browser that has logged in.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const ROOT = new URL("../../../..", import.meta.url).pathname;
export const TOKEN = "0123456789abcdef0123456789abcdef";
const LIMIT_MS = 40_000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Waits until something holds, and says what did not. */
export async function until(what, holds) {
  const began = Date.now();
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() - began > LIMIT_MS) throw new Error(`${what} has not come`);
    await sleep(100);
  }
}

/** A copy of an example, or of any folder, with a server; `prepare` may change the copy before. */
export async function start(folder, { command = "dev", prepare = () => {}, args = [], copies = true } = {}) {
  const project = copies ? mkdtempSync(join(tmpdir(), "arrowsmith-ui-")) : folder;
  if (copies) cpSync(folder, project, { recursive: true, filter: (path) => !path.includes(".arrowsmith") });
  await prepare(project);
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const env = { ...process.env, ARROWSMITH_TOKEN: TOKEN };
  delete env.ARROWSMITH_HOME;
  const program = process.env.ARROWSMITH ?? join(ROOT, "target/debug/arrowsmith");
  const child = spawn(program, [command, "--no-open", "--listen", `127.0.0.1:${port}`, ...args], { cwd: project, env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
  });
  await until("the server", async () => {
    if (child.exitCode !== null) throw new Error(`the server has ended: ${said}`);
    return fetch(`${base}/health`).then((answer) => answer.ok, () => false);
  });
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
  return {
    base,
    project,
    async get(path) {
      const answer = await fetch(`${base}/api/v1${path}`, { headers });
      return answer.json();
    },
    async post(path, body = {}) {
      const answer = await fetch(`${base}/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      return answer.status === 204 ? null : answer.json();
    },
    async stop() {
      child.kill("SIGTERM");
      await Promise.race([new Promise((done) => child.once("exit", done)), sleep(5000).then(() => child.kill("SIGKILL"))]);
      if (copies) rmSync(project, { recursive: true, force: true });
    },
  };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** A page that has logged in; whatever it complains of is in `complaints`. */
export async function logIn(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS / 4);
  page.complaints = [];
  page.requested = new Set();
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) page.complaints.push(message.text());
  });
  page.on("request", (request) => page.requested.add(new URL(request.url()).origin));
  await page.goto(`${server.base}/#token=${TOKEN}`);
  await page.waitForSelector("nav.side");
  return page;
}
