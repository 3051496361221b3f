import { Link } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";
import { api } from "../api/client";
import { ago, bytes, count, moment } from "../parts/format";
import { Await, Empty, Page } from "../parts/Page";
import { Pager } from "../parts/Pager";
import { useParams } from "../parts/params";
import { SelectionBox } from "../parts/Selection";
import { State, wordOf } from "../parts/State";

const SIZE = 50;
const STATES = ["fresh", "stale", "missing", "failed", "check_failed", "running", "source"];
const COLUMNS = [["key", "Asset"], ["group", "Group"], [undefined, "State"], [undefined, "Kinds"], [undefined, "Owners"], ["rows", "Rows"], ["bytes", "Size"], ["materialized", "Materialized"]] as const;
const PAUSE_MS = 200;

export function CatalogPage() {
  const [params, change] = useParams();
  const offset = Number(params.offset ?? 0);
  const sort = params.sort ?? "key";
  const [search, setSearch] = useState(params.search ?? "");
  useEffect(() => {
    if (search === (params.search ?? "")) return;
    const timer = setTimeout(() => change({ search, offset: undefined }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [search, params.search, change]);
  const page = api.useQuery(
    "get", "/api/v1/assets",
    { params: { query: { selection: params.selection, search: params.search, state: params.state, sort, offset, limit: SIZE } } },
    { placeholderData: (before) => before },
  );
  const onSelect = useCallback((selection: string) => change({ selection, offset: undefined }), [change]);
  const by = (name: string) => change({ sort: sort === name ? `-${name}` : name, offset: undefined });
  return (
    <Page title="Catalog">
      <div className="row" role="search">
        <input className="field" style={{ width: 240 }} aria-label="Search" placeholder="Part of a name or description" value={search} onChange={(event) => setSearch(event.target.value)} />
        <select className="field" aria-label="State" value={params.state ?? ""} onChange={(event) => change({ state: event.target.value, offset: undefined })}>
          <option value="">any state</option>
          {STATES.map((state) => <option key={state} value={state}>{wordOf(state)}</option>)}
        </select>
        <SelectionBox value={params.selection ?? ""} onChange={onSelect} label="Filter by a selection" />
      </div>
      <Await of={page}>
        {({ assets, total }) => (
          <section className="panel inset">
            <header>
              <h2>{count(total)} assets</h2>
              <Pager offset={offset} shown={assets.length} total={total} size={SIZE} onMove={(to) => change({ offset: to ? String(to) : undefined })} />
            </header>
            <div className="scroll" tabIndex={0} role="region" aria-label="assets">
              <table className="grid">
                <thead>
                  <tr>
                    {COLUMNS.map(([name, title]) => (
                      <th key={title} className={name === "rows" || name === "bytes" ? "num" : ""} aria-sort={sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined}>
                        {name ? <button type="button" onClick={() => by(name)}>{title}{sort === name ? " ↑" : sort === `-${name}` ? " ↓" : ""}</button> : title}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {assets.map((asset) => (
                    <tr key={asset.key} data-asset={asset.key}>
                      <td>
                        <Link to="/assets/$key" params={{ key: asset.key }}><strong>{asset.key}</strong></Link>
                        {asset.description && <><br /><small>{asset.description}</small></>}
                      </td>
                      <td>{asset.group}</td>
                      <td>
                        <State state={asset.state} />
                        {asset.standing.freshness && asset.standing.freshness !== "pass" && <> <State state={asset.standing.freshness} /></>}
                      </td>
                      <td>{asset.kinds.map((kind) => <span key={kind} className="chip">{kind}</span>)}</td>
                      <td>{asset.owners.join(", ")}</td>
                      <td className="num">{count(asset.standing.row_count)}</td>
                      <td className="num">{bytes(asset.standing.size_bytes)}</td>
                      <td title={moment(asset.standing.materialized_at)}>{ago(asset.standing.materialized_at)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {assets.length === 0 && <Empty>No asset fits.</Empty>}
            </div>
          </section>
        )}
      </Await>
    </Page>
  );
}
