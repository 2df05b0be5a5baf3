// One panel of lines over time, by uPlot. Panels share their cursor; dragging chooses a range.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import type { Series } from "../api";
import { lines } from "../colors";
import { metricName, tick, time, withUnit } from "../format";

interface Props {
  title: string;
  series: Series[];
  from: number; // ms
  to: number;
  step: number; // ms between two points; a wider gap is drawn as one
  onRange: (from: number, to: number) => void;
}

const kHeight = 170;
// Steps of an axis in MiB that are whole numbers of a unit when written with one.
const kBinarySteps = Array.from({ length: 40 }, (_, power) => 2 ** power);

// uPlot wants one row of times for all lines, and null where a line has nothing.
function align(series: Series[], step: number): uPlot.AlignedData {
  const times = new Set<number>();
  for (const line of series) for (const time of line.times) times.add(time);
  const sorted = [...times].sort((a, b) => a - b);
  const row: number[] = [];
  sorted.forEach((time, i) => {
    const before = sorted[i - 1];
    if (before !== undefined && time - before > step * 2.5) row.push(before + step);
    row.push(time);
  });
  const columns = series.map((line) => {
    const values = new Map(line.times.map((time, i) => [time, line.values[i]!]));
    return row.map((time) => values.get(time) ?? null);
  });
  return [row.map((time) => time / 1000), ...columns];
}

function draw(box: HTMLElement, props: Props): uPlot {
  const style = getComputedStyle(box);
  const ink = style.getPropertyValue("--muted").trim();
  const grid = style.getPropertyValue("--line").trim();
  const unit = props.series[0]?.unit ?? "";
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  const options: uPlot.Options = {
    width: Math.max(200, box.clientWidth),
    height: kHeight,
    cursor: { sync: { key: "gpu" }, drag: { x: true, y: false, setScale: false } },
    legend: { live: true },
    scales: {
      x: { time: true, min: props.from / 1000, max: props.to / 1000 },
      y: { range: (_plot, low, high) => (unit === "%" ? [0, 100] : uPlot.rangeNum(Math.min(low ?? 0, 0), high ?? 1, 0.1, true)) },
    },
    axes: [
      { ...axis, size: 32, values: (_plot, ticks) => ticks.map((each) => tick(each * 1000, props.to - props.from)) },
      { ...axis, size: 86, ...(unit === "MiB" ? { incrs: kBinarySteps } : {}), values: (_plot, ticks) => ticks.map((each) => withUnit(each, unit)) },
    ],
    series: [
      { value: (_plot, when) => (when === null ? "–" : time(when * 1000)) },
      ...props.series.map((line, i) => ({
        label: metricName(line.metric_name),
        stroke: lines[i % lines.length]!,
        width: 1.5,
        dash: i > 0 ? [6, 3] : undefined,
        points: { show: line.times.length < 40 },
        spanGaps: false,
        value: (_plot: uPlot, value: number | null) => withUnit(value, line.unit),
      })),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          if (plot.select.width < 5) return;
          const from = plot.posToVal(plot.select.left, "x") * 1000;
          const to = plot.posToVal(plot.select.left + plot.select.width, "x") * 1000;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          props.onRange(from, to);
        },
      ],
    },
  };
  return new uPlot(options, align(props.series, props.step), box);
}

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current!;
    let plot = draw(element, props);
    const resized = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.clientWidth), height: kHeight }));
    resized.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => {
      plot.destroy();
      plot = draw(element, props);
    };
    scheme.addEventListener("change", redraw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener("change", redraw);
      plot.destroy();
    };
  }, [props.series, props.from, props.to, props.step]);
  const last = props.series.map((line) => `${metricName(line.metric_name)} ${withUnit(line.values.at(-1), line.unit)}`);
  return (
    <figure class="panel">
      <figcaption>{props.title}</figcaption>
      <div ref={box} role="img" aria-label={`${props.title}, at last: ${last.join(", ")}`} />
    </figure>
  );
}
