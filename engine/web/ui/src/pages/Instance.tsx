import { Link } from "@tanstack/react-router";
import { api } from "../api/client";
import { ago, bytes, count, moment, short } from "../parts/format";
import { Await, Empty, Page, Panel } from "../parts/Page";
import { State } from "../parts/State";

const REFETCH_MS = 15_000;

export function InstancePage() {
  const instance = api.useQuery("get", "/api/v1/instance", undefined, { refetchInterval: REFETCH_MS });
  return (
    <Page title="Instance">
      <Await of={instance}>
        {(of) => {
          const largest = Math.max(1, ...of.stored.map((one) => one.size_bytes));
          return (
            <div className="stack">
              <dl className="figures">
                <div><dt>Runs</dt><dd>{count(Object.values(of.runs).reduce((sum, n) => sum + n, 0))}</dd></div>
                <div><dt>Waiting</dt><dd>{count(of.runs.queued ?? 0)}</dd></div>
                <div><dt>Going on</dt><dd>{count((of.runs.started ?? 0) + (of.runs.starting ?? 0))}</dd></div>
                <div><dt>Failed</dt><dd>{count(of.runs.failure ?? 0)}</dd></div>
                <div><dt>Versions</dt><dd>{count(of.materializations)}</dd></div>
                <div><dt>Stored</dt><dd>{bytes(of.stored_bytes)}</dd></div>
                <div><dt>Events</dt><dd>{count(of.events)}</dd></div>
              </dl>
              <div className="columns" style={{ gridTemplateColumns: "minmax(0, 1fr) minmax(0, 1fr)" }}>
                <Panel inset title="Daemon" actions={<State state={of.duties.some((duty) => !duty.late) || of.leads ? "on" : "stopped"} />}>
                  <div className="scroll" tabIndex={0} role="region" aria-label="duties">
                    <table className="grid">
                      <thead><tr><th>Duty</th><th>Last done</th><th>Problem</th></tr></thead>
                      <tbody>{of.duties.map((duty) => <tr key={duty.duty}><td>{duty.duty}</td><td title={moment(duty.at)}>{ago(duty.at)}{duty.late && <> <State state="fail" /></>}</td><td>{duty.error}</td></tr>)}</tbody>
                    </table>
                    {of.duties.length === 0 && <Empty>No daemon has told of itself yet.</Empty>}
                  </div>
                </Panel>
                <div className="stack">
                  <Panel inset title="Queue" actions={<small>{of.max_concurrent_runs} runs at the same time</small>}>
                    {of.queue.length === 0 ? <Empty>Nothing waits.</Empty> : (
                      <table className="grid"><thead><tr><th>Run</th><th className="num">Priority</th><th>Waits since</th></tr></thead><tbody>
                        {of.queue.map((run) => <tr key={run.run_id}><td><Link to="/runs/$id" params={{ id: run.run_id }} className="mono">{short(run.run_id)}</Link></td><td className="num">{run.priority}</td><td>{ago(run.created_at)}</td></tr>)}
                      </tbody></table>
                    )}
                  </Panel>
                  <Panel inset title="Pools">
                    {of.pools.length === 0 ? <Empty>The repository has no pools.</Empty> : (
                      <table className="grid"><thead><tr><th>Pool</th><th className="num">Taken</th><th className="num">Slots</th></tr></thead><tbody>
                        {of.pools.map((pool) => <tr key={pool.name}><td>{pool.name}</td><td className="num">{pool.used}</td><td className="num">{pool.limit}</td></tr>)}
                      </tbody></table>
                    )}
                  </Panel>
                </div>
              </div>
              <Panel inset title="Storage used" actions={<small>{bytes(of.stored_bytes)} in versions that are kept</small>}>
                <table className="grid">
                  <thead><tr><th>Asset</th><th className="num">Versions</th><th className="num">Size</th><th style={{ width: "40%" }}><span className="hidden">share</span></th></tr></thead>
                  <tbody>
                    {of.stored.map((one) => (
                      <tr key={one.asset}>
                        <td><Link to="/assets/$key" params={{ key: one.asset }} search={{ tab: "versions" } as never}>{one.asset}</Link></td>
                        <td className="num">{count(one.versions)}</td>
                        <td className="num">{bytes(one.size_bytes)}</td>
                        <td><i style={{ display: "block", height: 8, marginTop: 6, borderRadius: 4, background: "var(--accent)", width: `${(one.size_bytes / largest) * 100}%`, minWidth: 2 }} /></td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                {of.stored.length === 0 && <Empty>Nothing is stored yet.</Empty>}
              </Panel>
              <Panel title="About">
                <dl className="facts">
                  <dt>Version</dt><dd>{of.version}</dd>
                  <dt>Home</dt><dd className="mono">{of.home}</dd>
                  <dt>Database</dt><dd className="mono">{of.database ?? "SQLite in the home"}, migration {of.migration}</dd>
                  <dt>This server leads</dt><dd>{of.leads ? "yes" : "no"}</dd>
                </dl>
              </Panel>
            </div>
          );
        }}
      </Await>
    </Page>
  );
}
