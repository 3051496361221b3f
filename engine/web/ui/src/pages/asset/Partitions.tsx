import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../../api/client";
import { bytes, count, plural } from "../../parts/format";
import { HeatMap } from "../../parts/HeatMap";
import { Await, Panel } from "../../parts/Page";
import { useTell } from "../../parts/Toasts";

type Range = { from: number; count: number; label: string };

export function PartitionsTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const [ranges, setRanges] = useState<Range[]>([]);
  const [chosen, setChosen] = useState("");
  const [cells, setCells] = useState<Schemas["HeatCell"][]>([]);
  const [force, setForce] = useState(false);
  const tell = useTell();
  const navigate = useNavigate();
  const within = ranges.at(-1);
  const map = api.useQuery(
    "get", "/api/v1/assets/{key}/partitions",
    { params: { path: { key: asset.key }, query: { from: within?.from, count: within?.count } } },
    { placeholderData: (before) => before },
  );
  const backfill = api.useMutation("post", "/api/v1/backfills", {
    onSuccess: ({ backfill_id }) => void navigate({ to: "/backfills/$id", params: { id: backfill_id } }),
    onError: tell.failed,
  });
  const sum = (of: (cell: Schemas["HeatCell"]) => number) => cells.reduce((total, cell) => total + of(cell), 0);
  const start = (partitions: string) => backfill.mutate({ body: { selection: `key:"${asset.key}"`, partitions, force, tags: {} } });
  return (
    <Await of={map}>
      {(of) => (
        <div className="stack">
          <dl className="figures">
            <div><dt>Partitions</dt><dd>{count(of.total)}</dd></div>
            <div><dt>Materialized</dt><dd>{count(of.materialized)}</dd></div>
            <div><dt>Missing</dt><dd>{count(of.total - of.materialized)}</dd></div>
            <div><dt>Running</dt><dd>{count(of.running)}</dd></div>
            <div><dt>Failed</dt><dd>{count(of.failed)}</dd></div>
          </dl>
          <Panel
            title={
              <nav className="row" aria-label="range">
                <button type="button" className="button quiet small" onClick={() => setRanges([])} disabled={!within}>all of {of.definition}</button>
                {ranges.map((range, index) => (
                  <button key={range.label} type="button" className="button quiet small" onClick={() => setRanges(ranges.slice(0, index + 1))}>› {range.label}</button>
                ))}
              </nav>
            }
          >
            <HeatMap
              map={of}
              onChoose={(expression, all) => {
                setChosen(expression);
                setCells(all);
              }}
              onOpen={(cell) => setRanges([...ranges, { from: cell.from, count: cell.count, label: `${cell.first} … ${cell.last}` }])}
            />
          </Panel>
          {asset.is_materializable && (
            <Panel title="Make partitions">
              <form className="stack" onSubmit={(event) => { event.preventDefault(); start(chosen); }}>
                <label>
                  <span className="caption">Partitions: drag over the map, or write keys, ranges as a...b, missing, latest(7)</span>
                  <input className="field mono" style={{ width: "100%" }} value={chosen} onChange={(event) => { setChosen(event.target.value); setCells([]); }} placeholder="missing" />
                </label>
                {cells.length > 0 && (
                  <p className="muted">
                    {plural(sum((cell) => cell.total), "partition")}, {count(sum((cell) => cell.materialized))} materialized, {count(sum((cell) => cell.row_count))} rows, {bytes(sum((cell) => cell.size_bytes))}
                  </p>
                )}
                <div className="row">
                  <label className="check"><input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} /> also what is fresh</label>
                  <span className="grow" />
                  <button type="button" className="button" disabled={backfill.isPending || of.materialized === of.total} onClick={() => start("missing")}>Make all that is missing</button>
                  <button type="submit" className="button primary" disabled={backfill.isPending || chosen.trim() === ""}>Backfill</button>
                </div>
              </form>
            </Panel>
          )}
        </div>
      )}
    </Await>
  );
}
