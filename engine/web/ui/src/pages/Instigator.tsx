import { Link, useParams as useRouteParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas } from "../api/client";
import { moment, plural, short, took } from "../parts/format";
import { Await, Empty, Failure, Page, Panel } from "../parts/Page";
import { State } from "../parts/State";
import { useTell } from "../parts/Toasts";
import { Switch } from "./Automation";

export function InstigatorPage() {
  const { id } = useRouteParams({ strict: false }) as { id: string };
  const schedules = api.useQuery("get", "/api/v1/schedules");
  const sensors = api.useQuery("get", "/api/v1/sensors");
  const of = [...(schedules.data ?? []), ...(sensors.data ?? [])].find((one) => one.id === id);
  const ticks = api.useQuery("get", "/api/v1/instigators/{id}/ticks", { params: { path: { id }, query: { limit: 100 } } });
  const kind = id.split(":")[0] ?? "";
  return (
    <Page title={of?.name ?? id} lead={of && <div className="row muted"><span className="chip">{kind}</span>{of.when}{of.target && <code>{of.target}</code>}{of.next_tick != null && <span>next {moment(of.next_tick)}</span>}</div>} actions={of && <Switch of={of} />}>
      {of && (
        <div className="columns">
          <DryRun id={id} able={of.name !== "automation"} kind={kind} />
          <div className="stack">
            {kind === "sensor" && of.name !== "automation" && <Cursor of={of} />}
            <Panel title="About">
              <dl className="facts">
                {of.description && <><dt>Description</dt><dd>{of.description}</dd></>}
                {of.place && <><dt>Defined</dt><dd className="mono">{of.place}</dd></>}
                {Object.entries(of.tags).length > 0 && <><dt>Tags</dt><dd>{Object.entries(of.tags).map(([name, value]) => <span key={name} className="chip">{name}={value}</span>)}</dd></>}
              </dl>
            </Panel>
          </div>
        </div>
      )}
      <Await of={ticks}>
        {(all) => (
          <Panel inset title="Ticks" actions={<Strip of={all} />}>
            <div className="scroll" tabIndex={0} role="region" aria-label="ticks">
              <table className="grid">
                <thead><tr><th>For</th><th>Status</th><th>Runs</th><th className="num">Took</th><th>Why</th></tr></thead>
                <tbody>
                  {all.map((tick) => (
                    <tr key={tick.id}>
                      <td>{moment(tick.scheduled_at)}</td>
                      <td><State state={tick.status} /></td>
                      <td>{tick.runs.map((run) => <Link key={run} to="/runs/$id" params={{ id: run }} className="mono">{short(run)} </Link>)}{tick.suppressed.length > 0 && <small>{plural(tick.suppressed.length, "run")} asked for before</small>}</td>
                      <td className="num">{took(tick.ended_at - tick.began_at)}</td>
                      <td>{tick.reason}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {all.length === 0 && <Empty>It has not ticked yet.</Empty>}
            </div>
          </Panel>
        )}
      </Await>
    </Page>
  );
}

/** The newest ticks at a glance, the newest to the right. */
function Strip({ of }: { of: Schemas["TickInfo"][] }) {
  const tones: Record<string, string> = { success: "var(--fresh)", skipped: "var(--line-strong)", failure: "var(--failed)" };
  return (
    <span style={{ display: "flex", gap: 2, alignItems: "flex-end", height: 18 }} aria-hidden="true">
      {[...of].slice(0, 60).reverse().map((tick) => <i key={tick.id} title={`${moment(tick.scheduled_at)} ${tick.status}`} style={{ width: 4, height: tick.status === "skipped" ? 8 : 18, background: tones[tick.status], borderRadius: 1 }} />)}
    </span>
  );
}

function DryRun({ id, able, kind }: { id: string; able: boolean; kind: string }) {
  const preview = api.useMutation("post", "/api/v1/instigators/{id}/preview");
  const of = preview.data;
  return (
    <Panel title="Dry run" actions={<button type="button" className="button small" disabled={!able || preview.isPending} onClick={() => preview.mutate({ params: { path: { id } } })}>{preview.isPending ? "Looking …" : "Look"}</button>}>
      <div className="stack" aria-live="polite">
        {!of && !preview.error && <p className="muted">{able ? `What ${kind === "schedule" ? "it would ask for at its next tick" : "it would ask for now"}. Nothing is run or remembered.` : "Conditions are told on the automation tab of each asset."}</p>}
        {preview.error && <Failure error={preview.error} />}
        {of?.error && <p className="notice tone-failed"><strong>It failed.</strong> {of.error}</p>}
        {of && !of.error && <p>{of.at != null && `At ${moment(of.at)} it`}{of.at == null && "It"} would ask for {plural(of.requests.length, "run")}.{of.skip_reason && ` ${of.skip_reason}`}</p>}
        {of?.requests.slice(0, 50).map((request, index) => (
          <dl key={index} className="facts panel" style={{ padding: 10 }}>
            {request.target && <><dt>Runs</dt><dd><code>{request.target}</code></dd></>}
            {request.run_key && <><dt>Run key</dt><dd><code>{request.run_key}</code></dd></>}
            {request.partitions && <><dt>Partitions</dt><dd><code>{request.partitions}</code></dd></>}
            {Object.keys(request.tags).length > 0 && <><dt>Tags</dt><dd>{Object.entries(request.tags).map(([name, value]) => `${name}=${value}`).join(", ")}</dd></>}
            {request.config != null && <><dt>Config</dt><dd><pre>{JSON.stringify(request.config, null, 2)}</pre></dd></>}
          </dl>
        ))}
      </div>
    </Panel>
  );
}

function Cursor({ of }: { of: Schemas["InstigatorInfo"] }) {
  const tell = useTell();
  const [text, setText] = useState(of.cursor ?? "");
  const sensors = api.useQuery("get", "/api/v1/sensors", undefined, { enabled: false });
  const change = api.useMutation("post", "/api/v1/instigators/{id}", {
    onSuccess: () => {
      tell.done("The cursor is changed.");
      void sensors.refetch();
    },
    onError: tell.failed,
  });
  return (
    <Panel title="Cursor">
      <form className="stack" onSubmit={(event) => { event.preventDefault(); change.mutate({ params: { path: { id: of.id } }, body: { cursor: text } }); }}>
        <label><span className="caption">What it has seen</span><textarea className="field mono" rows={3} style={{ width: "100%" }} value={text} onChange={(event) => setText(event.target.value)} /></label>
        <div className="row">
          <button type="submit" className="button small">Set</button>
          <button type="button" className="button small" onClick={() => { setText(""); change.mutate({ params: { path: { id: of.id } }, body: { cursor: null } }); }}>Let it have seen nothing</button>
        </div>
      </form>
    </Panel>
  );
}
