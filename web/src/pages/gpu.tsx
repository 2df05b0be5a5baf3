// One GPU over time: what it did, who ran on it, and what it does now.
import { useEffect, useMemo, useState } from "preact/hooks";

import { ApiError, download, follow, get, type Attribution, type Gpu, type Metric, type Series } from "../api";
import { colorOf } from "../colors";
import { age, ago, metricName, time } from "../format";
import { Chart } from "../parts/chart";
import { Empty, Failed, Loading, Outdated, StateMark } from "../parts/states";
import { usePoll } from "../poll";
import { change, link } from "../router";

const kRanges: Record<string, number> = {
  "15m": 15 * 60, "1h": 3600, "6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400,
};
// As on the dashboard that comes with DCGM's exporter.
const kPanels: { title: string; metrics: string[] }[] = [
  { title: "Utilisation", metrics: ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL"] },
  { title: "Temperature", metrics: ["DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP"] },
  { title: "Power", metrics: ["DCGM_FI_DEV_POWER_USAGE"] },
  { title: "Clocks", metrics: ["DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK"] },
  { title: "Memory", metrics: ["DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"] },
  {
    title: "Activity",
    metrics: ["DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE"],
  },
];
const kSteps = [10, 30, 60, 120, 300, 600, 1800, 3600, 7200];

interface Range {
  from: number;
  to: number;
  now: boolean;
}

function rangeOf(parameters: URLSearchParams): Range {
  const from = Number(parameters.get("from"));
  const to = Number(parameters.get("to"));
  if (from > 0 && to > from) return { from, to, now: false };
  const seconds = kRanges[parameters.get("range") ?? "1h"] ?? 3600;
  const now = Date.now();
  return { from: now - seconds * 1000, to: now, now: true };
}

function question(uuid: string, metrics: string[], range: Range, step: number): string {
  const query = new URLSearchParams({
    shape: "series",
    order: "asc",
    limit: "100000",
    step: `${step}s`,
    start_time: new Date(range.from).toISOString(),
    end_time: new Date(range.to).toISOString(),
  });
  for (const metric of metrics) query.append("metric_name", metric);
  return `/api/v1/gpus/${uuid}/telemetry?${query}`;
}

// What was read, and of each metric that could not be read why.
interface Read {
  series: Series[];
  failed: Record<string, string>;
}

// All in one answer; when a part of what is stored is damaged, each metric by itself.
async function readSeries(ask: (metrics: string[]) => string, metrics: string[], signal: AbortSignal): Promise<Read> {
  const read = async (some: string[]) => (await get<{ series: Series[] }>(ask(some), signal)).series;
  const failed: Record<string, string> = {};
  if (metrics.length === 0) return { series: [], failed };
  try {
    return { series: await read(metrics), failed };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 500) throw error;
  }
  const each = metrics.map(async (metric) => {
    try {
      return await read([metric]);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 500) throw error;
      failed[metric] = error.message;
      return [];
    }
  });
  return { series: (await Promise.all(each)).flat(), failed };
}

function Who({ intervals, range }: { intervals: Attribution[]; range: Range }) {
  const span = range.to - range.from;
  const shown = intervals
    .map((each) => ({
      ...each,
      from: Math.max(range.from, Date.parse(each.start)),
      to: Math.min(range.to, Math.max(Date.parse(each.end), Date.parse(each.start) + span / 200)),
    }))
    .filter((each) => each.to > each.from);
  return (
    <section class="who" aria-label="Who ran on it">
      <h2>Who ran on it</h2>
      <div class="lane" aria-hidden="true">
        {shown.map((each) => (
          <span
            key={each.start}
            title={`${each.namespace} / ${each.pod}`}
            style={{
              left: `${(100 * (each.from - range.from)) / span}%`,
              width: `${(100 * (each.to - each.from)) / span}%`,
              background: each.pod ? colorOf(`${each.namespace}/${each.pod}`) : "transparent",
            }}
          >
            {each.pod}
          </span>
        ))}
      </div>
      <ul class="plain">
        {shown.slice(-5).map((each) => (
          <li key={each.start}>
            {each.pod ? `${each.namespace} / ${each.pod} / ${each.container}` : "nobody"}{" "}
            <span class="muted">
              {time(each.start)} – {time(each.end)}
            </span>
          </li>
        ))}
        {shown.length === 0 && <li class="muted">Nobody in this time.</li>}
      </ul>
    </section>
  );
}

function Identity({ gpu }: { gpu: Gpu }) {
  const facts: [string, string][] = [
    ["Model", gpu.model_name],
    ["Host", gpu.hostname],
    ["Index", `${gpu.gpu_index} (${gpu.device_id})`],
    ["Runs now", gpu.pod ? `${gpu.namespace} / ${gpu.pod}` : "–"],
    ["First seen", time(gpu.first_seen)],
    ["Last seen", `${time(gpu.last_seen)} (${ago(gpu.age_seconds)})`],
    ["Scraped", gpu.scrape_interval_seconds ? `every ${age(gpu.scrape_interval_seconds)}` : "–"],
    ...Object.entries(gpu.labels).map(([name, value]): [string, string] => [metricName(name), value]),
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function GpuPage({ uuid, parameters }: { uuid: string; parameters: URLSearchParams }) {
  const [ticks, setTicks] = useState(0);
  const [copied, setCopied] = useState(false);
  const [downloading, setDownloading] = useState("");
  const extra = parameters.getAll("metric");
  const view = parameters.toString();
  const range = useMemo(() => rangeOf(parameters), [view, ticks]);
  const gpu = usePoll(uuid, (signal) => get<Gpu>(`/api/v1/gpus/${uuid}`, signal), 10_000);
  const metrics = usePoll(
    uuid,
    (signal) => get<{ metrics: Metric[] }>(`/api/v1/gpus/${uuid}/metrics`, signal),
    60_000,
  );
  const scrape = gpu.data?.scrape_interval_seconds ?? 10;
  const seconds = (range.to - range.from) / 1000;
  const step = kSteps.find((each) => each >= scrape && seconds / each <= 720) ?? 7200;

  const present = new Set(metrics.data?.metrics.map((each) => each.metric_name));
  const panels = [
    ...kPanels,
    ...extra.map((metric) => ({ title: metricName(metric), metrics: [metric] })),
  ]
    .map((panel) => ({ ...panel, metrics: panel.metrics.filter((metric) => present.has(metric)) }))
    .filter((panel) => panel.metrics.length > 0);
  const asked = panels.flatMap((panel) => panel.metrics);
  const path = question(uuid, asked, range, step);
  const series = usePoll(
    `${path} ${asked.length}`,
    (signal) => readSeries((some) => question(uuid, some, range, step), asked, signal),
    3_600_000,
  );
  const who = usePoll(
    `${uuid} ${range.from} ${range.to}`,
    (signal) =>
      get<{ attribution: Attribution[] }>(
        `/api/v1/gpus/${uuid}/attribution?start_time=${new Date(range.from).toISOString()}&end_time=${new Date(range.to).toISOString()}`,
        signal,
      ),
    3_600_000,
  );
  const [kept, setKept] = useState<Read>({ series: [], failed: {} });
  useEffect(() => {
    if (series.data) setKept(series.data);
  }, [series.data]);
  const failed = asked.filter((metric) => kept.failed[metric] !== undefined);

  // Live: a new sample moves the range on, at most every two seconds.
  useEffect(() => {
    if (!range.now) return undefined;
    const controller = new AbortController();
    let waiting = 0;
    const onSample = () => {
      waiting ||= window.setTimeout(() => {
        waiting = 0;
        setTicks((n) => n + 1);
      }, 2000);
    };
    void follow(uuid, onSample, controller.signal);
    return () => {
      controller.abort();
      clearTimeout(waiting);
    };
  }, [uuid, range.now]);

  if (!gpu.data) {
    if (gpu.error) return <Failed error={gpu.error} again={gpu.again} />;
    return <Loading what="the GPU" />;
  }
  const curl = `curl -s '${location.origin}${path}'`;
  const zoom = (factor: number) => {
    const middle = (range.from + range.to) / 2;
    const half = ((range.to - range.from) / 2) * factor;
    change({ range: "", from: String(Math.round(middle - half)), to: String(Math.round(middle + half)) });
  };
  const pan = (share: number) => {
    const by = (range.to - range.from) * share;
    change({ range: "", from: String(Math.round(range.from + by)), to: String(Math.round(range.to + by)) });
  };
  const chosen = range.now ? (parameters.get("range") ?? "1h") : "";
  return (
    <>
      <Outdated error={gpu.error ?? series.error} since={gpu.since} />
      <p class="crumbs">
        <a href={link("")}>Fleet</a> / <a href={link("", { host: gpu.data.hostname })}>{gpu.data.hostname}</a> / GPU{" "}
        {gpu.data.gpu_index}
      </p>
      <h1>
        {gpu.data.hostname} · GPU {gpu.data.gpu_index} <StateMark state={gpu.data.state} />
      </h1>
      <p class="muted uuid">{uuid}</p>
      <Identity gpu={gpu.data} />
      <div class="toolbar">
        <div class="switch" role="group" aria-label="Time range">
          {Object.keys(kRanges).map((name) => (
            <button
              key={name}
              aria-pressed={chosen === name}
              onClick={() => change({ range: name, from: "", to: "" })}
            >
              {name}
            </button>
          ))}
        </div>
        <div class="switch" role="group" aria-label="Move">
          <button onClick={() => pan(-0.5)} aria-label="Earlier">←</button>
          <button onClick={() => zoom(2)} aria-label="Zoom out">−</button>
          <button onClick={() => zoom(0.5)} aria-label="Zoom in">+</button>
          <button onClick={() => pan(0.5)} aria-label="Later">→</button>
        </div>
        <label>
          <span>Add a panel</span>
          <select
            value=""
            onChange={(event) => {
              const all = new URLSearchParams(parameters);
              all.append("metric", event.currentTarget.value);
              location.hash = `#/gpu/${uuid}?${all}`;
            }}
          >
            <option value="">metric …</option>
            {metrics.data?.metrics
              .filter((each) => !asked.includes(each.metric_name))
              .map((each) => (
                <option value={each.metric_name} key={each.metric_name}>
                  {metricName(each.metric_name)}
                </option>
              ))}
          </select>
        </label>
        <button
          onClick={() => {
            void navigator.clipboard?.writeText(curl).then(() => {
              setCopied(true);
              setTimeout(() => setCopied(false), 2000);
            });
          }}
        >
          {copied ? "Copied" : "Copy as curl"}
        </button>
        <button
          onClick={() => {
            setDownloading("…");
            const query = new URLSearchParams({
              order: "asc",
              start_time: new Date(range.from).toISOString(),
              end_time: new Date(range.to).toISOString(),
            });
            download(`/api/v1/gpus/${uuid}/telemetry?${query}`, "text/csv", `${uuid}.csv`)
              .then(() => setDownloading(""))
              .catch((error: Error) => setDownloading(` failed: ${error.message}`));
          }}
        >
          Export CSV{downloading}
        </button>
        <span class="muted push">
          {range.now ? "live · " : ""}a point each {age(step)}
        </span>
      </div>
      {panels.length === 0 && metrics.data && (
        <Empty title="No telemetry of this GPU is stored">It was heard of, and its readings have expired or were absent.</Empty>
      )}
      {failed.length > 0 && (
        <div class="outdated" role="alert">
          {failed.map((metric) => (
            <div key={metric}>
              {metricName(metric)} cannot be shown: {kept.failed[metric]}
            </div>
          ))}
        </div>
      )}
      {panels.length > 0 && kept.series.length === 0 && failed.length === 0 && series.data && (
        <p class="muted">Nothing was measured in this time. It was last seen {time(gpu.data.last_seen)}.</p>
      )}
      <div class="panels">
        {panels.map((panel) => {
          const drawn = panel.metrics.flatMap((metric) => kept.series.filter((line) => line.metric_name === metric));
          if (drawn.length === 0) return null;
          return (
            <Chart
              key={panel.title}
              title={panel.title}
              series={drawn}
              from={range.from}
              to={range.to}
              step={step * 1000}
              onRange={(from, to) =>
                change({ range: "", from: String(Math.round(from)), to: String(Math.round(to)) }, false)
              }
            />
          );
        })}
      </div>
      {who.data && <Who intervals={who.data.attribution} range={range} />}
    </>
  );
}
