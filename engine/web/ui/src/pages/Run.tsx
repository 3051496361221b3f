import { Link, useNavigate, useParams as useRouteParams } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { api, type Schemas } from "../api/client";
import { Gantt, useNow } from "../parts/Gantt";
import { bytes, count, moment, short, took } from "../parts/format";
import { Await, Page, Panel } from "../parts/Page";
import { State } from "../parts/State";
import { useTell } from "../parts/Toasts";

type Event = Schemas["EventInfo"];
type Line = Schemas["LogEntry"];
type Entry = { at: number; step: string; kind: string; text: string; tone: string };

/** What a run has said, as it says it. */
function useRunStream(id: string): { events: Event[]; lines: Line[]; run: Schemas["RunInfo"] | undefined } {
  const [events, setEvents] = useState<Event[]>([]);
  const [lines, setLines] = useState<Line[]>([]);
  const [run, setRun] = useState<Schemas["RunInfo"]>();
  useEffect(() => {
    setEvents([]);
    setLines([]);
    setRun(undefined);
    const source = new EventSource(`/api/v1/runs/${id}/stream`);
    let waiting: Event[] = [];
    let timer: number | undefined;
    // Thousands of events are shown at once, not one by one.
    const flush = () => {
      timer = undefined;
      const now = waiting;
      waiting = [];
      setEvents((before) => [...before, ...now]);
    };
    source.addEventListener("event", (message) => {
      waiting.push(JSON.parse(message.data));
      timer ??= window.setTimeout(flush, 200);
    });
    source.addEventListener("log", (message) => setLines((before) => [...before, ...JSON.parse(message.data)]));
    source.addEventListener("run", (message) => setRun(JSON.parse(message.data)));
    source.addEventListener("end", () => source.close());
    return () => {
      source.close();
      clearTimeout(timer);
    };
  }, [id]);
  return { events, lines, run };
}

export function RunPage() {
  const { id } = useRouteParams({ strict: false }) as { id: string };
  const detail = api.useQuery("get", "/api/v1/runs/{id}", { params: { path: { id } } });
  const told = useRunStream(detail.data?.run.run_id ?? id);
  const [chosen, setChosen] = useState<string>();
  useEffect(() => setChosen(undefined), [id]);
  const run = told.run ?? detail.data?.run;
  return (
    <Page
      title={`Run ${short(run?.run_id ?? id)}`}
      lead={run && <Lead run={run} />}
      actions={run && detail.data && <Actions run={run} steps={detail.data.steps} />}
    >
      <Await of={detail}>
        {(of) => (
          <div className="stack">
            {run?.error && <div className="notice tone-failed"><strong>It failed.</strong> {run.error}</div>}
            <Panel inset>
              {of.steps.length > 0 ? (
                <Gantt steps={of.steps} from={run?.started_at ?? of.run.created_at} to={run?.ended_at} chosen={chosen} onChoose={setChosen} />
              ) : (
                <p className="empty">{run?.status === "queued" ? "It waits in the queue." : "It has no steps."}</p>
              )}
            </Panel>
            {chosen && <Step name={chosen} of={of} events={told.events} />}
            <Log events={told.events} lines={told.lines} step={chosen} moving={run?.ended_at == null} />
            <About run={of.run} continued={of.continued_by} />
          </div>
        )}
      </Await>
    </Page>
  );
}

function Lead({ run }: { run: Schemas["RunInfo"] }) {
  const now = useNow(run.ended_at == null);
  return (
    <div className="row muted" aria-live="polite">
      <State state={run.status} />
      {run.job ? <Link to="/jobs/$name" params={{ name: run.job }}>{run.job}</Link> : <code>{run.selection}</code>}
      <span>{moment(run.started_at ?? run.created_at)}</span>
      {run.started_at != null && <span style={{ fontVariantNumeric: "tabular-nums" }}>{took((run.ended_at ?? now) - run.started_at)}</span>}
      {run.origin && <span>asked for by {run.origin}</span>}
      {run.backfill && <Link to="/backfills/$id" params={{ id: run.backfill }}>of a backfill</Link>}
    </div>
  );
}

function Actions({ run, steps }: { run: Schemas["RunInfo"]; steps: Schemas["StepInfo"][] }) {
  const tell = useTell();
  const navigate = useNavigate();
  const [select, setSelect] = useState("");
  const again = api.useMutation("post", "/api/v1/runs/{id}/reexecute", {
    onSuccess: ({ run_id }) => void navigate({ to: "/runs/$id", params: { id: run_id } }),
    onError: tell.failed,
  });
  const stop = api.useMutation("post", "/api/v1/runs/{id}/terminate", { onSuccess: () => tell.done("The run is asked to stop."), onError: tell.failed });
  const path = { params: { path: { id: run.run_id } } };
  const ended = run.ended_at != null;
  const failed = steps.some((step) => step.state === "failure" || step.state === "skipped" || step.state === "canceled");
  if (!ended) {
    return <button type="button" className="button danger" disabled={stop.isPending || run.status === "canceling"} onClick={() => stop.mutate(path)}>Terminate</button>;
  }
  return (
    <>
      <form className="row" onSubmit={(event) => { event.preventDefault(); again.mutate({ ...path, body: { select } }); }}>
        <input className="field" list="steps-of-run" aria-label="Steps to run again" placeholder="steps, such as daily*" value={select} onChange={(event) => setSelect(event.target.value)} style={{ width: 170 }} />
        <datalist id="steps-of-run">{steps.slice(0, 200).map((step) => <option key={step.key} value={step.key} />)}</datalist>
        <button type="submit" className="button" disabled={select.trim() === "" || again.isPending}>Re-execute these</button>
      </form>
      <button type="button" className="button" disabled={again.isPending} onClick={() => again.mutate({ ...path, body: "all" })}>Re-execute all</button>
      {failed && <button type="button" className="button primary" disabled={again.isPending} onClick={() => again.mutate({ ...path, body: "from_failure" })}>Re-execute from failure</button>}
    </>
  );
}

function Step({ name, of, events }: { name: string; of: Schemas["RunDetail"]; events: Event[] }) {
  const step = of.steps.find((step) => step.key === name);
  const outputs = of.outputs.filter((output) => output.step === name);
  const inputs = events.filter((event) => event.step === name && event.kind === "LOADED_INPUT");
  const checks = events.filter((event) => event.step === name && event.kind === "ASSET_CHECK_EVALUATION");
  if (!step) return null;
  return (
    <Panel title={name} actions={<State state={step.state} />}>
      <div className="stack">
        {step.reason && <p className="notice tone-failed">{step.reason}</p>}
        <dl className="facts">
          <dt>Attempt</dt><dd>{step.attempt}</dd>
          {step.started_at != null && <><dt>Began</dt><dd>{moment(step.started_at)}</dd></>}
          {step.row_count != null && <><dt>Rows</dt><dd>{count(step.row_count)}</dd></>}
          {step.size_bytes != null && <><dt>Size</dt><dd>{bytes(step.size_bytes)}</dd></>}
          {inputs.length > 0 && <><dt>Inputs</dt><dd>{inputs.map((event, at) => <div key={at}><code>{String(event.details.input)}</code> from <code>{String(event.details.from)}</code></div>)}</dd></>}
          {outputs.map((output) => (
            <Output key={output.output + (output.mapping_key ?? "")} of={output} />
          ))}
          {checks.length > 0 && <><dt>Checks</dt><dd>{checks.map((event) => <div key={event.id} className="row"><State state={event.details.passed ? "passed" : "check_failed"} /> {String(event.details.check)} <small>{String(event.details.found ?? "")}</small></div>)}</dd></>}
        </dl>
      </div>
    </Panel>
  );
}

function Output({ of }: { of: Schemas["OutputInfo"] }) {
  return (
    <>
      <dt>Output</dt>
      <dd>
        {of.asset ? <Link to="/assets/$key" params={{ key: of.asset }}>{of.asset}</Link> : <code>{of.output}{of.mapping_key && `[${of.mapping_key}]`}</code>} by {of.io_manager}
        {of.row_count != null && <>, {count(of.row_count)} rows</>} <small className="mono">{of.version}</small>
        {Object.entries(of.metadata).map(([name, value]) => <div key={name}><small>{name}</small> {typeof value === "string" ? value : JSON.stringify(value)}</div>)}
      </dd>
    </>
  );
}

const BAD = /FAILURE|ERROR|CANCEL/;

function entryOf(event: Event): Entry {
  const said = Object.entries(event.details).filter(([name]) => name !== "sample").map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const failedCheck = event.kind === "ASSET_CHECK_EVALUATION" && event.details.passed === false;
  const tone = BAD.test(event.kind) ? "failed" : failedCheck ? "check" : event.kind.includes("SUCCESS") || event.kind.includes("MATERIALIZATION") ? "fresh" : "missing";
  return { at: event.at, step: event.step ?? "", kind: event.kind, text: said.join(" "), tone };
}

function entryOfLine(line: Line): Entry {
  const fields = Object.entries(line.fields as Record<string, unknown>).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const tone = line.level === "ERROR" ? "failed" : line.level === "WARN" ? "stale" : "missing";
  return { at: line.at, step: line.step ?? "", kind: line.level, text: [line.message, ...fields].join(" "), tone };
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

function Log({ events, lines, step, moving }: { events: Event[]; lines: Line[]; step: string | undefined; moving: boolean }) {
  const [search, setSearch] = useState("");
  const [what, setWhat] = useState("all");
  const [follow, setFollow] = useState(true);
  const scroll = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => {
    const all = [...(what === "logs" ? [] : events.map(entryOf)), ...(what === "events" ? [] : lines.map(entryOfLine))];
    const wanted = search.toLowerCase();
    return all
      .filter((entry) => !step || entry.step === step)
      .filter((entry) => what !== "bad" || entry.tone === "failed" || entry.tone === "stale" || entry.tone === "check")
      .filter((entry) => wanted === "" || `${entry.kind} ${entry.step} ${entry.text}`.toLowerCase().includes(wanted))
      .sort((a, b) => a.at - b.at);
  }, [events, lines, step, search, what]);
  const rows = useVirtualizer({ count: shown.length, getScrollElement: () => scroll.current, estimateSize: () => 25, overscan: 20 });
  useEffect(() => {
    if (follow && moving && shown.length > 0) rows.scrollToIndex(shown.length - 1);
  }, [shown.length, follow, moving, rows]);
  return (
    <Panel
      inset
      title={step ? `Events and logs of ${step}` : "Events and logs"}
      actions={
        <>
          <input className="field" aria-label="Search the log" placeholder="Search" value={search} onChange={(event) => setSearch(event.target.value)} />
          <select className="field" aria-label="What is shown" value={what} onChange={(event) => setWhat(event.target.value)}>
            <option value="all">events and logs</option>
            <option value="events">events</option>
            <option value="logs">logs</option>
            <option value="bad">what went wrong</option>
          </select>
          <label className="check"><input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} /> Follow</label>
          <small>{count(shown.length)}</small>
        </>
      }
    >
      <div className="log" ref={scroll} tabIndex={0} role="log" aria-label="events and logs" aria-live="off">
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => {
            const entry = shown[item.index]!;
            return (
              <div key={item.key} ref={rows.measureElement} data-index={item.index} className={`log-row tone-${entry.tone}`} style={{ transform: `translateY(${item.start}px)` }}>
                <span className="muted">{TIME.format(new Date(entry.at / 1000))}</span>
                <span className="what" title={entry.kind}>{entry.kind}</span>
                <span className="step" title={entry.step}>{entry.step}</span>
                <span className="said">{entry.text}</span>
              </div>
            );
          })}
        </div>
        {shown.length === 0 && <p className="empty">Nothing yet.</p>}
      </div>
    </Panel>
  );
}

function About({ run, continued }: { run: Schemas["RunInfo"]; continued: string[] }) {
  const partitions = Object.entries(run.partitions);
  const config = run.config != null && typeof run.config === "object" && Object.keys(run.config).length > 0;
  return (
    <Panel title="About">
      <dl className="facts">
        <dt>Id</dt><dd className="mono">{run.run_id}</dd>
        <dt>Selection</dt><dd><code>{run.selection}</code></dd>
        {run.parent && <><dt>Goes on with</dt><dd><Link to="/runs/$id" params={{ id: run.parent }} className="mono">{run.parent}</Link></dd></>}
        {continued.length > 0 && <><dt>Continued by</dt><dd>{continued.map((id) => <div key={id}><Link to="/runs/$id" params={{ id }} className="mono">{id}</Link></div>)}</dd></>}
        {partitions.length > 0 && <><dt>Partitions</dt><dd>{partitions.map(([asset, set]) => <div key={asset}><Link to="/assets/$key" params={{ key: asset }}>{asset}</Link> <code>{set}</code></div>)}</dd></>}
        {Object.keys(run.tags).length > 0 && <><dt>Tags</dt><dd>{Object.entries(run.tags).map(([name, value]) => <span key={name} className="chip">{name}={value}</span>)}</dd></>}
        {config && <><dt>Run config</dt><dd><pre>{JSON.stringify(run.config, null, 2)}</pre></dd></>}
      </dl>
    </Panel>
  );
}
