import { Link } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { api, type Schemas } from "../api/client";
import { Canvas } from "../graph/Canvas";
import { Tree } from "../graph/Tree";
import { bytes, count, moment, plural } from "../parts/format";
import { Await, Page } from "../parts/Page";
import { useParams } from "../parts/params";
import { SelectionBox } from "../parts/Selection";
import { Sign, State, toneOf, wordOf } from "../parts/State";

/** Larger graphs begin with a node for each group. */
const COLLAPSE_FROM = 300;
const LEGEND = ["fresh", "stale", "missing", "running", "failed", "check_failed", "source"];

export function GraphPage() {
  const [params, change] = useParams();
  const repository = api.useQuery("get", "/api/v1/repository");
  const selection = params.selection ?? "";
  const large = (repository.data?.assets ?? 0) > COLLAPSE_FROM && (repository.data?.groups.length ?? 0) > 1;
  const collapse = params.groups ? params.groups === "collapsed" : large && selection === "";
  const open = params.open ?? "";
  const graph = api.useQuery(
    "get", "/api/v1/graph",
    { params: { query: { selection: selection || undefined, collapse: collapse || undefined, open: open || undefined } } },
    { placeholderData: (before) => before, staleTime: Number.POSITIVE_INFINITY, enabled: repository.data !== undefined },
  );
  const states = api.useQuery("get", "/api/v1/states");
  const chosen = params.asset;
  const column = chosen ? params.column : undefined;
  const lineage = api.useQuery(
    "get", "/api/v1/assets/{key}/columns/{column}/lineage",
    { params: { path: { key: chosen ?? "", column: column ?? "" } } },
    { enabled: column !== undefined },
  );
  const [lit, notes] = useMemo(() => along(chosen, column, lineage.data), [chosen, column, lineage.data]);
  const onOpen = useCallback((node: Schemas["NodeInfo"]) => {
    if (node.kind === "group") change({ groups: "collapsed", open: [...open.split(","), node.id].filter(Boolean).join(","), asset: undefined });
    else change({ asset: node.id, column: undefined });
  }, [open, change]);
  const onChoose = useCallback((id: string | undefined) => {
    const node = graph.data?.nodes.find((of) => of.id === id);
    if (node?.kind === "group") onOpen(node);
    else change({ asset: id, column: undefined });
  }, [graph.data, onOpen, change]);
  const onSelect = useCallback((text: string) => change({ selection: text, asset: undefined, column: undefined }), [change]);
  return (
    <Page
      full
      title="Assets"
      actions={
        <>
          {(repository.data?.groups.length ?? 0) > 0 && (
            <button type="button" className="button" aria-pressed={collapse}
              onClick={() => change({ groups: collapse ? "open" : "collapsed", open: undefined })}>
              {collapse ? "Open all groups" : "Collapse groups"}
            </button>
          )}
          {collapse && open && <button type="button" className="button" onClick={() => change({ open: undefined })}>Close groups</button>}
          <Link className="button primary" to="/launchpad" search={{ selection } as never}>Materialize{selection ? " selected" : ""}…</Link>
        </>
      }
      lead={<div style={{ width: "min(720px, 60vw)" }}><SelectionBox value={selection} onChange={onSelect} label="Filter by a selection" /></div>}
    >
      <Await of={graph}>
        {(of) => (
          <div className="graph">
            <aside className="panel">
              <Tree nodes={of.nodes} edges={of.edges} states={states.data ?? {}} chosen={chosen} onChoose={(id) => change({ asset: id, column: undefined })} />
            </aside>
            <div style={{ position: "relative", minHeight: 0, display: "grid" }}>
              <Canvas graph={of} states={states.data ?? {}} chosen={chosen} lit={lit} notes={notes} onChoose={onChoose} onOpen={onOpen} />
              <div className="canvas-legend" aria-hidden="true">
                {LEGEND.map((state) => <span key={state} className={`tone-${toneOf(state)}`}><Sign state={state} />{wordOf(state)}</span>)}
              </div>
            </div>
            {chosen && <Detail key={chosen} name={chosen} column={column} lineage={lineage.data} onColumn={(name) => change({ column: name })} onClose={() => change({ asset: undefined, column: undefined })} />}
          </div>
        )}
      </Await>
    </Page>
  );
}

/** Which nodes the lineage of a column goes through, and by which columns. */
function along(chosen: string | undefined, column: string | undefined, of: Schemas["ColumnGraph"] | undefined): [Set<string> | undefined, Map<string, string> | undefined] {
  if (!chosen || !column || !of) return [undefined, undefined];
  const columns = new Map<string, Set<string>>([[chosen, new Set([column])]]);
  const add = (asset: string, name: string) => {
    const known = columns.get(asset) ?? new Set();
    known.add(name);
    columns.set(asset, known);
  };
  for (const edge of of.upstream) add(edge.from_asset, edge.from_column);
  for (const edge of of.downstream) add(edge.to_asset, edge.to_column ?? `rows by ${edge.influence}`);
  return [new Set(columns.keys()), new Map([...columns].map(([asset, names]) => [asset, [...names].join(", ")]))];
}

function Detail({ name, column, lineage, onColumn, onClose }: {
  name: string;
  column: string | undefined;
  lineage: Schemas["ColumnGraph"] | undefined;
  onColumn: (name: string | undefined) => void;
  onClose: () => void;
}) {
  const asset = api.useQuery("get", "/api/v1/assets/{key}", { params: { path: { key: name } } });
  return (
    <aside className="panel detail" aria-label={name}>
      <header>
        <h2 style={{ overflowWrap: "anywhere" }}><Link to="/assets/$key" params={{ key: name }}>{name}</Link></h2>
        <button type="button" className="button quiet small" onClick={onClose} aria-label="Close">✕</button>
      </header>
      <div className="body">
        <Await of={asset}>
          {(of) => (
            <div className="stack">
              <div className="row"><State state={of.state} />{of.standing.reason && <small>{of.standing.reason}</small>}</div>
              {of.description && <p>{of.description.split("\n\n")[0]}</p>}
              <dl className="facts">
                {of.standing.row_count != null && <><dt>Rows</dt><dd>{count(of.standing.row_count)}</dd></>}
                {of.standing.size_bytes != null && <><dt>Size</dt><dd>{bytes(of.standing.size_bytes)}</dd></>}
                {of.standing.materialized_at != null && <><dt>Made</dt><dd>{moment(of.standing.materialized_at)}</dd></>}
                {of.standing.partitions && <><dt>Partitions</dt><dd>{count(of.standing.partitions[0])} of {count(of.standing.partitions[1])}</dd></>}
                {of.group && <><dt>Group</dt><dd>{of.group}</dd></>}
              </dl>
              <div className="row">
                <Link className="button small" to="/assets/$key" params={{ key: name }} search={{ tab: "data" } as never}>Data</Link>
                <Link className="button small" to="/assets/$key" params={{ key: name }} search={{ tab: "definition" } as never}>Definition</Link>
                {of.is_materializable && <Link className="button small" to="/launchpad" search={{ selection: name } as never}>Materialize…</Link>}
              </div>
              <div>
                <h3>Columns</h3>
                <p className="muted" style={{ fontSize: 12 }}>Pick one to see where it comes from and goes.</p>
                <div className="columns-list">
                  {(of.columns ?? []).map((field) => (
                    <button key={field.name} type="button" aria-pressed={field.name === column} onClick={() => onColumn(field.name === column ? undefined : field.name)}>
                      <span>{field.name}</span><small>{field.type}</small>
                    </button>
                  ))}
                </div>
              </div>
              {column && lineage && <Edges column={column} of={lineage} asset={name} />}
            </div>
          )}
        </Await>
      </div>
    </aside>
  );
}

function Edges({ asset, column, of }: { asset: string; column: string; of: Schemas["ColumnGraph"] }) {
  const into = of.upstream.filter((edge) => edge.to_asset === asset && (edge.to_column === column || edge.to_column == null));
  const from = of.downstream.filter((edge) => edge.from_asset === asset && edge.from_column === column);
  const row = (edge: Schemas["ColumnEdge"], other: string, index: number) => (
    <li key={index}><code>{other}</code> <small>{edge.influence}</small></li>
  );
  return (
    <div className="stack" style={{ gap: 6 }} aria-live="polite">
      <h3>{column} comes from {plural(into.length, "column")}</h3>
      <ul>{into.map((edge, index) => row(edge, `${edge.from_asset}.${edge.from_column}`, index))}</ul>
      <h3>and goes into {plural(from.length, "column")}</h3>
      <ul>{from.map((edge, index) => row(edge, edge.to_column ? `${edge.to_asset}.${edge.to_column}` : `rows of ${edge.to_asset}`, index))}</ul>
    </div>
  );
}
