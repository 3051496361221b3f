import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../../api/client";
import { Canvas } from "../../graph/Canvas";
import { Await, Panel } from "../../parts/Page";
import { Keys } from "./Overview";

export function LineageTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const [levels, setLevels] = useState("2");
  const navigate = useNavigate();
  const around = levels === "all" ? "" : levels;
  const selection = `${around}+key:"${asset.key}"+${around}`;
  const graph = api.useQuery("get", "/api/v1/graph", { params: { query: { selection } } }, { placeholderData: (before) => before });
  const states = api.useQuery("get", "/api/v1/states");
  return (
    <div className="stack">
      <Panel
        inset
        title="Lineage"
        actions={
          <label className="row"><span className="muted">Levels</span>
            <select className="field" value={levels} onChange={(event) => setLevels(event.target.value)}>
              {["1", "2", "3", "all"].map((of) => <option key={of}>{of}</option>)}
            </select>
          </label>
        }
      >
        <div style={{ height: "58vh", display: "grid" }}>
          <Await of={graph}>
            {(of) => (
              <Canvas graph={of} states={states.data ?? {}} chosen={asset.key} lit={undefined} notes={undefined} onOpen={() => {}}
                onChoose={(id) => id && id !== asset.key && void navigate({ to: "/assets/$key", params: { key: id }, search: { tab: "lineage" } as never })} />
            )}
          </Await>
        </div>
      </Panel>
      <div className="columns" style={{ gridTemplateColumns: "1fr 1fr" }}>
        <Keys title="Reads" keys={asset.reads} />
        <Keys title="Read by" keys={asset.read_by} />
      </div>
    </div>
  );
}
