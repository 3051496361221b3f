// A check with what it has said last, and the rows that it does not hold for.
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../api/client";
import { count, moment, plural, short } from "./format";
import { State } from "./State";

type Check = Schemas["CheckInfo"];

/** How a check stands, in a word of `State`. */
export function stateOfCheck(check: Check): string {
  if (!check.last) return "unknown";
  if (check.last.passed) return "passed";
  return check.severity === "warn" ? "warning" : "check_failed";
}

export function CheckCard({ check, asset }: { check: Check; asset?: boolean }) {
  const [open, setOpen] = useState(false);
  const last = check.last;
  return (
    <section className="panel" data-check={check.name}>
      <header>
        <div className="row">
          <State state={stateOfCheck(check)} />
          <h2>{asset && <><Link to="/assets/$key" params={{ key: check.asset }} search={{ tab: "checks" } as never}>{check.asset}</Link> · </>}{check.name}</h2>
          <span className="chip">{check.severity}</span>
          {check.blocks && <span className="chip" title="A version for which it does not hold is not published">blocks</span>}
        </div>
        <div className="row">
          {last && <small>{moment(last.at)} in <Link to="/runs/$id" params={{ id: last.run_id }} className="mono">{short(last.run_id)}</Link></small>}
          <button type="button" className="button small" aria-expanded={open} onClick={() => setOpen(!open)}>History</button>
        </div>
      </header>
      <div className="body stack">
        {check.description && <p>{check.description}</p>}
        {check.place && <small className="mono">{check.place}</small>}
        {last && !last.passed && (
          <p>
            {last.failing_rows != null && <strong>It does not hold for {plural(last.failing_rows, "row")}. </strong>}
            {last.found}
          </p>
        )}
        {last && !last.passed && last.sample.length > 0 && <Sample rows={last.sample as Record<string, unknown>[]} of={last.failing_rows} />}
        {!last && <p className="muted">It was never evaluated.</p>}
        {open && <History check={check} />}
      </div>
    </section>
  );
}

function Sample({ rows, of }: { rows: Record<string, unknown>[]; of: number | null | undefined }) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return (
    <figure>
      <div className="scroll" tabIndex={0} role="region" aria-label="failing rows" style={{ maxHeight: 320, border: "1px solid var(--line)", borderRadius: 6 }}>
        <table className="grid data">
          <thead><tr>{columns.map((column) => <th key={column}>{column}</th>)}</tr></thead>
          <tbody>
            {rows.map((row, index) => (
              <tr key={index}>{columns.map((column) => <td key={column}>{row[column] == null ? <span className="null">null</span> : String(row[column])}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
      <figcaption className="muted" style={{ fontSize: 12, paddingTop: 4 }}>{of != null && of > rows.length ? `${rows.length} of ${count(of)} failing rows` : "all failing rows"}</figcaption>
    </figure>
  );
}

function History({ check }: { check: Check }) {
  const history = api.useQuery("get", "/api/v1/assets/{key}/checks/{check}", { params: { path: { key: check.asset, check: check.name }, query: { limit: 50 } } });
  return (
    <ul className="stack" style={{ gap: 4 }}>
      {(history.data ?? []).map((row) => (
        <li key={row.at + row.version} className="row">
          <State state={row.passed ? "passed" : "check_failed"} /> {moment(row.at)}
          <Link to="/runs/$id" params={{ id: row.run_id }} className="mono">{short(row.run_id)}</Link>
          <small>{row.failing_rows != null && row.failing_rows > 0 ? plural(row.failing_rows, "row") : row.found}</small>
        </li>
      ))}
    </ul>
  );
}
