// The graph as a tree, for keyboards, screen readers and whoever looks for a name.
//
// Up and down walk the list; left and right close and open groups, or walk to what an asset reads and to what
// reads it.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { Sign, toneOf, wordOf } from "../parts/State";

type Node = Schemas["NodeInfo"];
type Item = { id: string; level: number; group?: string; size?: number };
const ROW = 26;

export function Tree({ nodes, edges, states, chosen, onChoose }: {
  nodes: Node[];
  edges: Schemas["EdgeInfo"][];
  states: Record<string, string>;
  chosen: string | undefined;
  onChoose: (id: string) => void;
}) {
  const [closed, setClosed] = useState<Set<string>>(new Set());
  const [at, setAt] = useState(0);
  const scroll = useRef<HTMLDivElement>(null);
  const items = useMemo(() => {
    const groups = new Map<string, string[]>();
    for (const node of nodes) {
      const group = node.kind === "source" ? "sources" : (node.group ?? "no group");
      const of = groups.get(group) ?? [];
      of.push(...(node.kind === "group" ? (node.assets ?? []) : [node.id]));
      groups.set(group, of);
    }
    const all: Item[] = [];
    for (const [group, assets] of [...groups].sort(([a], [b]) => a.localeCompare(b))) {
      all.push({ id: group, level: 1, group, size: assets.length });
      if (!closed.has(group)) all.push(...assets.sort().map((id) => ({ id, level: 2 })));
    }
    return all;
  }, [nodes, closed]);
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => scroll.current, estimateSize: () => ROW, overscan: 20 });
  useEffect(() => {
    const index = items.findIndex((item) => item.level === 2 && item.id === chosen);
    if (index >= 0) {
      setAt(index);
      rows.scrollToIndex(index, { align: "auto" });
    }
    // Only what is chosen moves the list.
    // eslint-disable-next-line
  }, [chosen]);
  const toggle = (group: string) => {
    const next = new Set(closed);
    if (!next.delete(group)) next.add(group);
    setClosed(next);
  };
  const walk = (id: string, down: boolean) => {
    const index = nodes.findIndex((node) => node.id === id);
    const edge = edges.find((of) => (down ? of.from : of.to) === index);
    const next = edge && nodes[down ? edge.to : edge.from];
    if (next) onChoose(next.id);
  };
  const onKey = (event: React.KeyboardEvent) => {
    const item = items[at];
    const move = (to: number) => {
      const next = Math.min(Math.max(to, 0), items.length - 1);
      setAt(next);
      rows.scrollToIndex(next, { align: "auto" });
      const of = items[next];
      if (of?.level === 2) onChoose(of.id);
    };
    const keys: Record<string, () => void> = {
      ArrowDown: () => move(at + 1),
      ArrowUp: () => move(at - 1),
      Home: () => move(0),
      End: () => move(items.length - 1),
      ArrowRight: () => (item?.group ? closed.has(item.group) && toggle(item.group) : item && walk(item.id, true)),
      ArrowLeft: () => (item?.group ? !closed.has(item.group) && toggle(item.group) : item && walk(item.id, false)),
      Enter: () => (item?.group ? toggle(item.group) : item && onChoose(item.id)),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  return (
    <div
      ref={scroll}
      className="graph-tree"
      role="tree"
      aria-label="assets"
      tabIndex={0}
      aria-activedescendant={items[at] ? `tree-${at}` : undefined}
      onKeyDown={onKey}
    >
      <div style={{ height: rows.getTotalSize(), position: "relative" }} role="presentation">
        {rows.getVirtualItems().map((row) => {
          const item = items[row.index]!;
          const state = item.group ? undefined : (states[item.id] ?? "unknown");
          return (
            <div
              key={`${item.level}-${item.id}`}
              id={`tree-${row.index}`}
              role="treeitem"
              aria-level={item.level}
              aria-expanded={item.group ? !closed.has(item.group) : undefined}
              aria-selected={item.level === 2 && item.id === chosen}
              className={state ? `tone-${toneOf(state)}` : ""}
              style={{ transform: `translateY(${row.start}px)`, paddingLeft: item.level === 2 ? 24 : 6, outline: row.index === at ? "1px dotted var(--line-strong)" : undefined }}
              onClick={() => {
                setAt(row.index);
                if (item.group) toggle(item.group);
                else onChoose(item.id);
              }}
            >
              {item.group ? (
                <>
                  <span className="twist" aria-hidden="true">{closed.has(item.group) ? "▸" : "▾"}</span>
                  <strong className="name">{item.id}</strong>
                  <small className="grow" style={{ textAlign: "right" }}>{item.size}</small>
                </>
              ) : (
                <>
                  <Sign state={state!} />
                  <span className="name" title={item.id}>{item.id}</span>
                  <span className="hidden">, {wordOf(state!)}</span>
                </>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
