// What happens reaches pages as it happens: each event says which answers are no longer true.
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { Schemas } from "./client";

/** Answers are asked for again no more often than this. */
const PAUSE_MS = 700;

const BY_RUN = ["/api/v1/runs", "/api/v1/runs/{id}", "/api/v1/jobs", "/api/v1/jobs/{name}", "/api/v1/backfills", "/api/v1/backfills/{id}", "/api/v1/instance"];
const BY_ASSET = ["/api/v1/states", "/api/v1/assets", "/api/v1/assets/{key}", "/api/v1/assets/{key}/versions", "/api/v1/assets/{key}/partitions", "/api/v1/assets/{key}/statistics", "/api/v1/assets/{key}/rows", "/api/v1/assets/{key}/why"];
const BY_CHECK = ["/api/v1/checks", "/api/v1/assets/{key}/checks/{check}"];
const BY_TICK = ["/api/v1/schedules", "/api/v1/sensors", "/api/v1/instigators/{id}/ticks", "/api/v1/assets/{key}/evaluations"];

function outdated(kind: string): string[] {
  if (kind.startsWith("ASSET_CHECK")) return [...BY_CHECK, ...BY_ASSET];
  if (kind.startsWith("ASSET")) return BY_ASSET;
  if (kind === "STEP_START") return ["/api/v1/runs/{id}", "/api/v1/states"];
  if (kind.startsWith("STEP")) return ["/api/v1/runs/{id}", "/api/v1/backfills/{id}", ...BY_ASSET];
  return [...BY_RUN, ...BY_ASSET];
}

let connected = false;
const listeners = new Set<() => void>();

function setConnected(now: boolean) {
  connected = now;
  for (const listener of listeners) listener();
}

/** Whether the page is told of what happens. */
export function useConnected(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => connected,
  );
}

function follow(queries: QueryClient): () => void {
  const source = new EventSource("/api/v1/events");
  const paths = new Set<string>();
  let timer: number | undefined;
  const flush = () => {
    timer = undefined;
    const now = new Set(paths);
    paths.clear();
    void queries.invalidateQueries({ predicate: (query) => now.has(String(query.queryKey[1])) });
  };
  const mark = (of: string[]) => {
    for (const path of of) paths.add(path);
    timer ??= window.setTimeout(flush, PAUSE_MS);
  };
  source.addEventListener("hello", () => setConnected(true));
  source.onopen = () => setConnected(true);
  source.onerror = () => setConnected(false);
  source.addEventListener("event", (message) => {
    mark(outdated((JSON.parse(message.data) as Schemas["EventInfo"]).kind));
  });
  source.addEventListener("lagged", () => mark([...BY_RUN, ...BY_ASSET, ...BY_CHECK]));
  source.addEventListener("tick", () => mark(BY_TICK));
  source.addEventListener("repository", () => void queries.invalidateQueries());
  return () => {
    source.close();
    clearTimeout(timer);
  };
}

/** Keeps all answers true as long as the component is shown. */
export function useLive() {
  const queries = useQueryClient();
  useEffect(() => follow(queries), [queries]);
}
