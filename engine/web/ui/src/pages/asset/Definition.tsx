import { api, type Schemas } from "../../api/client";
import { Code } from "../../parts/Code";
import { Await, Panel } from "../../parts/Page";

export function DefinitionTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const definition = api.useQuery("get", "/api/v1/assets/{key}/definition", { params: { path: { key: asset.key } } });
  return (
    <Await of={definition}>
      {(of) => (
        <Panel title={of.file ? <code>{of.file}{of.line != null && `:${of.line}`}</code> : of.kind} actions={<span className="chip">{of.kind}</span>}>
          <div className="stack">
            {of.location && <p>It reads <code>{of.location}</code></p>}
            {of.text != null ? (
              <Code value={of.text} language={of.file?.endsWith(".sql") ? "sql" : of.file?.endsWith(".toml") ? "toml" : "text"} label="definition" />
            ) : of.code != null ? (
              <Code value={of.code} language={of.kind === "sql" ? "sql" : "text"} label="definition" />
            ) : (
              <p className="muted">The file cannot be read where the server runs.</p>
            )}
          </div>
        </Panel>
      )}
    </Await>
  );
}
