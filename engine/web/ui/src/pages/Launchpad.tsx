import { useNavigate } from "@tanstack/react-router";
import type { CompletionSource } from "@codemirror/autocomplete";
import { useCallback, useEffect, useMemo, useState } from "react";
import { api, type Schemas } from "../api/client";
import { Code } from "../parts/Code";
import { CodeFrame } from "../parts/CodeFrame";
import { complete } from "../parts/complete";
import { plural } from "../parts/format";
import { HeatMap } from "../parts/HeatMap";
import { Failure, Page, Panel } from "../parts/Page";
import { useParams } from "../parts/params";
import { SelectionBox } from "../parts/Selection";
import { useTell } from "../parts/Toasts";

const PAUSE_MS = 300;
type Problem = Schemas["Problem"];

/** The value after it has not changed for a moment. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function LaunchpadPage() {
  const [params, change] = useParams();
  const [partitions, setPartitions] = useState(params.partitions ?? "");
  const [force, setForce] = useState(false);
  const [tags, setTags] = useState("");
  const [config, setConfig] = useState("");
  const tell = useTell();
  const navigate = useNavigate();
  const repository = api.useQuery("get", "/api/v1/repository");
  const job = params.job ?? "";
  const selection = params.selection ?? "";
  const labels = useMemo(() => parseTags(tags), [tags]);
  const request = useMemo(
    () => ({
      job: job || null,
      selection: job ? null : selection,
      partitions: partitions || null,
      force,
      config: job ? config : null,
      tags: labels.tags,
    }),
    [job, selection, partitions, force, config, labels],
  );
  const settled = useSettled(request);
  const plan = api.useQuery("post", "/api/v1/plan", { body: settled }, { placeholderData: (before) => before, retry: false });
  const launch = api.useMutation("post", "/api/v1/runs", {
    onSuccess: ({ run_id }) => void navigate({ to: "/runs/$id", params: { id: run_id } }),
    onError: tell.failed,
  });
  const backfill = api.useMutation("post", "/api/v1/backfills", {
    onSuccess: ({ backfill_id }) => void navigate({ to: "/backfills/$id", params: { id: backfill_id } }),
    onError: tell.failed,
  });
  const onSelect = useCallback((text: string) => change({ selection: text }), [change]);
  const waits = settled !== request || plan.isFetching;
  const wrong = plan.error as { message: string; problems?: Problem[] } | null;
  const nothing = !wrong && plan.data?.count === 0;
  const blocked = waits || wrong != null || nothing || labels.error != null || launch.isPending;
  return (
    <Page title="Launchpad">
      <div className="columns" style={{ gridTemplateColumns: "minmax(0, 1fr) 400px" }}>
        <div className="stack">
          <Panel title="What runs">
            <div className="stack">
              <div className="row">
                <select className="field" aria-label="Job or assets" value={job} onChange={(event) => change({ job: event.target.value })}>
                  <option value="">assets of a selection</option>
                  {(repository.data?.jobs ?? []).map((name) => <option key={name} value={name}>job {name}</option>)}
                </select>
                {!job && <SelectionBox value={selection} onChange={onSelect} />}
              </div>
              {!job && (
                <label className="check"><input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} /> Compute everything that is selected, also what is fresh</label>
              )}
            </div>
          </Panel>
          <Partitions selection={job ? "" : selection} plan={plan.data} value={partitions} onChange={setPartitions} />
          {job && <Config job={job} value={config} onChange={setConfig} />}
          <Panel title="Tags">
            <label>
              <span className="caption">NAME=VALUE, separated by commas or lines</span>
              <textarea className="field mono" rows={2} style={{ width: "100%" }} value={tags} onChange={(event) => setTags(event.target.value)} placeholder="team=finance, arrowsmith/priority=5" aria-invalid={labels.error ? true : undefined} />
            </label>
            {labels.error && <p className="said" role="alert" style={{ color: "var(--failed)" }}>{labels.error}</p>}
          </Panel>
        </div>
        <div className="stack" style={{ position: "sticky", top: 0 }}>
          <Panel
            title={wrong ? "It cannot run" : nothing ? "Nothing to do" : plan.data ? `${plural(plan.data.count, "step")} would run` : "Looking …"}
            actions={plan.data && !wrong && plan.data.fresh > 0 && <small>{plural(plan.data.fresh, "table or partition is", "tables and partitions are")} fresh</small>}
          >
            <div className="stack" aria-live="polite" aria-busy={waits}>
              {wrong && (wrong.problems && wrong.problems.length > 0 ? wrong.problems.map((problem, index) => <CodeFrame key={index} problem={problem} />) : <Failure error={wrong} />)}
              {nothing && <p className="muted">Everything that is selected is fresh: computing it would give what is current.</p>}
              {!wrong && plan.data && plan.data.count > 0 && (
                <ul tabIndex={0} role="list" aria-label="steps that would run" style={{ maxHeight: "44vh", overflow: "auto", display: "grid", gap: 3 }}>
                  {plan.data.steps.map((step) => <li key={step.key}><span>{step.key}</span> <small>{step.reason}</small></li>)}
                  {plan.data.count > plan.data.steps.length && <li className="muted">and {plural(plan.data.count - plan.data.steps.length, "more step")}</li>}
                </ul>
              )}
              <div className="row">
                <button type="button" className="button primary" disabled={blocked} onClick={() => launch.mutate({ body: request })}>Launch</button>
                {!job && plan.data && Object.keys(plan.data.partitions).length > 0 && (
                  <button type="button" className="button" disabled={blocked} onClick={() => backfill.mutate({ body: { selection, partitions: partitions || null, force, tags: labels.tags } })}>Backfill</button>
                )}
              </div>
              {repository.data && !repository.data.daemon && <p className="muted">No daemon is at work: what is launched waits until one is started.</p>}
            </div>
          </Panel>
        </div>
      </div>
    </Page>
  );
}

function parseTags(text: string): { tags: Record<string, string>; error?: string } {
  const tags: Record<string, string> = {};
  for (const part of text.split(/[,\n]/).map((of) => of.trim()).filter(Boolean)) {
    const at = part.indexOf("=");
    if (at <= 0) return { tags, error: `\`${part}\` has no value: a tag is NAME=VALUE` };
    tags[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return { tags };
}

function Partitions({ selection, plan, value, onChange }: { selection: string; plan: Schemas["PlanInfo"] | undefined; value: string; onChange: (text: string) => void }) {
  const assets = Object.keys(plan?.partitions ?? {});
  const [asset, setAsset] = useState("");
  const shown = assets.includes(asset) ? asset : assets[0];
  const map = api.useQuery("get", "/api/v1/assets/{key}/partitions", { params: { path: { key: shown ?? "" } } }, { enabled: shown !== undefined });
  if (assets.length === 0 && value === "" && selection === "") return null;
  return (
    <Panel
      title="Partitions"
      actions={assets.length > 1 && (
        <select className="field" aria-label="Asset of the map" value={shown} onChange={(event) => setAsset(event.target.value)}>
          {assets.map((name) => <option key={name}>{name}</option>)}
        </select>
      )}
    >
      <div className="stack">
        <label>
          <span className="caption">All that exist, unless keys, ranges as a...b, missing or latest(7) are written, or dragged over the map</span>
          <input className="field mono" style={{ width: "100%" }} value={value} onChange={(event) => onChange(event.target.value)} placeholder="all" aria-label="Partitions" />
        </label>
        {map.data && <HeatMap map={map.data} onChoose={onChange} />}
      </div>
    </Panel>
  );
}

function Config({ job, value, onChange }: { job: string; value: string; onChange: (text: string) => void }) {
  const info = api.useQuery("get", "/api/v1/jobs/{name}", { params: { path: { name: job } } });
  const settled = useSettled(value);
  const check = api.useQuery("post", "/api/v1/jobs/{name}/config", { params: { path: { name: job } }, body: { text: settled } }, { placeholderData: (before) => before });
  const problems = check.data?.problems;
  const shape = info.data?.shape;
  const completion = useCallback<CompletionSource>((context) => complete(context, shape), [shape]);
  if (!info.data) return null;
  if (info.data.template.trim() === "") return <Panel title="Run config"><p className="muted">The job takes none.</p></Panel>;
  return (
    <Panel
      title="Run config"
      actions={<button type="button" className="button small" onClick={() => onChange(info.data?.template ?? "")}>Write all entries</button>}
    >
      <div className="stack">
        <Code value={value} onChange={onChange} language="toml" label="run config" problems={problems} complete={completion} height="280px" />
        <div aria-live="polite" className="stack" data-problems={problems?.length ?? ""}>
          {(problems ?? []).map((problem, index) => <CodeFrame key={index} problem={problem} />)}
          {problems?.length === 0 && <p className="muted">It fits the job.</p>}
        </div>
      </div>
    </Panel>
  );
}
