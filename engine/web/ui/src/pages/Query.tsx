import type { CompletionSource } from "@codemirror/autocomplete";
import { useCallback, useState } from "react";
import { api, client, type Schemas } from "../api/client";
import { Code } from "../parts/Code";
import { CodeFrame } from "../parts/CodeFrame";
import { DataTable } from "../parts/DataTable";
import { count } from "../parts/format";
import { Failure, Page, Panel } from "../parts/Page";
import { useTell } from "../parts/Toasts";

const FIRST = "select status, count(*) as runs\nfrom system.runs\ngroup by status";
const NO_PROBLEMS: Schemas["Problem"][] = [];

export function QueryPage() {
  const session = api.useQuery("get", "/api/v1/session");
  const [sql, setSql] = useState(() => sessionStorage.getItem("query") ?? FIRST);
  const tell = useTell();
  const query = api.useMutation("post", "/api/v1/query");
  const error = query.error as { message: string; problems?: Schemas["Problem"][] } | null;
  const run = () => {
    sessionStorage.setItem("query", sql);
    query.mutate({ body: { sql } });
  };
  const download = async (format: "csv" | "parquet") => {
    const { data, error } = await client.POST("/api/v1/query/download", { body: { sql, format }, parseAs: "blob" });
    if (error) return tell.failed(error);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(data as unknown as Blob);
    link.download = `query.${format}`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  // Names of assets are asked for while one writes, since there may be thousands.
  const names = useCallback<CompletionSource>(async (context) => {
    const word = context.matchBefore(/[\w.]+/);
    if (!word || (word.from === word.to && !context.explicit)) return null;
    const { data } = await client.GET("/api/v1/assets", { params: { query: { search: word.text, limit: 30 } } });
    return { from: word.from, options: (data?.assets ?? []).map((asset) => ({ label: asset.key, type: "class", detail: asset.group ?? "" })) };
  }, []);
  if (session.data && !session.data.query) {
    return <Page title="Query"><section className="panel"><p className="empty">SQL is not answered here. <code>arrowsmith web --query</code> and <code>arrowsmith dev</code> allow it.</p></section></Page>;
  }
  return (
    <Page
      title="Query"
      actions={
        <>
          <button type="button" className="button" onClick={() => void download("csv")}>CSV</button>
          <button type="button" className="button" onClick={() => void download("parquet")}>Parquet</button>
          <button type="button" className="button primary" disabled={query.isPending} onClick={run}>{query.isPending ? "Running …" : "Run"} <kbd>Ctrl ↵</kbd></button>
        </>
      }
    >
      <Code value={sql} onChange={setSql} language="sql" label="SQL" problems={error?.problems ?? NO_PROBLEMS} complete={names} onRun={run} height="220px" />
      <div className="stack" aria-live="polite">
        {error && (error.problems && error.problems.length > 0 ? error.problems.map((problem, index) => <CodeFrame key={index} problem={problem} />) : <Failure error={error} />)}
        {query.data && !error && (
          <Panel inset title={`${count(query.data.rows.length)} rows`} actions={query.data.more && <small>the first of more; a file has up to a million</small>}>
            <DataTable rows={query.data} />
          </Panel>
        )}
        {!query.data && !error && <p className="muted">One SELECT over assets, as <code>group.name</code>, and the instance, as <code>system.runs</code>, <code>system.steps</code>, <code>system.events</code> and more.</p>}
      </div>
    </Page>
  );
}
