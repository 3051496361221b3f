import { Link } from "@tanstack/react-router";
import { api, type Schemas } from "../../api/client";
import { bytes, count } from "../../parts/format";
import { Markdown } from "../../parts/Markdown";
import { Await, Panel } from "../../parts/Page";

type Asset = Schemas["AssetInfo"];

export function OverviewTab({ asset }: { asset: Asset }) {
  return (
    <div className="columns">
      <div className="stack">
        {asset.description && <Panel><Markdown text={asset.description} /></Panel>}
        <Columns asset={asset} />
      </div>
      <div className="stack">
        <Facts asset={asset} />
        {asset.state === "stale" && <Why name={asset.key} />}
        <Keys title="Reads" keys={asset.reads} />
        <Keys title="Read by" keys={asset.read_by} />
      </div>
    </div>
  );
}

function Columns({ asset }: { asset: Asset }) {
  const statistics = api.useQuery("get", "/api/v1/assets/{key}/statistics", { params: { path: { key: asset.key } } }, { retry: false, enabled: asset.standing.materialized_at != null });
  const known = statistics.data?.columns ?? {};
  return (
    <Panel inset title="Columns" actions={statistics.data && <small>{count(statistics.data.files)} files, {bytes(statistics.data.size_bytes)}</small>}>
      <div className="scroll" tabIndex={0} role="region" aria-label="columns">
        <table className="grid">
          <thead><tr><th>Column</th><th>Type</th><th className="num">Nulls</th><th>Smallest</th><th>Largest</th></tr></thead>
          <tbody>
            {(asset.columns ?? []).map((column) => {
              const facts = known[column.name];
              return (
                <tr key={column.name}>
                  <td><strong>{column.name}</strong>{column.description && <><br /><small>{column.description}</small></>}</td>
                  <td className="mono">{column.type}{!column.nullable && <small> not null</small>}</td>
                  <td className="num">{count(facts?.null_count)}</td>
                  <td className="mono">{facts?.min}</td>
                  <td className="mono">{facts?.max}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
        {!asset.columns && <p className="empty">The columns are not known before it runs.</p>}
      </div>
    </Panel>
  );
}

function Facts({ asset }: { asset: Asset }) {
  const tags = Object.entries(asset.tags);
  return (
    <Panel>
      <dl className="facts">
        {asset.group && <><dt>Group</dt><dd><Link to="/" search={{ selection: `group:"${asset.group}"` } as never}>{asset.group}</Link></dd></>}
        {asset.kinds.length > 0 && <><dt>Kinds</dt><dd>{asset.kinds.map((kind) => <span key={kind} className="chip">{kind}</span>)}</dd></>}
        {asset.owners.length > 0 && <><dt>Owners</dt><dd>{asset.owners.join(", ")}</dd></>}
        {tags.length > 0 && <><dt>Tags</dt><dd>{tags.map(([name, value]) => <span key={name} className="chip">{value ? `${name}=${value}` : name}</span>)}</dd></>}
        <dt>Stored as</dt><dd>{asset.is_source ? "a source" : asset.materialized} by {asset.io_manager}</dd>
        {asset.partitions && <><dt>Partitions</dt><dd>{asset.partitions}</dd></>}
        {asset.automation && <><dt>Automation</dt><dd className="mono">{asset.automation}</dd></>}
        {asset.freshness_policy && <><dt>Freshness</dt><dd>{asset.freshness_policy}</dd></>}
        {Object.entries(asset.metadata).map(([name, value]) => <Meta key={name} name={name} value={value} />)}
      </dl>
    </Panel>
  );
}

function Meta({ name, value }: { name: string; value: unknown }) {
  return <><dt>{name}</dt><dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd></>;
}

export function Keys({ title, keys }: { title: string; keys: string[] }) {
  if (keys.length === 0) return null;
  return (
    <Panel title={title}>
      <ul className="stack" style={{ gap: 4 }}>
        {keys.map((key) => <li key={key}><Link to="/assets/$key" params={{ key }}>{key}</Link></li>)}
      </ul>
    </Panel>
  );
}

type Cause = { category: string; reason: string; input?: string; columns?: string[]; changes?: string[]; partitions?: string[]; causes?: Cause[] };

function Why({ name }: { name: string }) {
  const why = api.useQuery("get", "/api/v1/assets/{key}/why", { params: { path: { key: name } } });
  return (
    <Panel title="Why it is stale">
      <Await of={why}>{(of) => <Causes of={(of as { causes: Cause[] }).causes} />}</Await>
    </Panel>
  );
}

function Causes({ of }: { of: Cause[] }) {
  return (
    <ul className="stack" style={{ gap: 6 }}>
      {of.map((cause) => (
        <li key={cause.reason} className="tree-node">
          <div><span className="chip">{cause.category}</span> <span>{cause.reason}{cause.columns && cause.columns.length > 0 && `: ${cause.columns.join(", ")}`}</span></div>
          {cause.changes && cause.changes.length > 0 && <pre style={{ padding: 8, background: "var(--sunken)", borderRadius: 6 }}>{cause.changes.join("\n")}</pre>}
          {cause.causes && cause.causes.length > 0 && <Causes of={cause.causes} />}
        </li>
      ))}
    </ul>
  );
}
