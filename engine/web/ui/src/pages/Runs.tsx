import { Link, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, type Schemas } from "../api/client";
import { useNow } from "../parts/Gantt";
import { ago, moment, short, took } from "../parts/format";
import { Await, Empty, Page, Panel } from "../parts/Page";
import { useParams } from "../parts/params";
import { State, toneOf, wordOf } from "../parts/State";

type Run = Schemas["RunInfo"];
const SIZE = 50;
const STATUSES = ["queued", "starting", "started", "canceling", "success", "failure", "canceled"];
const SPANS: Record<string, number> = { "1 h": 3600, "6 h": 6 * 3600, "24 h": 86400, "7 d": 7 * 86400 };

export function RunsPage() {
  const [params, change] = useParams();
  const [before, setBefore] = useState<string[]>([]);
  const filter = { status: params.status, job: params.job, tag: params.tag, origin: params.origin, step: params.step };
  const repository = api.useQuery("get", "/api/v1/repository");
  const runs = api.useQuery(
    "get", "/api/v1/runs",
    { params: { query: { ...filter, before: before.at(-1), limit: SIZE } } },
    { placeholderData: (last) => last },
  );
  const set = (name: string) => (event: { currentTarget: { value: string } }) => {
    setBefore([]);
    change({ [name]: event.currentTarget.value });
  };
  return (
    <Page title="Runs" actions={<Link className="button primary" to="/launchpad">Launch…</Link>}>
      <Timeline span={params.span ?? "6 h"} onSpan={(span) => change({ span })} />
      <div className="row" role="search">
        <select className="field" aria-label="Status" value={params.status ?? ""} onChange={set("status")}>
          <option value="">any status</option>
          <option value="queued,starting,started,canceling">going on</option>
          {STATUSES.map((status) => <option key={status} value={status}>{wordOf(status)}</option>)}
        </select>
        <select className="field" aria-label="Job" value={params.job ?? ""} onChange={set("job")}>
          <option value="">any job</option>
          {(repository.data?.jobs ?? []).map((job) => <option key={job}>{job}</option>)}
        </select>
        <Filter label="Step or asset" value={params.step} onChange={set("step")} />
        <Filter label="Tag, as NAME=VALUE" value={params.tag} onChange={set("tag")} />
        <Filter label="Asked for by" value={params.origin} onChange={set("origin")} placeholder="schedule:nightly" />
      </div>
      <Await of={runs}>
        {(of) => (
          <section className="panel inset">
            <header>
              <h2>{before.length > 0 ? "Older runs" : "Newest runs"}</h2>
              <nav className="row" aria-label="pages">
                <button type="button" className="button small" disabled={before.length === 0} onClick={() => setBefore(before.slice(0, -1))}>Newer</button>
                <button type="button" className="button small" disabled={of.length < SIZE} onClick={() => setBefore([...before, of.at(-1)!.run_id])}>Older</button>
              </nav>
            </header>
            <RunTable runs={of} />
          </section>
        )}
      </Await>
    </Page>
  );
}

function Filter({ label, value, onChange, placeholder }: { label: string; value: string | undefined; onChange: (event: { currentTarget: { value: string } }) => void; placeholder?: string }) {
  return (
    <input className="field" aria-label={label} placeholder={placeholder ?? label} defaultValue={value ?? ""} style={{ width: 170 }}
      onKeyDown={(event) => event.key === "Enter" && onChange(event)} onBlur={(event) => event.currentTarget.value !== (value ?? "") && onChange(event)} />
  );
}

export function RunTable({ runs }: { runs: Run[] }) {
  const moving = runs.some((run) => run.ended_at == null && run.started_at != null);
  const now = useNow(moving);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="runs">
      <table className="grid">
        <thead><tr><th>Run</th><th>Status</th><th>What</th><th>Steps</th><th>Made</th><th className="num">Took</th><th>By</th></tr></thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.run_id} data-run={run.run_id} data-status={run.status}>
              <td><Link to="/runs/$id" params={{ id: run.run_id }} className="mono">{short(run.run_id)}</Link></td>
              <td><State state={run.status} /></td>
              <td>
                {run.job ? <Link to="/jobs/$name" params={{ name: run.job }}>{run.job}</Link> : <code>{run.selection}</code>}
                {Object.entries(run.tags).filter(([name]) => !name.startsWith("arrowsmith/")).map(([name, value]) => <span key={name} className="chip">{name}={value}</span>)}
                {run.error && <><br /><small className="tone-failed" style={{ color: "var(--failed)" }}>{run.error.slice(0, 160)}</small></>}
              </td>
              <td><Steps of={run.steps} /></td>
              <td title={moment(run.created_at)}>{ago(run.created_at)}</td>
              <td className="num">{run.started_at != null ? took((run.ended_at ?? now) - run.started_at) : ""}</td>
              <td>{run.backfill ? <Link to="/backfills/$id" params={{ id: run.backfill }}>backfill</Link> : (run.origin ?? "command")}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {runs.length === 0 && <Empty>No run fits.</Empty>}
    </div>
  );
}

/** How many steps are in each state, as a bar. */
export function Steps({ of }: { of: Record<string, number> }) {
  const total = Object.values(of).reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const words = Object.entries(of).map(([state, count]) => `${count} ${wordOf(state)}`).join(", ");
  return (
    <span title={words} style={{ display: "flex", width: 120, height: 8, borderRadius: 4, overflow: "hidden", marginTop: 6, background: "var(--sunken)" }}>
      <span className="hidden">{words}</span>
      {Object.entries(of).map(([state, count]) => <i key={state} className={`tone-${toneOf(state)}`} style={{ width: `${(count / total) * 100}%`, background: "var(--tone)" }} />)}
    </span>
  );
}

/** All runs of the last hours, a lane a job; the table below it has the same for whoever cannot see or point. */
function Timeline({ span, onSpan }: { span: string; onSpan: (span: string) => void }) {
  const seconds = SPANS[span] ?? SPANS["6 h"]!;
  const navigate = useNavigate();
  const [now, setNow] = useState(() => Date.now() * 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() * 1000), 5000);
    return () => clearInterval(timer);
  }, []);
  const from = now - seconds * 1e6;
  // A minute more or less is the same question.
  const since = Math.floor(from / 60e6) * 60e6;
  const runs = api.useQuery("get", "/api/v1/runs", { params: { query: { since, limit: 500 } } }, { placeholderData: (last) => last });
  const lanes = new Map<string, Run[]>();
  for (const run of runs.data ?? []) {
    const lane = run.job ?? run.origin ?? "command";
    lanes.set(lane, [...(lanes.get(lane) ?? []), run]);
  }
  const at = (micros: number) => Math.min(Math.max((micros - from) / (now - from), 0), 1) * 100;
  return (
    <Panel
      inset
      title="Timeline"
      actions={Object.keys(SPANS).map((name) => <button key={name} type="button" className="button small" aria-pressed={name === span} onClick={() => onSpan(name)} style={name === span ? { background: "var(--accent-soft)" } : undefined}>{name}</button>)}
    >
      <div className="timeline" aria-hidden="true">
        <div className="timeline-axis" aria-hidden="true">
          {[0, 0.25, 0.5, 0.75, 1].map((part) => <i key={part} style={{ left: `${part * 100}%`, transform: part === 1 ? "translateX(-100%)" : part === 0 ? "none" : undefined }}>{part === 1 ? "now" : moment(from + (now - from) * part).slice(seconds > 86400 ? 0 : -8, seconds > 86400 ? -3 : undefined)}</i>)}
        </div>
        {[...lanes].slice(0, 12).map(([lane, of]) => (
          <div key={lane} className="timeline-lane">
            <span title={lane}>{lane}</span>
            <div className="timeline-track">
              {of.map((run) => {
                const begun = at(run.started_at ?? run.created_at);
                const ended = at(run.ended_at ?? now);
                return (
                  <i key={run.run_id} className={`tone-${toneOf(run.status)}`} onClick={() => void navigate({ to: "/runs/$id", params: { id: run.run_id } })}
                    style={{ left: `min(${begun}%, calc(100% - 4px))`, width: `${Math.max(ended - begun, 0)}%` }}
                    title={`${run.job ?? run.selection}: ${wordOf(run.status)}, ${ago(run.created_at)}`} />
                );
              })}
            </div>
          </div>
        ))}
        {runs.data?.length === 0 && <p className="muted">No run in this time.</p>}
      </div>
    </Panel>
  );
}
