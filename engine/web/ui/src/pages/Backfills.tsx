import { Link } from "@tanstack/react-router";
import { api } from "../api/client";
import { ago, moment, short, took } from "../parts/format";
import { Await, Empty, Page } from "../parts/Page";
import { State } from "../parts/State";

export function BackfillsPage() {
  const backfills = api.useQuery("get", "/api/v1/backfills", { params: { query: { limit: 100 } } });
  return (
    <Page title="Backfills" actions={<Link className="button primary" to="/launchpad">Start one…</Link>}>
      <Await of={backfills}>
        {(of) => (
          <section className="panel inset">
            <div className="scroll" tabIndex={0} role="region" aria-label="backfills">
              <table className="grid">
                <thead><tr><th>Backfill</th><th>Status</th><th>Selection</th><th>Partitions</th><th>Made</th><th className="num">Took</th></tr></thead>
                <tbody>
                  {of.map((one) => (
                    <tr key={one.id} data-backfill={one.id} data-status={one.status}>
                      <td><Link to="/backfills/$id" params={{ id: one.id }} className="mono">{short(one.id)}</Link></td>
                      <td><State state={one.waits ? "queued" : one.status} /></td>
                      <td><code>{one.selection}</code>{one.error && <><br /><small style={{ color: "var(--failed)" }}>{one.error}</small></>}</td>
                      <td>{Object.entries(one.target).slice(0, 4).map(([asset, set]) => <div key={asset}>{asset} {set && <code>{set.slice(0, 60)}</code>}</div>)}{Object.keys(one.target).length > 4 && <small>and {Object.keys(one.target).length - 4} more assets</small>}</td>
                      <td title={moment(one.created_at)}>{ago(one.created_at)}</td>
                      <td className="num">{one.ended_at != null && took(one.ended_at - one.created_at)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {of.length === 0 && <Empty>No backfill was ever started. The partitions of an asset and the launchpad start one.</Empty>}
            </div>
          </section>
        )}
      </Await>
    </Page>
  );
}
