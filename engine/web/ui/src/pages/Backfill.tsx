import { Link, useParams as useRouteParams } from "@tanstack/react-router";
import { api, type Schemas } from "../api/client";
import { count, moment, short } from "../parts/format";
import { HeatMap } from "../parts/HeatMap";
import { Await, Page, Panel } from "../parts/Page";
import { State } from "../parts/State";
import { useTell } from "../parts/Toasts";
import { RunTable } from "./Runs";

export function BackfillPage() {
  const { id } = useRouteParams({ strict: false }) as { id: string };
  const tell = useTell();
  const detail = api.useQuery("get", "/api/v1/backfills/{id}", { params: { path: { id } } });
  const done = { onSuccess: () => void detail.refetch(), onError: tell.failed };
  const cancel = api.useMutation("post", "/api/v1/backfills/{id}/cancel", done);
  const resume = api.useMutation("post", "/api/v1/backfills/{id}/resume", done);
  const of = detail.data?.backfill;
  const ended = of?.ended_at != null;
  const left = detail.data?.assets.some((asset) => asset.made < asset.target);
  const path = { params: { path: { id } } };
  return (
    <Page
      title={`Backfill ${short(id)}`}
      lead={of && <div className="row muted"><State state={of.waits ? "queued" : of.status} /><code>{of.selection}</code><span>{moment(of.created_at)}</span></div>}
      actions={of && (ended
        ? left && <button type="button" className="button primary" disabled={resume.isPending} onClick={() => resume.mutate(path)}>Go on with what is left</button>
        : <button type="button" className="button danger" disabled={cancel.isPending || of.status === "canceling"} onClick={() => cancel.mutate(path)}>Cancel</button>)}
    >
      <Await of={detail}>
        {({ assets, runs, backfill }) => (
          <div className="stack">
            {backfill.error && <div className="notice tone-failed"><strong>It did not complete.</strong> {backfill.error}</div>}
            {assets.map((asset) => <Progress key={asset.asset} of={asset} />)}
            <Panel inset title="Runs"><RunTable runs={[...runs].reverse()} /></Panel>
          </div>
        )}
      </Await>
    </Page>
  );
}

function Progress({ of }: { of: Schemas["BackfillAsset"] }) {
  const map = api.useQuery("get", "/api/v1/assets/{key}/partitions", { params: { path: { key: of.asset } } }, { enabled: of.left !== "" || of.target > 1, retry: false });
  return (
    <section className="panel" data-asset={of.asset} data-made={of.made}>
      <header>
        <h2><Link to="/assets/$key" params={{ key: of.asset }} search={{ tab: "partitions" } as never}>{of.asset}</Link></h2>
        <span className="row muted">
          <span>{count(of.made)} of {count(of.target)} made</span>
          {of.running > 0 && <span style={{ color: "var(--running)" }}>{count(of.running)} running</span>}
          {of.failed > 0 && <span style={{ color: "var(--failed)" }}>{count(of.failed)} failed</span>}
        </span>
      </header>
      <div className="body stack">
        <progress value={of.made} max={Math.max(of.target, 1)} aria-label={`${of.asset}: ${of.made} of ${of.target} made`} style={{ width: "100%", accentColor: "var(--fresh)" }} />
        {map.data && <HeatMap map={map.data} />}
      </div>
    </section>
  );
}
