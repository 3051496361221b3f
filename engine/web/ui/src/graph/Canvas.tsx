// The graph: edges and far-away nodes on a canvas, the readable few as real elements.
//
// While it is moved, what is drawn is only shifted; it is drawn anew between two frames if that is quick, else
// when the hand rests. So the frames do not depend on how many assets there are.
import { select } from "d3-selection";
import "d3-zoom";
import { type D3ZoomEvent, zoom, type ZoomBehavior, zoomIdentity, type ZoomTransform } from "d3-zoom";
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { Sign, toneOf, wordOf } from "../parts/State";

type Graph = Schemas["GraphDocument"];
type Node = Schemas["NodeInfo"];

const WIDTH = 204;
const HEIGHT = 44;
/** Nearer than this, nodes are elements that can be read. */
const READABLE = 0.38;
const CARDS_MAX = 150;
/** Nearer than this, names are drawn. */
const NAMED = 0.3;
const NAMES_MAX = 700;
/** What is drawn beyond the edge of what is seen, in parts of it. */
const MARGIN = 0.4;
/** Whatever takes longer is drawn when the hand rests. */
const QUICK_MS = 7;
const REST_MS = 140;

/** What a node is worth telling in the order of how bad it is. */
const WORST = ["failed", "check_failed", "running", "stale", "missing", "fresh", "source"];

/** The state of a node; of a group that of its worst asset. */
export function stateOf(node: Node, states: Record<string, string>): string {
  if (node.kind !== "group") return states[node.id] ?? "unknown";
  const found = new Set((node.assets ?? []).map((asset) => states[asset]));
  return WORST.find((state) => found.has(state)) ?? "unknown";
}

/** The smallest box around each edge: left, top, right, bottom. */
function boxes(graph: Graph): Float32Array {
  const all = new Float32Array(graph.edges.length * 4);
  graph.edges.forEach((edge, index) => {
    const [from, to] = [graph.nodes[edge.from]!, graph.nodes[edge.to]!];
    let [left, top, right, bottom] = [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.max(from.x, to.x), Math.max(from.y, to.y)];
    const via = edge.via ?? [];
    for (let at = 0; at < via.length; at += 2) {
      left = Math.min(left, via[at]!);
      right = Math.max(right, via[at]!);
      top = Math.min(top, via[at + 1]!);
      bottom = Math.max(bottom, via[at + 1]!);
    }
    all.set([left, top, right, bottom], index * 4);
  });
  return all;
}

function trace(context: CanvasRenderingContext2D, graph: Graph, index: number, straight: boolean) {
  const edge = graph.edges[index]!;
  const [from, to] = [graph.nodes[edge.from]!, graph.nodes[edge.to]!];
  const via = edge.via ?? [];
  let [x, y] = [from.x + WIDTH / 2, from.y];
  context.moveTo(x, y);
  const go = (nx: number, ny: number) => {
    if (straight) context.lineTo(nx, ny);
    else {
      const middle = (x + nx) / 2;
      context.bezierCurveTo(middle, y, middle, ny, nx, ny);
    }
    [x, y] = [nx, ny];
  };
  for (let at = 0; at < via.length; at += 2) go(via[at]!, via[at + 1]!);
  go(to.x - WIDTH / 2, to.y);
}

type Props = {
  graph: Graph;
  states: Record<string, string>;
  chosen: string | undefined;
  /** Nodes that are not dimmed; all if it is open. */
  lit: Set<string> | undefined;
  /** What a card says in the place of its state. */
  notes: Map<string, string> | undefined;
  onChoose: (id: string | undefined) => void;
  onOpen: (node: Node) => void;
};

export function Canvas({ graph, states, chosen, lit, notes, onChoose, onOpen }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const layer = useRef<HTMLDivElement>(null);
  const view = useRef<ZoomTransform>(zoomIdentity);
  const drawn = useRef({ view: zoomIdentity as ZoomTransform, cost: 0 });
  const zooming = useRef<ZoomBehavior<HTMLDivElement, unknown>>(null);
  const timer = useRef<number>(undefined);
  /** Whether somebody has moved it, so that it stays where it is. */
  const moved = useRef(false);
  const [cards, setCards] = useState<number[]>([]);
  const edgeBoxes = useMemo(() => boxes(graph), [graph]);
  const latest = useRef({ graph, states, lit, chosen, edgeBoxes });
  latest.current = { graph, states, lit, chosen, edgeBoxes };

  const draw = useCallback(() => {
    const [element, surface] = [box.current, canvas.current];
    const context = surface?.getContext("2d");
    if (!element || !surface || !context) return;
    const begun = performance.now();
    const { graph, states, lit, chosen, edgeBoxes } = latest.current;
    const { x, y, k } = view.current;
    const [width, height] = [element.clientWidth, element.clientHeight];
    const [mx, my] = [width * MARGIN, height * MARGIN];
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const size: [number, number] = [Math.round((width + 2 * mx) * ratio), Math.round((height + 2 * my) * ratio)];
    if (surface.width !== size[0] || surface.height !== size[1]) {
      [surface.width, surface.height] = size;
      surface.style.width = `${width + 2 * mx}px`;
      surface.style.height = `${height + 2 * my}px`;
    } else {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, ...size);
    }
    context.setTransform(ratio * k, 0, 0, ratio * k, ratio * (x + mx), ratio * (y + my));
    const style = getComputedStyle(element);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const [left, top, right, bottom] = [(-x - mx) / k, (-y - my) / k, (width + mx - x) / k, (height + my - y) / k];

    const straight = k < 0.18;
    const strong: number[] = [];
    context.lineWidth = Math.max(1.2, 0.7 / k);
    context.strokeStyle = color(lit ? "line" : "line-strong");
    context.globalAlpha = lit ? 0.7 : straight ? 0.45 : 0.75;
    context.beginPath();
    for (let index = 0; index < graph.edges.length; index++) {
      const at = index * 4;
      if (edgeBoxes[at]! > right || edgeBoxes[at + 2]! < left || edgeBoxes[at + 1]! > bottom || edgeBoxes[at + 3]! < top) continue;
      const edge = graph.edges[index]!;
      const [from, to] = [graph.nodes[edge.from]!.id, graph.nodes[edge.to]!.id];
      const isStrong = lit ? lit.has(from) && lit.has(to) : from === chosen || to === chosen;
      if (isStrong) strong.push(index);
      else trace(context, graph, index, straight);
    }
    context.stroke();
    context.globalAlpha = 1;
    if (strong.length > 0) {
      context.strokeStyle = color("accent");
      context.lineWidth = Math.max(2, 1.2 / k);
      context.beginPath();
      for (const index of strong) trace(context, graph, index, straight);
      context.stroke();
    }

    const seen: number[] = [];
    const readable: number[] = [];
    const [seenLeft, seenTop, seenRight, seenBottom] = [-x / k - WIDTH / 2, -y / k - HEIGHT, (width - x) / k + WIDTH / 2, (height - y) / k + HEIGHT];
    graph.nodes.forEach((node, index) => {
      if (node.x < left - WIDTH || node.x > right + WIDTH || node.y < top - HEIGHT || node.y > bottom + HEIGHT) return;
      seen.push(index);
      if (node.x >= seenLeft && node.x <= seenRight && node.y >= seenTop && node.y <= seenBottom) readable.push(index);
    });
    const asCards = k >= READABLE && readable.length <= CARDS_MAX ? readable : [];
    const isCard = new Set(asCards);
    const byTone = new Map<string, number[]>();
    for (const index of seen) {
      if (isCard.has(index)) continue;
      const tone = toneOf(stateOf(graph.nodes[index]!, states));
      const of = byTone.get(tone);
      if (of) of.push(index);
      else byTone.set(tone, [index]);
    }
    const named = k >= NAMED && seen.length <= NAMES_MAX;
    const fits = (id: string) => !lit || lit.has(id);
    for (const [tone, indexes] of byTone) {
      const ink = color(tone);
      for (const bright of [true, false]) {
        const of = indexes.filter((index) => fits(graph.nodes[index]!.id) === bright);
        if (of.length === 0) continue;
        context.globalAlpha = bright ? 1 : 0.3;
        if (named) {
          context.fillStyle = color("surface");
          context.beginPath();
          for (const index of of) context.rect(graph.nodes[index]!.x - WIDTH / 2, graph.nodes[index]!.y - HEIGHT / 2, WIDTH, HEIGHT);
          context.fill();
          context.strokeStyle = color("line-strong");
          context.lineWidth = 1 / k;
          context.stroke();
        }
        context.fillStyle = ink;
        context.beginPath();
        for (const index of of) {
          const node = graph.nodes[index]!;
          if (named) context.rect(node.x - WIDTH / 2, node.y - HEIGHT / 2, 4, HEIGHT);
          else context.rect(node.x - WIDTH / 2, node.y - HEIGHT / 2.6, WIDTH, HEIGHT / 1.3);
        }
        context.fill();
      }
    }
    if (named) {
      context.font = "600 13px ui-sans-serif, system-ui, sans-serif";
      context.textBaseline = "middle";
      context.fillStyle = color("ink");
      for (const index of seen) {
        if (isCard.has(index)) continue;
        const node = graph.nodes[index]!;
        context.globalAlpha = fits(node.id) ? 1 : 0.35;
        const name = node.id.length > 28 ? `…${node.id.slice(-27)}` : node.id;
        context.fillText(name, node.x - WIDTH / 2 + 12, node.y, WIDTH - 18);
      }
    }
    context.globalAlpha = 1;
    setCards((before) => (before.length === asCards.length && before.every((of, at) => of === asCards[at]) ? before : asCards));
    drawn.current = { view: view.current, cost: performance.now() - begun };
    place();
  }, []);

  /** Shifts what is drawn to where it would be drawn now. */
  const place = () => {
    const [element, surface, of] = [box.current, canvas.current, layer.current];
    if (!element || !surface || !of) return;
    const [now, then] = [view.current, drawn.current.view];
    const k = now.k / then.k;
    const [mx, my] = [element.clientWidth * MARGIN, element.clientHeight * MARGIN];
    surface.style.transform = `translate(${now.x - (then.x + mx) * k}px, ${now.y - (then.y + my) * k}px) scale(${k})`;
    of.style.transform = `translate(${now.x}px, ${now.y}px) scale(${now.k})`;
  };

  const fit = useCallback(() => {
    const [element, behavior] = [box.current, zooming.current];
    if (!element || !behavior) return;
    const { graph } = latest.current;
    const [width, height] = [element.clientWidth, element.clientHeight];
    const k = Math.min(1, (width - 40) / Math.max(graph.width, 1), (height - 40) / Math.max(graph.height, 1));
    const at = zoomIdentity.translate((width - graph.width * k) / 2, (height - graph.height * k) / 2).scale(k);
    select(element).call(behavior.transform, at);
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let frame = 0;
    const behavior = zoom<HTMLDivElement, unknown>()
      .scaleExtent([0.015, 2.5])
      .on("zoom", (event: D3ZoomEvent<HTMLDivElement, unknown>) => {
        view.current = event.transform;
        if (event.sourceEvent) moved.current = true;
        place();
        clearTimeout(timer.current);
        if (drawn.current.cost < QUICK_MS) {
          cancelAnimationFrame(frame);
          frame = requestAnimationFrame(draw);
        } else timer.current = window.setTimeout(draw, REST_MS);
      });
    zooming.current = behavior;
    select(element).call(behavior).on("dblclick.zoom", null);
    const resize = new ResizeObserver(() => (moved.current ? draw() : fit()));
    resize.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    window.addEventListener("themechange", draw);
    return () => {
      resize.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(timer.current);
      dark.removeEventListener("change", draw);
      window.removeEventListener("themechange", draw);
    };
  }, [draw, fit]);
  useEffect(() => {
    moved.current = false;
    fit();
  }, [graph, fit]);
  useEffect(() => draw(), [graph, states, lit, chosen, draw]);
  // What is chosen elsewhere is brought into sight.
  useEffect(() => {
    const [element, behavior] = [box.current, zooming.current];
    const node = chosen === undefined ? undefined : latest.current.graph.nodes.find((of) => of.id === chosen);
    if (!element || !behavior || !node) return;
    const [x, y] = view.current.apply([node.x, node.y]);
    const inside = x > 60 && y > 40 && x < element.clientWidth - 60 && y < element.clientHeight - 40;
    if (inside && view.current.k >= NAMED) return;
    const k = Math.max(view.current.k, 0.75);
    const at = zoomIdentity.translate(element.clientWidth / 2 - node.x * k, element.clientHeight / 2 - node.y * k).scale(k);
    select(element).call(behavior.transform, at);
  }, [chosen, graph]);
  const scale = (by: number) => {
    const [element, behavior] = [box.current, zooming.current];
    if (element && behavior) select(element).call(behavior.scaleBy, by);
  };
  return (
    <div
      className="canvas"
      ref={box}
      data-nodes={graph.nodes.length}
      onScroll={(event) => event.currentTarget.scrollTo(0, 0)}
      onClick={(event) => {
        if (event.target === box.current || event.target === canvas.current) {
          onChoose(hit(event, box.current, view.current, graph));
        }
      }}
      onDoubleClick={(event) => {
        const id = hit(event, box.current, view.current, graph);
        const node = graph.nodes.find((of) => of.id === id);
        if (node) onOpen(node);
      }}
    >
      <canvas ref={canvas} role="img" aria-label={`Graph of ${graph.nodes.length} nodes; the tree beside it has the same.`} />
      <div className="cards" ref={layer}>
        {cards.map((index) => {
          const node = graph.nodes[index];
          if (!node) return null;
          return (
            <Card key={node.id} node={node} state={stateOf(node, states)} chosen={node.id === chosen}
              dim={lit !== undefined && !lit.has(node.id)} note={notes?.get(node.id)} onChoose={onChoose} />
          );
        })}
      </div>
      <div className="tools">
        <button type="button" className="button small" onClick={() => scale(1.4)} aria-label="Zoom in">+</button>
        <button type="button" className="button small" onClick={() => scale(1 / 1.4)} aria-label="Zoom out">−</button>
        <button type="button" className="button small" onClick={() => {
          moved.current = false;
          fit();
        }}>Fit</button>
      </div>
    </div>
  );
}

/** The node under the pointer. */
function hit(event: React.MouseEvent, element: HTMLElement | null, view: ZoomTransform, graph: Graph): string | undefined {
  if (!element) return undefined;
  const at = element.getBoundingClientRect();
  const [x, y] = view.invert([event.clientX - at.left, event.clientY - at.top]);
  return graph.nodes.find((node) => Math.abs(node.x - x) <= WIDTH / 2 && Math.abs(node.y - y) <= HEIGHT / 2)?.id;
}

const Card = memo(function Card({ node, state, chosen, dim, note, onChoose }: {
  node: Node;
  state: string;
  chosen: boolean;
  dim: boolean;
  note: string | undefined;
  onChoose: (id: string) => void;
}) {
  const classes = ["card", node.kind, `tone-${toneOf(state)}`, chosen && "chosen", dim && "dim"];
  const more = node.kind === "group" ? `${node.assets?.length ?? 0} assets` : (note ?? [...node.kinds].join(" · "));
  return (
    <button type="button" tabIndex={-1} className={classes.filter(Boolean).join(" ")} data-id={node.id} data-state={state}
      style={{ left: node.x, top: node.y }} title={node.description ?? node.id} onClick={() => onChoose(node.id)}>
      <b>{node.id}</b>
      <small><Sign state={state} />{wordOf(state)}{more && <span>· {more}</span>}</small>
    </button>
  );
});
