// The steps of a run as bars over its time; what has ended can be left out, and runs of thousands scroll.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { took } from "./format";
import { Sign, toneOf, wordOf } from "./State";

type Step = Schemas["StepInfo"];
const ROW = 26;

/** The time, moving while something goes on. */
export function useNow(moving: boolean): number {
  const [now, setNow] = useState(() => Date.now() * 1000);
  useEffect(() => {
    if (!moving) return;
    const timer = setInterval(() => setNow(Date.now() * 1000), 500);
    return () => clearInterval(timer);
  }, [moving]);
  return now;
}

export function Gantt({ steps, from, to, chosen, onChoose }: {
  steps: Step[];
  from: number;
  /** When the run ended; none while it goes on. */
  to: number | null | undefined;
  chosen: string | undefined;
  onChoose: (step: string | undefined) => void;
}) {
  const now = useNow(to == null);
  const [hidesDone, setHidesDone] = useState(false);
  const [search, setSearch] = useState("");
  const end = Math.max(to ?? now, from + 1000);
  const shown = useMemo(() => {
    const done = new Set(["success", "confirmed", "reused"]);
    const rank = (step: Step) => step.started_at ?? step.ended_at ?? Number.MAX_SAFE_INTEGER;
    return steps
      .filter((step) => step.key.toLowerCase().includes(search.toLowerCase()))
      .filter((step) => !hidesDone || !done.has(step.state))
      .sort((a, b) => rank(a) - rank(b));
  }, [steps, search, hidesDone]);
  const scroll = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: shown.length, getScrollElement: () => scroll.current, estimateSize: () => ROW, overscan: 12 });
  const at = (micros: number) => `${Math.min(Math.max(((micros - from) / (end - from)) * 100, 0), 100)}%`;
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return (
    <div className="gantt">
      <div className="row" style={{ padding: "8px 12px" }}>
        <input className="field" aria-label="Find a step" placeholder="Find a step" value={search} onChange={(event) => setSearch(event.target.value)} />
        <label className="check"><input type="checkbox" checked={hidesDone} onChange={(event) => setHidesDone(event.target.checked)} /> Hide what is done</label>
        <span className="muted">{shown.length} of {steps.length} steps</span>
      </div>
      <div className="gantt-axis" aria-hidden="true">
        <span />
        <div>{ticks.map((part) => <i key={part} style={{ left: `${part * 100}%` }}>{took((end - from) * part)}</i>)}</div>
      </div>
      <div className="gantt-rows" ref={scroll} style={{ height: Math.min(shown.length * ROW + 4, 420) }} role="listbox" aria-label="steps" tabIndex={0}
        onKeyDown={(event) => {
          const index = shown.findIndex((step) => step.key === chosen);
          const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (step === 0 || shown.length === 0) return;
          event.preventDefault();
          const next = Math.min(Math.max(index + step, 0), shown.length - 1);
          onChoose(shown[next]!.key);
          rows.scrollToIndex(next);
        }}>
        <div style={{ height: rows.getTotalSize(), position: "relative" }} role="presentation">
          {rows.getVirtualItems().map((item) => {
            const step = shown[item.index]!;
            const begun = step.started_at ?? undefined;
            const ended = step.ended_at ?? (begun === undefined ? undefined : end);
            return (
              <div
                key={step.key}
                className={`gantt-row tone-${toneOf(step.state)}`}
                style={{ transform: `translateY(${item.start}px)` }}
                role="option"
                aria-selected={step.key === chosen}
                data-step={step.key}
                data-state={step.state}
                onClick={() => onChoose(step.key === chosen ? undefined : step.key)}
              >
                <span className="gantt-name" title={step.key}><Sign state={step.state} /><b>{step.key.split("[")[0]}</b>{step.key.includes("[") && <small>{step.key.slice(step.key.indexOf("["))}</small>}</span>
                <span className="gantt-track">
                  {begun !== undefined && ended !== undefined && (
                    <i style={{ left: at(begun), width: `max(3px, calc(${at(ended)} - ${at(begun)}))` }} />
                  )}
                  <small style={begun === undefined ? { left: 0 } : { left: `calc(${at(ended ?? begun)} + 6px)` }}>
                    {begun === undefined ? wordOf(step.state) : took((ended ?? begun) - begun)}
                    <span className="hidden"> {wordOf(step.state)}</span>
                  </small>
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
