// The pages through the real program on the flights project, in Debian's Chromium.
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import AxeBuilder from "@axe-core/playwright";
import { launch, logIn, ROOT, start, until } from "./server.mjs";

const FLIGHTS = join(ROOT, "examples/flights");

/** What an author, or whoever writes data, may try. */
const HOSTILE = `/* +++
description = "It says <script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> [a link](javascript:window.hacked=1) ![](http://127.0.0.1:9/x.png) **and bold**"
owners = ["team:x"]
+++ */
select '<img src=x onerror="window.hacked = 1">' as "<svg onload=window.hacked=1>", 1 as n
`;
let browser;
let server;

/** Which lines of a file stand for a failing check; nothing that is computed depends on it. */
function withFailingCheck(project) {
  const path = join(project, "assets/staging/planes.sql");
  const text = readFileSync(path, "utf8");
  const failing = text.replace("+++ */", "[checks]\nwarn = [\"range_seats\"]\nrange.seats = { max = 300 }\n+++ */");
  writeFileSync(path, failing);
  writeFileSync(join(project, "assets/hostile.sql"), HOSTILE);
  appendFileSync(join(project, "arrowsmith.toml"), `
[jobs.reports]
selection = "+group:reports"
[schedules.nightly]
cron = "30 2 * * *"
job = "reports"
`);
}

before(async () => {
  browser = await launch();
  server = await start(FLIGHTS, { prepare: withFailingCheck });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const ended = (id) => until(`the end of run ${id}`, async () => {
  const { run } = await server.get(`/runs/${id}`);
  return run.ended_at != null && run;
});

test("a session without the token is refused", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const answer = await page.goto(`${server.base}/runs`);
  assert.equal(answer.status(), 401);
  assert.equal(await page.locator("nav.side").count(), 0);
  await page.fill("#token", "not the token");
  await page.click("button");
  await page.waitForFunction(() => document.getElementById("error").textContent !== "");
  assert.equal(await page.textContent("#error"), "the token is wrong");
  await context.close();
});

test("a materialization is launched and watched while it goes on", async () => {
  const page = await logIn(browser, server);
  assert.ok(!page.url().includes("token"), "the token does not stay in the address");
  await page.goto(`${server.base}/launchpad?selection=${encodeURIComponent("+daily_summary")}`);
  await page.waitForSelector("text=steps would run");
  await page.click("button:text-is('Launch')");
  await page.waitForURL(/\/runs\/[0-9a-f-]{36}/);
  // It begins, moves and ends without anybody asking again.
  await page.waitForSelector("[data-step][data-state=running], [data-step][data-state=success]");
  await page.waitForSelector("header [data-state=success]", { timeout: 60_000 });
  await page.waitForSelector("[role=log] >> text=RUN_SUCCESS", { timeout: 10_000 }).catch(async () => {
    await page.selectOption("[aria-label='What is shown']", "events");
    await page.fill("[aria-label='Search the log']", "RUN_SUCCESS");
    await page.waitForSelector("[role=log] >> text=RUN_SUCCESS");
  });
  assert.ok((await page.locator("[data-step][data-state=success]").count()) > 3);
  await page.click("[data-step='staging.airlines']");
  await page.waitForSelector("section:has(h2:text-is('staging.airlines'))");
  assert.deepEqual(page.complaints, []);
  assert.deepEqual([...page.requested], [server.base], "nothing is asked of anybody else");
  await page.context().close();
});

test("the graph follows what happens, filters, and shows where a column comes from", async () => {
  const page = await logIn(browser, server, { viewport: { width: 1900, height: 1000 } });
  await page.goto(server.base);
  await page.waitForSelector("[data-id='staging.airlines'][data-state=fresh]");
  await page.fill("[aria-label='Filter by a selection']", "group:mar");
  await page.waitForSelector("[role=option] >> text=group:marts");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".canvas")?.dataset.nodes === "9");
  await page.fill("[aria-label='Filter by a selection']", "gruop:marts");
  await page.keyboard.press("Escape");
  await page.waitForSelector("[role=alert] >> text=did you mean");
  await page.fill("[aria-label='Filter by a selection']", "");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelector(".canvas")?.dataset.nodes === "24");
  // By keyboard alone: the tree walks to an asset, and its column is picked.
  await page.focus("[role=tree]");
  await page.keyboard.press("ArrowDown");
  await page.waitForSelector("aside.detail");
  await page.goto(`${server.base}/?asset=marts.daily_summary`);
  await page.click(".columns-list button:has-text('mean_delay')");
  await page.waitForSelector("h3 >> text=mean_delay comes from");
  assert.ok(await page.locator("aside.detail code >> text=marts.flight_facts.departure_delay").count());
  assert.ok(await page.locator(".card.dim").count(), "what is not concerned steps back");
  await page.click("button:text-is('Collapse groups')");
  await page.waitForSelector(".card.group");
  await page.context().close();
});

test("a failing check shows the rows that it does not hold for", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/checks?failed=true`);
  const card = page.locator("[data-check='range_seats']");
  await card.waitFor();
  await card.locator("[data-state=warning]").waitFor();
  assert.ok((await card.locator("[aria-label='failing rows'] tbody tr").count()) > 0);
  assert.match(await card.textContent(), /does not hold for/);
  await page.context().close();
});

test("rows are paged and sorted by their type", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/assets/staging.planes?tab=data`);
  await page.waitForSelector("[aria-label=rows] tbody tr");
  await page.click("th button:has-text('seats')");
  await page.click("th button:has-text('seats')");
  await page.waitForSelector("th[aria-sort=descending]");
  const at = await page.locator("th").allTextContents().then((all) => all.findIndex((text) => text.startsWith("seats")));
  await page.waitForFunction((at) => document.querySelector(`tbody tr td:nth-child(${at + 1})`)?.textContent === "450", at);
  await page.click("button:text-is('Next')");
  await page.waitForSelector("text=101–200");
  await page.context().close();
});

test("a run that failed goes on from where it failed", async () => {
  const path = join(server.project, "assets/marts/hourly_delays.sql");
  const good = readFileSync(path, "utf8");
  writeFileSync(path, `${good.trimEnd().replace(/;$/, "")}\n`.replace("select", "select cast('x' || origin as int) as broken,"));
  const page = await logIn(browser, server);
  try {
    await until("the broken version", async () => (await server.get("/assets/marts.hourly_delays")).columns?.some((column) => column.name === "broken"));
    const { run_id } = await server.post("/runs", { selection: "hourly_delays" });
    assert.equal((await ended(run_id)).status, "failure");
    await page.goto(`${server.base}/runs/${run_id}`);
    await page.waitForSelector("[data-step='marts.hourly_delays'][data-state=failure]");
    writeFileSync(path, good);
    await until("the mended version", async () => !(await server.get("/assets/marts.hourly_delays")).columns.some((column) => column.name === "broken"));
    await page.click("button:text-is('Re-execute from failure')");
    await page.waitForURL((url) => url.pathname.startsWith("/runs/") && !url.pathname.endsWith(run_id));
    await page.waitForSelector("header [data-state=success]", { timeout: 60_000 });
    await page.waitForSelector("text=Goes on with");
  } finally {
    writeFileSync(path, good);
    await page.context().close();
  }
});

test("partitions are dragged over the heat map and backfilled", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/assets/marts.carrier_days?tab=partitions`);
  const from = page.locator("[data-key='2013-03-01']");
  const to = page.locator("[data-key='2013-03-10']");
  await from.waitFor();
  assert.equal(await from.getAttribute("data-tone"), "missing");
  await from.hover();
  await page.mouse.down();
  await to.hover();
  await page.mouse.up();
  await page.waitForSelector("text=10 partitions");
  await page.click("button:text-is('Backfill')");
  await page.waitForURL(/\/backfills\/[0-9a-f-]{36}/);
  await page.waitForSelector("header [data-state=completed_success]", { timeout: 60_000 });
  await page.waitForSelector("[data-asset='marts.carrier_days'][data-made='10']");
  await page.waitForSelector("[data-key='2013-03-05'][data-tone=fresh]");
  assert.equal(await page.locator("[data-key='2013-03-11']").getAttribute("data-tone"), "missing");
  await page.context().close();
});

test("a sensor is turned off and on, looked at, and asks for what lands", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/automation`);
  const on = page.locator("[data-instigator='sensor:monthly_files'] [role=switch]");
  await on.waitFor();
  assert.equal(await on.getAttribute("aria-checked"), "true");
  await on.click();
  await page.waitForSelector("[data-instigator='sensor:monthly_files'] [role=switch][aria-checked=false]");
  assert.equal((await server.get("/sensors"))[0].running, false);
  await on.click();
  await page.waitForSelector("[data-instigator='sensor:monthly_files'] [role=switch][aria-checked=true]");
  await page.goto(`${server.base}/automation/sensor:monthly_files`);
  await page.waitForSelector("text=12 files are there", { timeout: 20_000 });
  const file = join(server.project, "data/flights/2013-12.csv.gz");
  mkdirSync(join(server.project, "away"), { recursive: true });
  copyFileSync(file, join(server.project, "away/2013-12.csv.gz"));
  writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(0)]));
  renameSync(join(server.project, "away/2013-12.csv.gz"), file);
  await page.click("button:text-is('Look')");
  await page.waitForSelector("text=It would ask for");
  await page.context().close();
});

test("a version is rolled back to, and readers see it again", async () => {
  const page = await logIn(browser, server);
  const { run_id } = await server.post("/runs", { selection: "staging.airlines", force: true });
  assert.equal((await ended(run_id)).status, "success");
  await page.goto(`${server.base}/assets/staging.airlines?tab=versions`);
  await page.click("button:text-is('Roll back')");
  await page.click("dialog button.primary:text-is('Roll back')");
  await page.waitForSelector("text=It is current again.");
  const versions = await server.get("/assets/staging.airlines/versions");
  assert.deepEqual(versions.map((version) => version.current), [false, true]);
  await page.context().close();
});

test("a broken file is shown on every page with its lines, and the rest stays usable", async () => {
  const path = join(server.project, "assets/reports/worst_days.sql");
  const good = readFileSync(path, "utf8");
  const page = await logIn(browser, server);
  try {
    writeFileSync(path, good.replace("flight_date", "flihgt_date"));
    for (const where of ["/catalog", "/runs", "/instance"]) {
      await page.goto(server.base + where);
      await page.waitForSelector(".problems", { timeout: 20_000 });
      await page.click(".problems summary");
      await page.waitForSelector(".frame mark >> text=flihgt_date");
      assert.match(await page.textContent(".frame .where"), /worst_days\.sql:\d+:\d+/);
    }
    await page.goto(`${server.base}/assets/staging.airlines?tab=data`);
    await page.waitForSelector("[aria-label=rows] tbody tr");
  } finally {
    writeFileSync(path, good);
  }
  await page.waitForSelector(".problems", { state: "detached", timeout: 20_000 });
  await page.context().close();
});

test("SQL is answered with rows, and a mistake with its place", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/query`);
  await page.click(".button.primary:has-text('Run')");
  await page.waitForSelector("td >> text=success");
  const editor = page.locator(".editor .cm-content");
  await editor.fill("select nme from staging.airlines");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".frame mark >> text=nme");
  assert.match(await page.textContent(".frame"), /name/);
  await editor.fill("select * from staging.airlines");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("button:text-is('CSV')")]);
  assert.match(readFileSync(await download.path(), "utf8"), /^carrier,[a-z_]+\n/);
  await page.context().close();
});

test("a wrong run config is refused while it is written, with its place", async () => {
  const page = await logIn(browser, server);
  await page.goto(`${server.base}/launchpad?job=reports`);
  const editor = page.locator("[data-label='run config'] .cm-content");
  await editor.fill('[execution]\nmax_concurrent = "many"');
  await page.waitForSelector(".frame mark >> text=many");
  await page.waitForSelector("h2 >> text=It cannot run");
  assert.ok(await page.locator("button:text-is('Launch')").isDisabled());
  await editor.fill("[execution]\nmax_concurrnt = 2");
  await page.waitForSelector(".frame >> text=max_concurrent");
  await editor.fill("[execution]\nmax_concurrent = 2");
  await page.waitForSelector("text=It fits the job.");
  await editor.press("Enter");
  await page.keyboard.type("max_");
  await page.waitForSelector("[data-label='run config'] .cm-tooltip-autocomplete >> text=max_concurrent");
  await page.context().close();
});

test("texts of others are texts: no markup, no script, no request", async () => {
  const page = await logIn(browser, server);
  const { run_id } = await server.post("/runs", { selection: "hostile" });
  assert.equal((await ended(run_id)).status, "success");
  for (const where of ["/assets/hostile", "/assets/hostile?tab=data", "/assets/hostile?tab=definition", "/?asset=hostile", "/catalog?search=hostile", `/runs/${run_id}`]) {
    await page.goto(server.base + where);
    await page.waitForTimeout(700);
    assert.equal(await page.evaluate(() => window.hacked), undefined, where);
    assert.equal(await page.locator("main img, main script, main [href^='javascript']").count(), 0, where);
  }
  await page.goto(`${server.base}/assets/hostile`);
  await page.waitForSelector(".prose strong >> text=and bold");
  await page.waitForSelector("main >> text=<svg onload=window.hacked=1>");
  assert.deepEqual(page.complaints, []);
  assert.deepEqual([...page.requested], [server.base]);
  await page.context().close();
});

test("the palette jumps by keyboard", async () => {
  const page = await logIn(browser, server);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("busiest");
  await page.waitForSelector("[role=option] >> text=reports.busiest_routes");
  await page.keyboard.press("Enter");
  await page.waitForURL(/assets\/reports\.busiest_routes/);
  await page.context().close();
});

const PLACES = ["/", "/catalog", "/launchpad", "/runs", "/runs/latest", "/backfills", "/checks", "/automation", "/automation/sensor:monthly_files", "/automation/schedule:nightly", "/jobs", "/jobs/reports", "/launchpad?job=reports", "/query", "/resources", "/instance",
  ...["overview", "data", "partitions", "versions", "checks", "lineage", "definition"].map((tab) => `/assets/staging.flights?tab=${tab}`), "/?asset=marts.daily_summary"];

for (const colorScheme of ["light", "dark"]) {
  test(`every page is accessible, ${colorScheme}`, async () => {
    const page = await logIn(browser, server, { colorScheme, reducedMotion: "reduce" });
    const found = [];
    for (const place of PLACES) {
      await page.goto(server.base + place);
      await page.waitForTimeout(900);
      const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
      for (const of of violations) found.push(`${place}: ${of.id}: ${of.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
    }
    assert.deepEqual(found, []);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
}
