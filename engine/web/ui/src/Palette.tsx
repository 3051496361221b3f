// Jumps anywhere by name: assets, runs, jobs, schedules, sensors, pages.
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useState } from "react";
import { api } from "./api/client";
import { Dialog } from "./parts/Dialog";
import { ago, short } from "./parts/format";
import { State } from "./parts/State";

type Entry = { label: string; kind: string; to: string; state?: string };

const PAGES: Entry[] = [
  ["Graph", "/"], ["Catalog", "/catalog"], ["Launchpad", "/launchpad"], ["Runs", "/runs"], ["Backfills", "/backfills"],
  ["Checks", "/checks"], ["Automation", "/automation"], ["Jobs", "/jobs"], ["Query", "/query"], ["Resources", "/resources"], ["Instance", "/instance"],
].map(([label, to]) => ({ label: label!, kind: "page", to: to! }));

export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const navigate = useNavigate();
  const id = useId();
  const search = text.trim().toLowerCase();
  const assets = api.useQuery("get", "/api/v1/assets", { params: { query: { search, limit: 12 } } }, { placeholderData: (before) => before });
  const repository = api.useQuery("get", "/api/v1/repository");
  const runs = api.useQuery("get", "/api/v1/runs", { params: { query: { limit: 200 } } });
  const fits = (name: string) => name.toLowerCase().includes(search);
  const of = repository.data;
  const entries: Entry[] = [
    ...PAGES.filter((page) => search === "" || fits(page.label)),
    ...(assets.data?.assets ?? []).map((asset) => ({ label: asset.key, kind: "asset", to: `/assets/${encodeURIComponent(asset.key)}`, state: asset.state })),
    ...(of?.jobs ?? []).filter(fits).map((name) => ({ label: name, kind: "job", to: `/jobs/${encodeURIComponent(name)}` })),
    ...(of?.schedules ?? []).filter(fits).map((name) => ({ label: name, kind: "schedule", to: `/automation/${encodeURIComponent(`schedule:${name}`)}` })),
    ...(of?.sensors ?? []).filter(fits).map((name) => ({ label: name, kind: "sensor", to: `/automation/${encodeURIComponent(`sensor:${name}`)}` })),
    ...(runs.data ?? [])
      .filter((run) => fits(`${run.run_id} ${run.job ?? run.selection}`))
      .slice(0, 8)
      .map((run) => ({ label: `${short(run.run_id)} ${run.job ?? run.selection}`, kind: `run · ${ago(run.created_at)}`, to: `/runs/${run.run_id}`, state: run.status })),
  ].slice(0, 40);
  useEffect(() => setAt(0), [search]);
  const go = (entry: Entry | undefined) => {
    if (!entry) return;
    onClose();
    void navigate({ href: entry.to });
  };
  const onKey = (event: React.KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0 && entries.length > 0) {
      event.preventDefault();
      const next = (at + step + entries.length) % entries.length;
      setAt(next);
      document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      go(entries[at]);
    }
  };
  return (
    <Dialog open onClose={onClose} title="Jump to" className="palette">
      <input
        autoFocus
        role="combobox"
        aria-label="Jump to"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={`${id}-${at}`}
        placeholder="An asset, run, job, schedule, sensor or page"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKey}
      />
      <ul id={id} role="listbox" aria-label="places">
        {entries.map((entry, index) => (
          <li key={`${entry.kind}-${entry.to}`} id={`${id}-${index}`} role="option" aria-selected={index === at} onClick={() => go(entry)}>
            <span>{entry.label}</span>
            {entry.state && <State state={entry.state} />}
            <small>{entry.kind}</small>
          </li>
        ))}
        {entries.length === 0 && <li role="option" aria-selected="false" aria-disabled="true" className="muted">Nothing has such a name.</li>}
      </ul>
    </Dialog>
  );
}
