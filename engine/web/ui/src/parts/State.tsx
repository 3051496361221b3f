// How something stands, by word, sign and colour: never by colour alone.

type Tone = "fresh" | "stale" | "missing" | "failed" | "check" | "running" | "source";

const TONES: Record<string, [Tone, string]> = {
  fresh: ["fresh", "fresh"],
  stale: ["stale", "stale"],
  missing: ["missing", "missing"],
  failed: ["failed", "failed"],
  check_failed: ["check", "check failed"],
  running: ["running", "running"],
  source: ["source", "source"],
  group: ["source", "group"],
  queued: ["missing", "queued"],
  starting: ["running", "starting"],
  started: ["running", "running"],
  canceling: ["stale", "stopping"],
  success: ["fresh", "success"],
  failure: ["failed", "failure"],
  canceled: ["missing", "canceled"],
  planned: ["missing", "planned"],
  up_for_retry: ["stale", "waits to retry"],
  confirmed: ["fresh", "confirmed"],
  reused: ["fresh", "reused"],
  skipped: ["missing", "skipped"],
  requested: ["running", "requested"],
  completed_success: ["fresh", "completed"],
  completed_failed: ["failed", "completed, some failed"],
  passed: ["fresh", "passed"],
  warning: ["stale", "warning"],
  pass: ["fresh", "in time"],
  warn: ["stale", "late soon"],
  fail: ["failed", "too old"],
  unknown: ["missing", "unknown"],
  stopped: ["missing", "stopped"],
  on: ["fresh", "on"],
};

export const toneOf = (state: string): Tone => TONES[state]?.[0] ?? "missing";
export const wordOf = (state: string): string => TONES[state]?.[1] ?? state;

const SIGNS: Record<Tone, string> = {
  fresh: "M2 6.5 5 9.2 10 3.2",
  stale: "M6 2v4.4l2.6 1.8",
  missing: "M2.5 6h7",
  failed: "M3 3l6 6M9 3l-6 6",
  check: "M6 2v5M6 9.4v.4",
  running: "M3.5 2.4 9.4 6l-5.9 3.6z",
  source: "M2.5 3h7v6h-7z",
};

export function Sign({ state }: { state: string }) {
  return (
    <svg viewBox="0 0 12 12" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round">
      <path d={SIGNS[toneOf(state)]} />
    </svg>
  );
}

export function State({ state }: { state: string }) {
  return (
    <span className={`state tone-${toneOf(state)}`} data-state={state}>
      <Sign state={state} />
      {wordOf(state)}
    </span>
  );
}
