// What stands around every page: where one can go, what is wrong with the repository, and whether it is live.
import { Link, Outlet } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api } from "./api/client";
import { useConnected, useLive } from "./api/live";
import { Palette } from "./Palette";
import { CodeFrame } from "./parts/CodeFrame";
import { plural } from "./parts/format";
import { Page } from "./parts/Page";

const ICONS: Record<string, string> = {
  Graph: "M2 4h4v3H2zM10 2h4v3h-4zM10 10h4v3h-4zM6 5.5h2v-2h2M8 5.5v6h2",
  Catalog: "M2.5 3h11M2.5 8h11M2.5 13h11",
  Launchpad: "M4 2.5 13 8l-9 5.5z",
  Runs: "M2 4h7M5 8h8M3 12h6",
  Jobs: "M2.5 5.5h11v8h-11zM6 5.5v-3h4v3",
  Automation: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5M8 5v3.4l2.3 1.4",
  Backfills: "M2.5 2.5h3v3h-3zM6.5 2.5h3v3h-3zM10.5 2.5h3v3h-3zM2.5 6.5h3v3h-3zM6.5 6.5h3v3h-3zM2.5 10.5h3v3h-3z",
  Checks: "M2.5 8.5 6 12l7.5-8",
  Query: "M3 4l4 4-4 4M8.5 12.5H13",
  Resources: "M8 2l5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6",
  Instance: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
};

function Icon({ name }: { name: string }) {
  return (
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" strokeLinecap="round" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}

const PAGES = [
  ["Graph", "/"],
  ["Catalog", "/catalog"],
  ["Launchpad", "/launchpad"],
  ["Runs", "/runs"],
  ["Backfills", "/backfills"],
  ["Checks", "/checks"],
  ["Automation", "/automation"],
  ["Jobs", "/jobs"],
  ["Query", "/query"],
  ["Resources", "/resources"],
  ["Instance", "/instance"],
] as const;

export function Shell() {
  useLive();
  const [jumps, setJumps] = useState(false);
  const repository = api.useQuery("get", "/api/v1/repository");
  const connected = useConnected();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && (event.target.matches("input, textarea, select") || event.target.isContentEditable || event.target.shadowRoot);
      if ((event.key === "k" && (event.metaKey || event.ctrlKey)) || (event.key === "/" && !typing)) {
        event.preventDefault();
        setJumps(true);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  const of = repository.data;
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to the page</a>
      <header className="top">
        <Link to="/" className="brand"><img src="/icon.svg" alt="" /><span>{of?.name ?? "Arrowsmith"}</span></Link>
        <button type="button" className="jump" onClick={() => setJumps(true)}>Jump to an asset, run, job …<kbd>Ctrl K</kbd></button>
        <span className="grow" />
        {of && !of.daemon && <span className="state tone-stale" title="What is queued waits. `arrowsmith dev` or `arrowsmith daemon run` begins it.">no daemon</span>}
        <span className={connected ? "live" : "live off"} role="status"><i aria-hidden="true" />{connected ? "live" : "not connected"}</span>
        <Theme />
      </header>
      <nav className="side" aria-label="pages">
        {PAGES.map(([name, to]) => (
          <Link key={name} to={to} activeOptions={{ exact: to === "/", includeSearch: false }} activeProps={{ className: "active", "aria-current": "page" }} title={name}>
            <Icon name={name} /><span>{name}</span>
            {name === "Runs" && <Going />}
            {name === "Checks" && <Broken />}
          </Link>
        ))}
      </nav>
      <main className="main" id="main">
        {of && of.problems.length > 0 && <Problems problems={of.problems} loaded={of.name != null} />}
        <Outlet />
      </main>
      {jumps && <Palette onClose={() => setJumps(false)} />}
    </div>
  );
}

function Problems({ problems, loaded }: { problems: React.ComponentProps<typeof CodeFrame>["problem"][]; loaded: boolean }) {
  return (
    <details className="problems" role="region" aria-label="problems of the repository" open={!loaded || undefined}>
      <summary>
        <strong>The newest files have {plural(problems.length, "problem")}.</strong>{" "}
        {loaded ? "The version before is served until they are mended." : "Nothing can be shown until they are mended."}
      </summary>
      <div>{problems.map((problem, index) => <CodeFrame key={index} problem={problem} />)}</div>
    </details>
  );
}

function Going() {
  const runs = api.useQuery("get", "/api/v1/runs", { params: { query: { status: "queued,starting,started,canceling", limit: 100 } } });
  const count = runs.data?.length ?? 0;
  return count > 0 ? <small className="count tone-running" title={`${plural(count, "run")} waiting or going on`}>{count}</small> : null;
}

function Broken() {
  const checks = api.useQuery("get", "/api/v1/checks", { params: { query: { failed: true, limit: 100 } } });
  const count = checks.data?.length ?? 0;
  return count > 0 ? <small className="count tone-check" title={`${plural(count, "check")} failed`}>{count}</small> : null;
}

function Theme() {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    // The colours of dark pages are told by the attribute alone.
    root.dataset.theme = dark ? "dark" : "light";
    window.dispatchEvent(new Event("themechange"));
  }, [dark, root]);
  const toggle = () => {
    localStorage.setItem("theme", dark ? "light" : "dark");
    setDark(!dark);
  };
  return (
    <button type="button" className="button quiet small" onClick={toggle} aria-pressed={dark} aria-label="Dark pages">
      <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
        {dark ? <path d="M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z" /> : <path d="M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM8 1.5v1.6M8 12.9v1.6M1.5 8h1.6M12.9 8h1.6M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M12.6 3.4l-1.1 1.1M4.5 11.5l-1.1 1.1" />}
      </svg>
    </button>
  );
}

export function Lost() {
  return <Page title="There is no such page"><p className="empty"><Link to="/">The graph of assets</Link></p></Page>;
}
