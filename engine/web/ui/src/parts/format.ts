// Numbers and times as people read them.

const NUMBER = new Intl.NumberFormat("en");
const WHEN = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

export const count = (n: number | null | undefined) => (n == null ? "" : NUMBER.format(n));

export function bytes(n: number | null | undefined): string {
  if (n == null) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [n, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** Microseconds as a length of time. */
export function took(micros: number | null | undefined): string {
  if (micros == null) return "";
  const ms = micros / 1000;
  if (ms < 1) return `${Math.round(micros)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s.toFixed(s < 10 ? 2 : 1)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.round(s % 60)} s`;
  return `${Math.floor(m / 60)} h ${m % 60} min`;
}

/** A moment in microseconds since 1970, in the zone of the reader. */
export const moment = (micros: number | null | undefined) =>
  micros == null ? "" : WHEN.format(new Date(micros / 1000));

export function ago(micros: number | null | undefined, now = Date.now()): string {
  if (micros == null) return "";
  const s = Math.round((now - micros / 1000) / 1000);
  if (s < 0) return `in ${span(-s)}`;
  return s < 5 ? "just now" : `${span(s)} ago`;
}

function span(s: number): string {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** The end of an id tells it from others. */
export const short = (id: string) => id.slice(-8);

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
