import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { api, type Schemas } from "../../api/client";
import { Dialog } from "../../parts/Dialog";
import { bytes, count, moment, short, took } from "../../parts/format";
import { Await, Empty, Panel } from "../../parts/Page";
import { useTell } from "../../parts/Toasts";

const Plot = lazy(() => import("../../parts/Plot").then(({ Plot }) => ({ default: Plot })));
type Version = Schemas["VersionInfo"];

const rows = (n: number) => count(Math.round(n));
const size = (n: number) => bytes(Math.round(n));
const time = (n: number) => took(Math.round(n));

export function VersionsTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const [asked, setAsked] = useState<Version>();
  const tell = useTell();
  const versions = api.useQuery("get", "/api/v1/assets/{key}/versions", { params: { path: { key: asset.key }, query: { limit: 200 } } });
  const back = api.useMutation("post", "/api/v1/assets/{key}/rollback", {
    onSuccess: () => tell.done("It is current again."),
    onError: tell.failed,
  });
  return (
    <Await of={versions}>
      {(of) => (
        <div className="stack">
          {of.length > 1 && <Plots of={[...of].reverse()} />}
          <Panel inset title="Versions">
            <div className="scroll" tabIndex={0} role="region" aria-label="versions">
              <table className="grid">
                <thead><tr><th>Made</th><th>Version</th><th>Run</th><th className="num">Rows</th><th className="num">Size</th><th className="num">Took</th><th className="num">Partitions</th><th /></tr></thead>
                <tbody>
                  {of.map((version) => (
                    <tr key={version.version} data-version={version.version}>
                      <td>{moment(version.created_at)}</td>
                      <td><code title={version.version}>{short(version.version)}</code> {version.current && <span className="chip">current</span>}{version.removed && <span className="chip">removed</span>}</td>
                      <td><Link to="/runs/$id" params={{ id: version.run_id }} className="mono">{short(version.run_id)}</Link></td>
                      <td className="num">{count(version.row_count)}</td>
                      <td className="num">{bytes(version.size_bytes)}</td>
                      <td className="num">{took(version.duration_us)}</td>
                      <td className="num">{version.partitions > 0 ? count(version.partitions) : ""}</td>
                      <td>
                        {!version.removed && (
                          <span className="row" style={{ flexWrap: "nowrap", justifyContent: "flex-end" }}>
                            <Link className="button small" to="/assets/$key" params={{ key: asset.key }} search={{ tab: "data", version: version.version } as never}>Look</Link>
                            {!version.current && asset.materialized !== "append" && <button type="button" className="button small" onClick={() => setAsked(version)}>Roll back</button>}
                          </span>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {of.length === 0 && <Empty>It was never materialized.</Empty>}
            </div>
          </Panel>
          <Dialog open={asked !== undefined} onClose={() => setAsked(undefined)} title="Roll back">
            <header><h2>Roll back {asset.key}</h2></header>
            <div className="body">
              <p>Readers see the version of {moment(asked?.created_at)} from now on: {count(asked?.row_count)} rows. Nothing is computed or copied, and no version is lost.</p>
              <p className="muted">Unless the code or what it reads is also as it was, the asset counts as stale, and the next materialization replaces it.</p>
            </div>
            <footer>
              <button type="button" className="button" onClick={() => setAsked(undefined)}>Leave it</button>
              <button type="button" className="button primary" onClick={() => {
                if (asked) back.mutate({ params: { path: { key: asset.key } }, body: { version: asked.version } });
                setAsked(undefined);
              }}>Roll back</button>
            </footer>
          </Dialog>
        </div>
      )}
    </Await>
  );
}

function Plots({ of }: { of: Version[] }) {
  const at = of.map((version) => version.created_at);
  return (
    <Suspense fallback={null}>
      <div style={{ display: "grid", gap: 16, gridTemplateColumns: "repeat(auto-fit, minmax(300px, 1fr))" }}>
        <section className="panel"><div className="body"><Plot title="Rows" at={at} values={of.map((version) => version.row_count)} format={rows} /></div></section>
        <section className="panel"><div className="body"><Plot title="Size" at={at} values={of.map((version) => version.size_bytes)} format={size} /></div></section>
        <section className="panel"><div className="body"><Plot title="Duration" at={at} values={of.map((version) => version.duration_us)} format={time} /></div></section>
      </div>
    </Suspense>
  );
}
