// A measure over time, with the table that it is drawn from for whoever cannot see it.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export function Plot({ title, at, values, format }: {
  title: string;
  /** Microseconds since 1970, rising. */
  at: number[];
  values: number[];
  format: (value: number) => string;
}) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element || at.length === 0) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, font: "11px system-ui" };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 150,
        cursor: { y: false, points: { size: 7 } },
        legend: { show: false },
        scales: { y: { range: (_, min, max) => [Math.min(0, min), max <= 0 ? 1 : max * 1.08] } },
        axes: [{ ...axis, space: 90 }, { ...axis, size: 70, values: (_, ticks) => ticks.map(format) }],
        series: [
          {},
          { stroke: color("--accent"), width: 2, fill: color("--accent-soft"), points: { show: at.length < 60, size: 6, fill: color("--surface") } },
        ],
      },
      [at.map((micros) => micros / 1e6), values],
      element,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 150 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [at, values, format]);
  const last = values.at(-1);
  return (
    <figure>
      <figcaption className="row spread">
        <h3>{title}</h3>
        {last !== undefined && <span className="muted">last {format(last)}</span>}
      </figcaption>
      <div ref={box} aria-hidden="true" />
      <p className="hidden">{title} of the last {values.length} versions: {values.slice(-20).map(format).join(", ")}</p>
    </figure>
  );
}
