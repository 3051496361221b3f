// Measures the web UI on a large repository: node benches/web/measure.mjs FOLDER PROGRAM
//
// Server time is that of whole answers on loopback, the median of nine; first paint is the browser's own
// `first-contentful-paint` and the moment at which the graph or list is drawn; memory is that of the page after it
// has been moved about; frames are those of a drag of two seconds.
import { start, launch, logIn, TOKEN } from "../../engine/web/ui/tests/server.mjs";

const [folder, program] = process.argv.slice(2);
process.env.ARROWSMITH = program;
const server = await start(folder, { command: "web", copies: false });
const headers = { authorization: `Bearer ${TOKEN}` };
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function time(path) {
  const times = [];
  let size = 0;
  for (let n = 0; n < 9; n++) {
    const began = performance.now();
    const answer = await fetch(`${server.base}/api/v1${path}`, { headers });
    size = (await answer.arrayBuffer()).byteLength;
    times.push(performance.now() - began);
  }
  return { first: Math.max(...times), median: median(times), size };
}

console.log("| answer | first ms | median ms | KiB |\n|---|---|---|---|");
for (const path of ["/repository", "/states", "/graph", "/graph?collapse=true", "/assets?limit=50", "/assets?sort=-rows&limit=50", "/assets?search=t0123&limit=50", "/runs?limit=50", "/runs?status=failure&limit=50", "/runs?job=nightly&limit=50", "/runs?tag=team%3Dt7&limit=50", "/runs?step=g050.t05000&limit=50", "/runs?tag=team%3Dnobody&limit=50", "/runs?since=0&limit=500", "/runs/latest", "/checks", "/backfills", "/schedules", "/instance", "/assets/g050.t05000", "/assets/g050.t05000/rows?limit=100", "/assets/g050.t05000/versions", "/selection?text=group%3Ag05&cursor=9"]) {
  const { first, median, size } = await time(path);
  console.log(`| \`${path}\` | ${first.toFixed(1)} | ${median.toFixed(1)} | ${(size / 1024).toFixed(0)} |`);
}

const browser = await launch();
console.log("\n| page | first paint ms | drawn ms | memory MB |\n|---|---|---|---|");
for (const [name, path, drawn] of [
  ["graph, groups collapsed", "/", ".canvas[data-nodes] canvas"],
  ["graph, 10,000 nodes", "/?groups=open", ".canvas[data-nodes='10001'] canvas"],
  ["catalog", "/catalog", "tr[data-asset]"],
  ["runs", "/runs", "tr[data-run]"],
  ["asset", "/assets/g050.t05000", ".figures, .facts"],
]) {
  const page = await logIn(browser, server);
  await page.goto("about:blank");
  const began = Date.now();
  await page.goto(server.base + path);
  await page.waitForSelector(drawn, { state: "attached" });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const took = Date.now() - began;
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  let frames = "";
  if (name.startsWith("graph, 10")) frames = await drag(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const heap = metrics.find((metric) => metric.name === "JSHeapUsedSize").value / 1e6;
  console.log(`| ${name} | ${paint?.toFixed(0)} | ${took} | ${heap.toFixed(0)} |${frames}`);
  await page.context().close();
}
await browser.close();
await server.stop();

/** Frames while the graph is moved for two seconds, nearer and farther. */
async function drag(page) {
  const box = await page.locator(".canvas").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.evaluate(() => {
    window.times = [];
    const tick = (at) => {
      window.times.push(at);
      window.ticking = requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  await page.mouse.move(x, y);
  await page.mouse.down();
  const until = Date.now() + 2000;
  for (let n = 0; Date.now() < until; n++) await page.mouse.move(x + Math.sin(n / 8) * 200, y + Math.cos(n / 8) * 120);
  await page.mouse.up();
  const times = await page.evaluate(() => {
    cancelAnimationFrame(window.ticking);
    return window.times;
  });
  const gaps = times.slice(1).map((at, index) => at - times[index]).sort((a, b) => a - b);
  return ` frames while it is dragged: ${(gaps.length / ((times.at(-1) - times[0]) / 1000)).toFixed(0)} a second, ${gaps[Math.floor(gaps.length * 0.95)].toFixed(0)} ms at the 95th percentile`;
}
