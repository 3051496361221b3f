import { api } from "../api/client";
import { count } from "../parts/format";
import { Await, Empty, Page, Panel } from "../parts/Page";

export function ResourcesPage() {
  const resources = api.useQuery("get", "/api/v1/resources");
  return (
    <Page title="Resources">
      <Await of={resources}>
        {(of) => (
          <div className="stack">
            <Panel inset title="IO managers">
              <div className="scroll" tabIndex={0} role="region" aria-label="IO managers">
                <table className="grid">
                  <thead><tr><th>Name</th><th>Kind</th><th>Store</th><th className="num">Assets</th></tr></thead>
                  <tbody>{of.io_managers.map((one) => <tr key={one.name}><td><strong>{one.name}</strong></td><td>{one.kind}</td><td className="mono">{one.store}</td><td className="num">{count(one.assets)}</td></tr>)}</tbody>
                </table>
              </div>
            </Panel>
            <Panel inset title="Resources">
              {of.resources.map((one) => (
                <details key={one.name} style={{ padding: "10px 14px", borderBottom: "1px solid var(--line)" }}>
                  <summary><strong>{one.name}</strong> <small className="mono">{one.type_name}</small></summary>
                  <dl className="facts" style={{ paddingTop: 10 }}>
                    {one.needs.length > 0 && <><dt>Needs</dt><dd>{one.needs.join(", ")}</dd></>}
                    {one.config != null && <><dt>Config</dt><dd><pre>{JSON.stringify(one.config, null, 2)}</pre></dd></>}
                    {one.schema != null && <><dt>Schema</dt><dd><pre>{JSON.stringify(one.schema, null, 2)}</pre></dd></>}
                  </dl>
                </details>
              ))}
              {of.resources.length === 0 && <Empty>The repository has no resources.</Empty>}
            </Panel>
          </div>
        )}
      </Await>
    </Page>
  );
}
