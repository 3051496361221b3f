import { Link, useParams as useRouteParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../api/client";
import { Dialog } from "../parts/Dialog";
import { ago, bytes, count, moment } from "../parts/format";
import { Await, Page } from "../parts/Page";
import { useParams } from "../parts/params";
import { State } from "../parts/State";
import { useTell } from "../parts/Toasts";
import { AutomationTab } from "./asset/Automation";
import { ChecksTab } from "./asset/Checks";
import { DataTab } from "./asset/Data";
import { DefinitionTab } from "./asset/Definition";
import { LineageTab } from "./asset/Lineage";
import { OverviewTab } from "./asset/Overview";
import { PartitionsTab } from "./asset/Partitions";
import { VersionsTab } from "./asset/Versions";

type Asset = Schemas["AssetInfo"];

const TABS: [string, string, (asset: Asset) => boolean, number?][] = [
  ["overview", "Overview", () => true],
  ["data", "Data", () => true],
  ["partitions", "Partitions", (asset) => asset.partitions != null],
  ["versions", "Versions", (asset) => !asset.is_source],
  ["checks", "Checks", (asset) => asset.checks.length > 0],
  ["lineage", "Lineage", () => true],
  ["automation", "Automation", (asset) => asset.automation != null],
  ["definition", "Definition", () => true],
];

export function AssetPage() {
  const { key } = useRouteParams({ strict: false }) as { key: string };
  const [params] = useParams();
  const asset = api.useQuery("get", "/api/v1/assets/{key}", { params: { path: { key } } });
  const tab = params.tab ?? "overview";
  return (
    <Page
      title={key}
      lead={asset.data && <Lead asset={asset.data} />}
      actions={asset.data?.is_materializable && <Materialize asset={asset.data} />}
    >
      <nav className="tabs" aria-label="of this asset">
        {TABS.filter(([, , shown]) => asset.data && shown(asset.data)).map(([name, title]) => (
          <Link key={name} to="/assets/$key" params={{ key }} search={(name === "overview" ? {} : { tab: name }) as never}
            activeProps={{}} className={tab === name ? "active" : ""} aria-current={tab === name ? "page" : undefined}>
            {title}
          </Link>
        ))}
      </nav>
      <Await of={asset}>
        {(of) => {
          switch (tab) {
            case "data": return <DataTab asset={of} />;
            case "partitions": return <PartitionsTab asset={of} />;
            case "versions": return <VersionsTab asset={of} />;
            case "checks": return <ChecksTab asset={of} />;
            case "lineage": return <LineageTab asset={of} />;
            case "automation": return <AutomationTab asset={of} />;
            case "definition": return <DefinitionTab asset={of} />;
            default: return <OverviewTab asset={of} />;
          }
        }}
      </Await>
    </Page>
  );
}

function Lead({ asset }: { asset: Asset }) {
  const of = asset.standing;
  return (
    <div className="row muted">
      <State state={asset.state} />
      {of.reason && <span>{of.reason}</span>}
      {of.freshness && <State state={of.freshness} />}
      {of.row_count != null && <span>{count(of.row_count)} rows</span>}
      {of.size_bytes != null && <span>{bytes(of.size_bytes)}</span>}
      {of.materialized_at != null && <span title={moment(of.materialized_at)}>made {ago(of.materialized_at)}</span>}
    </div>
  );
}

function Materialize({ asset }: { asset: Asset }) {
  const tell = useTell();
  const [asks, setAsks] = useState(false);
  const launch = api.useMutation("post", "/api/v1/runs", {
    onSuccess: ({ run_id }) => tell.done(<>The run waits. <Link to="/runs/$id" params={{ id: run_id }}>Watch it</Link></>),
    onError: tell.failed,
  });
  const go = (force: boolean) => {
    setAsks(false);
    launch.mutate({ body: { selection: `key:"${asset.key}"`, force, tags: {} } });
  };
  return (
    <>
      <Link className="button" to="/launchpad" search={{ selection: asset.key } as never}>Open in the launchpad</Link>
      {asset.partitions == null && <button type="button" className="button primary" disabled={launch.isPending} onClick={() => (asset.state === "fresh" ? setAsks(true) : go(false))}>Materialize</button>}
      <Dialog open={asks} onClose={() => setAsks(false)} title="It is fresh">
        <header><h2>{asset.key} is fresh</h2></header>
        <div className="body"><p>What is current is what would be computed. Compute it all the same?</p></div>
        <footer>
          <button type="button" className="button" onClick={() => setAsks(false)}>Leave it</button>
          <button type="button" className="button primary" onClick={() => go(true)}>Compute it anew</button>
        </footer>
      </Dialog>
    </>
  );
}
