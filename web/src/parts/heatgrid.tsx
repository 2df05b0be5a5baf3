// Every GPU as a cell, by host, coloured by a value. One canvas: 10,000 cells are drawn in a few
// milliseconds. Works with mouse, touch and keyboard; what is selected is also said in words.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { FleetGpu } from "../api";
import { heat } from "../colors";
import { ago, withUnit } from "../format";

interface Props {
  gpus: FleetGpu[]; // in the order in which hosts are shown
  range: [number, number];
  unit: string;
  onOpen: (gpu: FleetGpu) => void;
}

interface Cell {
  gpu: FleetGpu;
  x: number;
  y: number;
}
interface Layout {
  cells: Cell[];
  labels: { text: string; x: number; y: number }[];
  size: number;
  width: number;
  height: number;
}

const kGap = 2;

function lay(gpus: FleetGpu[], width: number): Layout {
  const hosts = new Map<string, FleetGpu[]>();
  for (const gpu of gpus) {
    const list = hosts.get(gpu.hostname);
    if (list) list.push(gpu);
    else hosts.set(gpu.hostname, [gpu]);
  }
  const size = gpus.length <= 160 ? 30 : gpus.length <= 1200 ? 18 : 11;
  const labelled = size >= 18;
  let columns = 1;
  for (const list of hosts.values()) columns = Math.max(columns, Math.min(8, list.length));
  const block = columns * (size + kGap) + 14;
  const perRow = Math.max(1, Math.floor((width + 14) / block));
  const cells: Cell[] = [];
  const labels: Layout["labels"] = [];
  let x = 0;
  let y = 0;
  let tallest = 0;
  let inRow = 0;
  for (const [host, list] of hosts) {
    if (inRow === perRow) {
      x = 0;
      y += tallest + (labelled ? 12 : 8);
      tallest = 0;
      inRow = 0;
    }
    const top = y + (labelled ? 16 : 0);
    if (labelled) labels.push({ text: host, x, y: y + 11 });
    list.forEach((gpu, i) => {
      cells.push({ gpu, x: x + (i % columns) * (size + kGap), y: top + Math.floor(i / columns) * (size + kGap) });
    });
    tallest = Math.max(tallest, (labelled ? 16 : 0) + Math.ceil(list.length / columns) * (size + kGap));
    x += block;
    ++inRow;
  }
  return { cells, labels, size, width, height: y + tallest };
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, size: number, color: string) {
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  context.beginPath();
  context.moveTo(x + 1, y + size - 1);
  context.lineTo(x + size - 1, y + 1);
  context.stroke();
}

export function HeatGrid({ gpus, range, unit, onOpen }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [selected, setSelected] = useState<string | null>(null);
  const [dark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(box.current!);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setDark(scheme.matches);
    scheme.addEventListener("change", changed);
    return () => {
      observer.disconnect();
      scheme.removeEventListener("change", changed);
    };
  }, []);

  const layout = useMemo(() => lay(gpus, width), [gpus, width]);
  const at = layout.cells.findIndex((cell) => cell.gpu.uuid === selected);

  useEffect(() => {
    const surface = canvas.current!;
    const scale = devicePixelRatio || 1;
    surface.width = Math.max(1, Math.floor(layout.width * scale));
    surface.height = Math.max(1, Math.floor(layout.height * scale));
    const context = surface.getContext("2d")!;
    context.scale(scale, scale);
    context.clearRect(0, 0, layout.width, layout.height);
    const style = getComputedStyle(surface);
    const muted = style.getPropertyValue("--muted");
    const ink = style.getPropertyValue("--ink");
    context.font = `11px ${style.fontFamily}`;
    context.fillStyle = muted;
    for (const label of layout.labels) context.fillText(label.text, label.x, label.y, layout.size * 8 + 14);
    const span = range[1] - range[0] || 1;
    for (const { gpu, x, y } of layout.cells) {
      const value = gpu.values[0];
      if (gpu.state !== "live" || value === null || value === undefined) {
        hatch(context, x, y, layout.size, muted);
        continue;
      }
      context.fillStyle = heat((value - range[0]) / span);
      context.fillRect(x, y, layout.size, layout.size);
    }
    const cell = layout.cells[at];
    if (cell) {
      context.strokeStyle = ink;
      context.lineWidth = 2;
      context.strokeRect(cell.x - 1, cell.y - 1, layout.size + 2, layout.size + 2);
    }
  }, [layout, range, at, dark]);

  const find = (event: MouseEvent) => {
    const { offsetX, offsetY } = event;
    const step = layout.size + kGap;
    return layout.cells.find(
      (cell) => offsetX >= cell.x && offsetX < cell.x + step && offsetY >= cell.y && offsetY < cell.y + step,
    );
  };
  const move = (by: number) => {
    const next = layout.cells[Math.min(layout.cells.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (next) setSelected(next.gpu.uuid);
  };
  // The cell that lies next below or above.
  const climb = (down: boolean) => {
    const from = layout.cells[at];
    if (!from) return move(0);
    let best: Cell | undefined;
    for (const cell of layout.cells) {
      const dy = down ? cell.y - from.y : from.y - cell.y;
      if (dy <= 0) continue;
      const distance = dy * 4 + Math.abs(cell.x - from.x);
      const other = best ? (down ? best.y - from.y : from.y - best.y) * 4 + Math.abs(best.x - from.x) : Infinity;
      if (distance < other) best = cell;
    }
    if (best) setSelected(best.gpu.uuid);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const keys: Record<string, () => void> = {
      ArrowRight: () => move(1),
      ArrowLeft: () => move(-1),
      ArrowDown: () => climb(true),
      ArrowUp: () => climb(false),
      Home: () => move(-layout.cells.length),
      End: () => move(layout.cells.length),
      Enter: () => layout.cells[at] && onOpen(layout.cells[at].gpu),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  const chosen = layout.cells[at];
  return (
    <div class="heatgrid" ref={box}>
      <canvas
        ref={canvas}
        style={{ width: `${layout.width}px`, height: `${layout.height}px` }}
        tabIndex={0}
        role="application"
        aria-label={`${gpus.length} GPUs. Arrow keys choose one, Enter opens it.`}
        onMouseMove={(event) => setSelected(find(event)?.gpu.uuid ?? null)}
        onMouseLeave={() => setSelected(null)}
        onClick={(event) => {
          const cell = find(event);
          if (cell) onOpen(cell.gpu);
        }}
        onKeyDown={onKeyDown}
      />
      {chosen && (
        <div
          class="tip"
          style={{
            left: `${Math.min(chosen.x, Math.max(0, layout.width - 240))}px`,
            top: `${chosen.y + layout.size + 8}px`,
          }}
        >
          <strong>
            {chosen.gpu.hostname} · GPU {chosen.gpu.gpu_index}
          </strong>
          <div>
            {chosen.gpu.state === "live"
              ? withUnit(chosen.gpu.values[0], unit)
              : `${chosen.gpu.state}: last seen ${ago((Date.now() - Date.parse(chosen.gpu.last_seen)) / 1000)}`}
          </div>
          <div class="muted">{chosen.gpu.pod ? `${chosen.gpu.namespace} / ${chosen.gpu.pod}` : "idle: no pod"}</div>
          <div class="muted">{chosen.gpu.model_name}</div>
        </div>
      )}
      <p class="hidden" aria-live="polite">
        {chosen &&
          `${chosen.gpu.hostname} GPU ${chosen.gpu.gpu_index}, ${chosen.gpu.state}, ${withUnit(chosen.gpu.values[0], unit)}`}
      </p>
    </div>
  );
}
