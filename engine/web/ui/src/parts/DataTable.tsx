// Rows of an asset or query: typed columns, exact values, null told from text.
import type { Schemas } from "../api/client";

const NUMERIC = /^(U?Int|Float|Decimal)/;

export function DataTable({ rows, sort, onSort, first = 0 }: {
  rows: Schemas["Rows"];
  sort?: string;
  onSort?: (sort: string) => void;
  /** The number of the first row. */
  first?: number;
}) {
  const next = (name: string) => (sort === name ? `-${name}` : sort === `-${name}` ? "" : name);
  const sign = (name: string) => (sort === name ? " ↑" : sort === `-${name}` ? " ↓" : "");
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="rows" style={{ maxHeight: "68vh" }}>
      <table className="grid data">
        <thead>
          <tr>
            <th className="num"><span className="hidden">row</span></th>
            {rows.columns.map((column) => (
              <th
                key={column.name}
                className={NUMERIC.test(column.type) ? "num" : ""}
                aria-sort={sort === column.name ? "ascending" : sort === `-${column.name}` ? "descending" : undefined}
              >
                {onSort ? (
                  <button type="button" onClick={() => onSort(next(column.name))}>{column.name}{sign(column.name)}</button>
                ) : (
                  column.name
                )}
                <br />
                <small>{column.type}</small>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.rows.map((row, index) => (
            <tr key={first + index}>
              <td className="num muted">{first + index + 1}</td>
              {row.map((cell, at) => {
                const column = rows.columns[at]!;
                return (
                  <td key={column.name} className={NUMERIC.test(column.type) ? "num" : ""} title={cell ?? "null"}>
                    {cell === null ? <span className="null">null</span> : cell}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
