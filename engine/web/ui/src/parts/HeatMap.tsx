// Partitions as cells: chosen by mouse, by shift and arrows, or told in words.
import { useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { count, plural } from "./format";

type Map = Schemas["HeatMap"];
type Cell = Schemas["HeatCell"];
type Place = [row: number, cell: number];

function tone(cell: Cell): string {
  if (cell.running > 0) return "running";
  if (cell.failed > 0) return "failed";
  if (cell.materialized === cell.total) return "fresh";
  return cell.materialized > 0 ? "part" : "missing";
}

function told(label: string, cell: Cell): string {
  const key = cell.count === 1 ? cell.first : `${cell.first} … ${cell.last}`;
  const parts = [`${count(cell.materialized)} of ${count(cell.total)} materialized`];
  if (cell.running > 0) parts.push(`${count(cell.running)} running`);
  if (cell.failed > 0) parts.push(`${count(cell.failed)} failed`);
  if (cell.row_count > 0) parts.push(plural(cell.row_count, "row"));
  return `${label ? `${label} · ` : ""}${key}: ${parts.join(", ")}`;
}

/** The cells between two, corners included. */
function between(map: Map, [a, b]: [Place, Place]): Cell[] {
  const rows = [Math.min(a[0], b[0]), Math.max(a[0], b[0])] as const;
  const cells = [Math.min(a[1], b[1]), Math.max(a[1], b[1])] as const;
  return map.rows.slice(rows[0], rows[1] + 1).flatMap((row) => row.cells.slice(cells[0], cells[1] + 1));
}

export function HeatMap({ map, onChoose, onOpen }: {
  map: Map;
  /** Called with the partitions of the chosen cells in the language of sets. */
  onChoose?: (expression: string, cells: Cell[]) => void;
  /** Called to look closer at a cell of many partitions. */
  onOpen?: (cell: Cell) => void;
}) {
  const [chosen, setChosen] = useState<[Place, Place]>();
  const [focus, setFocus] = useState<Place>([0, 0]);
  const [hover, setHover] = useState<Place>();
  const dragging = useRef(false);
  const grid = useRef<HTMLDivElement>(null);
  const choose = (range: [Place, Place]) => {
    setChosen(range);
    const cells = between(map, range);
    const single = map.rows.length === 1 && cells.length > 1;
    // Neighbours of one row are a range of keys.
    const expression = single ? `${cells[0]!.first}...${cells.at(-1)!.last}` : cells.map((cell) => cell.expression).join(",");
    onChoose?.(expression, cells);
  };
  const isChosen = (row: number, cell: number) => {
    if (!chosen) return false;
    const [a, b] = chosen;
    return row >= Math.min(a[0], b[0]) && row <= Math.max(a[0], b[0]) && cell >= Math.min(a[1], b[1]) && cell <= Math.max(a[1], b[1]);
  };
  const onKey = (event: React.KeyboardEvent) => {
    const steps: Record<string, Place> = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (step) {
      event.preventDefault();
      const row = Math.min(Math.max(focus[0] + step[0], 0), map.rows.length - 1);
      const cell = Math.min(Math.max(focus[1] + step[1], 0), (map.rows[row]?.cells.length ?? 1) - 1);
      setFocus([row, cell]);
      if (event.shiftKey) choose([chosen?.[0] ?? focus, [row, cell]]);
      grid.current?.querySelector<HTMLElement>(`[data-at="${row}-${cell}"]`)?.focus();
    } else if (event.key === " ") {
      event.preventDefault();
      choose([focus, focus]);
    } else if (event.key === "Enter") {
      const cell = map.rows[focus[0]]?.cells[focus[1]];
      if (cell && cell.count > 1) onOpen?.(cell);
    }
  };
  const shown = hover ?? focus;
  const cell = map.rows[shown[0]]?.cells[shown[1]];
  return (
    <div className="stack" style={{ gap: 8 }}>
      <div
        ref={grid}
        className={`heat${map.rows.length === 1 ? " single" : map.rows.length <= 10 ? " few" : ""}${(map.rows[0]?.cells.length ?? 0) > 120 ? " dense" : ""}`}
        role="grid"
        aria-label="partitions"
        aria-multiselectable="true"
        onKeyDown={onKey}
        onPointerUp={() => {
          dragging.current = false;
        }}
        onPointerLeave={() => setHover(undefined)}
      >
        {map.rows.map((row, at) => (
          <div key={row.label || "only"} className="heat-row" role="row">
            {row.label && <span className="heat-label" role="rowheader">{row.label}</span>}
            <div className="heat-cells" role="presentation">
              {row.cells.map((of, index) => (
                <span
                  key={of.from}
                  role="gridcell"
                  tabIndex={focus[0] === at && focus[1] === index ? 0 : -1}
                  aria-selected={isChosen(at, index)}
                  aria-label={told(row.label, of)}
                  className={`heat-cell is-${tone(of)}`}
                  data-at={`${at}-${index}`}
                  data-key={of.first}
                  data-tone={tone(of)}
                  onPointerDown={(event) => {
                    event.currentTarget.releasePointerCapture?.(event.pointerId);
                    dragging.current = true;
                    setFocus([at, index]);
                    choose([event.shiftKey && chosen ? chosen[0] : [at, index], [at, index]]);
                  }}
                  onPointerEnter={() => {
                    setHover([at, index]);
                    if (dragging.current && chosen) choose([chosen[0], [at, index]]);
                  }}
                  onDoubleClick={() => of.count > 1 && onOpen?.(of)}
                  onFocus={() => setFocus([at, index])}
                />
              ))}
            </div>
          </div>
        ))}
      </div>
      <p className="row spread muted" style={{ fontSize: 12.5 }}>
        <span aria-live="off">{cell ? told(map.rows[shown[0]]!.label, cell) : "no partitions"}</span>
        <span className="row" aria-hidden="true">
          {[["fresh", "materialized"], ["part", "in part"], ["running", "running"], ["failed", "failed"], ["missing", "missing"]].map(([of, word]) => (
            <span key={of} className="row" style={{ gap: 4 }}><i className={`heat-cell is-${of}`} style={{ width: 12, height: 12, flex: "none" }} />{word}</span>
          ))}
        </span>
      </p>
    </div>
  );
}
