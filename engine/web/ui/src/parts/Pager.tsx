// From page to page of a list.
import { count } from "./format";

export function Pager({ offset, shown, total, more, onMove, size }: {
  offset: number;
  shown: number;
  total?: number | null;
  more?: boolean;
  size: number;
  onMove: (offset: number) => void;
}) {
  const last = total != null ? offset + shown >= total : !more;
  return (
    <nav className="row" aria-label="pages">
      <span className="muted" style={{ fontVariantNumeric: "tabular-nums" }}>
        {shown === 0 ? "none" : `${count(offset + 1)}–${count(offset + shown)}`}{total != null && ` of ${count(total)}`}
      </span>
      <button type="button" className="button small" disabled={offset === 0} onClick={() => onMove(Math.max(0, offset - size))}>Previous</button>
      <button type="button" className="button small" disabled={last} onClick={() => onMove(offset + size)}>Next</button>
    </nav>
  );
}
