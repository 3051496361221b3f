import { useState } from "react";
import { api, type Schemas } from "../../api/client";
import { moment, plural } from "../../parts/format";
import { Await, Empty, Panel } from "../../parts/Page";
import { Sign } from "../../parts/State";

type Node = Schemas["ConditionNode"];

export function AutomationTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const evaluations = api.useQuery("get", "/api/v1/assets/{key}/evaluations", { params: { path: { key: asset.key }, query: { limit: 50 } } });
  const [chosen, setChosen] = useState<number>();
  return (
    <div className="stack">
      <Panel title="Condition"><code style={{ overflowWrap: "anywhere" }}>{asset.automation}</code></Panel>
      <Await of={evaluations}>
        {(of) => {
          const shown = of.find((evaluation) => evaluation.id === chosen) ?? of[0];
          return (
            <div className="columns" style={{ gridTemplateColumns: "300px minmax(0, 1fr)" }}>
              <Panel inset title="Evaluations">
                <ul className="columns-list" style={{ padding: 6 }}>
                  {of.map((evaluation) => (
                    <li key={evaluation.id}>
                      <button type="button" style={{ width: "100%", boxSizing: "border-box" }} aria-pressed={evaluation === shown} onClick={() => setChosen(evaluation.id)}>
                        <span>{moment(evaluation.at)}</span>
                        <small>{evaluation.requested ? "asked for" : "nothing"}</small>
                      </button>
                    </li>
                  ))}
                </ul>
                {of.length === 0 && <Empty>Not evaluated yet. A daemon does it.</Empty>}
              </Panel>
              {shown && (
                <Panel title={shown.requested ? `It asked for ${shown.requested}` : "It asked for nothing"}>
                  <ul><Tree node={shown.tree} partitioned={asset.partitions != null} /></ul>
                </Panel>
              )}
            </div>
          );
        }}
      </Await>
    </div>
  );
}

function Tree({ node, partitioned }: { node: Node; partitioned: boolean }) {
  const held = node.count > 0;
  return (
    <li className="tree-node">
      <div className={held ? "tone-fresh" : "tone-missing"}>
        <span style={{ color: "var(--tone)", width: 12, flex: "none" }}><svg width="0" height="0" aria-hidden="true" /><span style={{ display: "inline-block", width: 12 }}><Sign state={held ? "fresh" : "missing"} /></span></span>
        <code>{node.name}</code>
        <small>{held ? (partitioned ? `holds for ${plural(node.count, "partition")} ${node.held}` : "holds") : "does not hold"}</small>
      </div>
      {node.children.length > 0 && <ul>{node.children.map((child, index) => <Tree key={index} node={child} partitioned={partitioned} />)}</ul>}
    </li>
  );
}
