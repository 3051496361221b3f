import { Link, useParams as useRouteParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../api/client";
import { Code } from "../parts/Code";
import { Markdown } from "../parts/Markdown";
import { Await, Page, Panel } from "../parts/Page";
import { RunTable } from "./Runs";

type Graph = Schemas["OpGraph"];
const WIDTH = 200;
const HEIGHT = 44;

export function JobPage() {
  const { name } = useRouteParams({ strict: false }) as { name: string };
  const job = api.useQuery("get", "/api/v1/jobs/{name}", { params: { path: { name } } });
  const runs = api.useQuery("get", "/api/v1/runs", { params: { query: { job: name, limit: 10 } } });
  return (
    <Page title={name} lead={job.data?.place && <small className="mono">{job.data.place}</small>} actions={<Link className="button primary" to="/launchpad" search={{ job: name } as never}>Launch…</Link>}>
      <Await of={job}>
        {(of) => (
          <div className="stack">
            {of.description && <Panel><Markdown text={of.description} /></Panel>}
            {of.graph && <Ops graph={of.graph} name={name} />}
            {of.selection != null && <Panel title="Assets"><Link to="/" search={{ selection: of.selection } as never}><code>{of.selection}</code></Link></Panel>}
            {of.template.trim() !== "" && <Panel title="Run config"><Code value={of.template} language="toml" label="run config template" /></Panel>}
            <Panel inset title="Newest runs"><Await of={runs}>{(all) => <RunTable runs={all} />}</Await></Panel>
          </div>
        )}
      </Await>
    </Page>
  );
}

/** A graph of ops; a node that is a graph opens. */
function Ops({ graph, name }: { graph: Graph; name: string }) {
  const [path, setPath] = useState<string[]>([]);
  const [chosen, setChosen] = useState<string>();
  let shown = graph;
  for (const part of path) shown = shown.nodes.find((node) => node.name === part)?.inner ?? shown;
  const node = shown.nodes.find((of) => of.name === chosen);
  return (
    <Panel
      inset
      title={
        <nav className="row" aria-label="graph">
          {[name, ...path].map((part, index) => (
            <button key={part} type="button" className="button quiet small" disabled={index === path.length} onClick={() => { setPath(path.slice(0, index)); setChosen(undefined); }}>
              {index > 0 && "› "}{part}
            </button>
          ))}
        </nav>
      }
    >
      <div className="ops" style={{ height: Math.min(shown.height + 20, 520) }} tabIndex={0} role="group" aria-label="ops">
        <div style={{ position: "relative", width: shown.width, height: shown.height }}>
          <svg width={shown.width} height={shown.height} aria-hidden="true">
            {shown.edges.map((edge, index) => {
              const [from, to] = [shown.nodes[edge.from]!, shown.nodes[edge.to]!];
              const [x, y, nx, ny] = [from.x + WIDTH / 2, from.y, to.x - WIDTH / 2, to.y];
              const middle = (x + nx) / 2;
              return <path key={index} d={`M${x} ${y}C${middle} ${y} ${middle} ${ny} ${nx} ${ny}`} />;
            })}
          </svg>
          {shown.nodes.map((of) => (
            <button key={of.name} type="button" className={`card tone-${of.inner ? "running" : "source"}${of.inner ? " group" : ""}${of.name === chosen ? " chosen" : ""}`}
              style={{ left: of.x, top: of.y, width: WIDTH, height: HEIGHT, marginLeft: -WIDTH / 2 }} title={of.description ?? of.of}
              onClick={() => (of.inner ? (setPath([...path, of.name]), setChosen(undefined)) : setChosen(of.name === chosen ? undefined : of.name))}>
              <b>{of.name}</b>
              <small>{of.inner ? `graph ${of.of}, opens` : `op ${of.of}`}</small>
            </button>
          ))}
        </div>
      </div>
      {node && (
        <dl className="facts" style={{ padding: 14 }}>
          <dt>Op</dt><dd><code>{node.of}</code></dd>
          {node.description && <><dt>Description</dt><dd>{node.description}</dd></>}
          <dt>Inputs</dt><dd>{node.inputs.join(", ") || "none"}</dd>
          <dt>Outputs</dt><dd>{node.outputs.join(", ") || "none"}</dd>
        </dl>
      )}
    </Panel>
  );
}
