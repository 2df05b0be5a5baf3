// The whole fleet at a glance: what it does now, where it is hot, who uses it.
import { useMemo } from "preact/hooks";

import { get, type FleetGpu, type FleetLatest, type Metric, type Summary } from "../api";
import { gradient, ranges } from "../colors";
import { byName, clock, mebibytes, metricName, number, watts, withUnit } from "../format";
import { HeatGrid } from "../parts/heatgrid";
import { Empty, Failed, Loading, Outdated, StateMark } from "../parts/states";
import { usePoll } from "../poll";
import { change, link } from "../router";

const kMetrics = [
  "DCGM_FI_DEV_GPU_UTIL",
  "DCGM_FI_DEV_GPU_TEMP",
  "DCGM_FI_DEV_POWER_USAGE",
  "DCGM_FI_DEV_FB_USED",
  "DCGM_FI_DEV_MEM_COPY_UTIL",
  "DCGM_FI_DEV_SM_CLOCK",
  "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
];
const kUnits: Record<string, string> = {
  DCGM_FI_DEV_GPU_UTIL: "%",
  DCGM_FI_DEV_MEM_COPY_UTIL: "%",
  DCGM_FI_DEV_GPU_TEMP: "C",
  DCGM_FI_DEV_POWER_USAGE: "W",
  DCGM_FI_DEV_FB_USED: "MiB",
  DCGM_FI_DEV_SM_CLOCK: "MHz",
};
const kRows = 100;

function Tile({ label, value, note }: { label: string; value: string; note?: string }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        {value}
        {note && <small>{note}</small>}
      </dd>
    </div>
  );
}

function Totals({ summary }: { summary: Summary }) {
  const { live, stale, gone, total } = summary.gpus;
  const others = [stale ? `${number(stale)} stale` : "", gone ? `${number(gone)} gone` : ""].filter(Boolean);
  const share =
    summary.memory_total_mib && summary.memory_used_mib !== null
      ? ` ${number((100 * summary.memory_used_mib) / summary.memory_total_mib)}%`
      : "";
  return (
    <dl class="tiles">
      <Tile label="GPUs live" value={`${number(live)} / ${number(total)}`} note={others.join(", ") || `${number(summary.hosts)} hosts`} />
      <Tile label="Mean utilisation" value={withUnit(summary.utilization_avg, "%")} />
      <Tile label="Power now" value={watts(summary.power_watts)} />
      <Tile label="Memory used" value={mebibytes(summary.memory_used_mib)} note={`of ${mebibytes(summary.memory_total_mib)}${share}`} />
      <Tile
        label="Hottest"
        value={summary.hottest ? `${number(summary.hottest.celsius)} °C` : "–"}
        note={summary.hottest ? `${summary.hottest.hostname} · GPU ${summary.hottest.gpu_index}` : ""}
      />
    </dl>
  );
}

function Choice(props: { label: string; name: string; value: string; options: string[]; all?: string; show?: (o: string) => string }) {
  // Thousands of pods: not compared again while they are the same.
  const { options, show } = props;
  const choices = useMemo(
    () =>
      options.map((option) => (
        <option value={option} key={option}>
          {show ? show(option) : option}
        </option>
      )),
    [options, show],
  );
  return (
    <label>
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => change({ [props.name]: event.currentTarget.value })}>
        {props.all !== undefined && <option value="">{props.all}</option>}
        {choices}
      </select>
    </label>
  );
}

function Table({ gpus, unit, metric }: { gpus: FleetGpu[]; unit: string; metric: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="GPUs">
      <table>
        <thead>
          <tr>
            <th>Host</th>
            <th>GPU</th>
            <th>State</th>
            <th class="right">{metricName(metric)}</th>
            <th>Namespace</th>
            <th>Pod</th>
            <th>Model</th>
          </tr>
        </thead>
        <tbody>
          {gpus.slice(0, kRows).map((gpu) => (
            <tr key={gpu.uuid}>
              <td>
                <a href={link(`gpu/${gpu.uuid}`)}>{gpu.hostname || "(no host)"}</a>
              </td>
              <td>{gpu.gpu_index}</td>
              <td>
                <StateMark state={gpu.state} />
              </td>
              <td class="right">{gpu.state === "live" ? withUnit(gpu.values[0], unit) : "–"}</td>
              <td>{gpu.namespace || "–"}</td>
              <td>{gpu.pod || "–"}</td>
              <td>{gpu.model_name}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {gpus.length > kRows && (
        <p class="muted">
          The first {kRows} of {number(gpus.length)}: filter or sort to see others.
        </p>
      )}
    </div>
  );
}

const sorters: Record<string, (a: FleetGpu, b: FleetGpu) => number> = {
  host: (a, b) => byName(a.hostname, b.hostname) || Number(a.gpu_index) - Number(b.gpu_index),
  highest: (a, b) => (b.values[0] ?? -Infinity) - (a.values[0] ?? -Infinity),
  lowest: (a, b) => (a.values[0] ?? Infinity) - (b.values[0] ?? Infinity),
};
const sorterNames: Record<string, string> = { host: "host", highest: "highest value", lowest: "lowest value" };

function unique(values: string[]): string[] {
  return [...new Set(values)].filter(Boolean).sort(byName);
}

function matches(gpu: FleetGpu, text: string): boolean {
  return [gpu.hostname, gpu.pod, gpu.namespace, gpu.model_name, gpu.uuid].some((part) =>
    part.toLowerCase().includes(text),
  );
}

export function FleetPage({ parameters }: { parameters: URLSearchParams }) {
  const metric = parameters.get("metric") ?? kMetrics[0]!;
  const filters = ["host", "model", "namespace", "pod", "state"].map((name) => parameters.get(name) ?? "");
  const [host, model, namespace, pod, state] = filters as [string, string, string, string, string];
  const search = (parameters.get("q") ?? "").toLowerCase();
  const sort = parameters.get("sort") ?? "host";
  const table = parameters.get("view") === "table";

  const summary = usePoll("summary", (signal) => get<Summary>("/api/v1/fleet/summary", signal), 10_000);
  const fleet = usePoll(
    metric,
    (signal) => get<FleetLatest>(`/api/v1/fleet/latest?metric_name=${encodeURIComponent(metric)}`, signal),
    10_000,
  );
  const catalogue = usePoll("metrics", (signal) => get<{ metrics: Metric[] }>("/api/v1/metrics", signal), 3_600_000);

  // In the order of the hosts, which other orders keep among equals.
  const all = useMemo(() => (fleet.data?.gpus ?? []).slice().sort(sorters.host), [fleet.data]);
  const options = useMemo(
    () => ({
      hosts: unique(all.map((gpu) => gpu.hostname)),
      models: unique(all.map((gpu) => gpu.model_name)),
      namespaces: unique(all.map((gpu) => gpu.namespace)),
      pods: unique(all.map((gpu) => gpu.pod)),
    }),
    [all],
  );
  const shown = useMemo(
    () => {
      const found = all.filter(
        (gpu) =>
          (!host || gpu.hostname === host) &&
          (!model || gpu.model_name === model) &&
          (!namespace || gpu.namespace === namespace) &&
          (!pod || gpu.pod === pod) &&
          (!state || gpu.state === state) &&
          (!search || matches(gpu, search)),
      );
      return sort === "highest" || sort === "lowest" ? found.sort(sorters[sort]) : found;
    },
    [all, host, model, namespace, pod, state, search, sort],
  );
  const range = useMemo<[number, number]>(() => {
    const fixed = ranges[metric];
    if (fixed) return fixed;
    let most = 0;
    for (const gpu of all) most = Math.max(most, gpu.values[0] ?? 0);
    return [0, most || 1];
  }, [all, metric]);

  const unit =
    catalogue.data?.metrics.find((each) => each.metric_name === metric)?.unit ?? kUnits[metric] ?? "";
  if (!fleet.data) {
    if (fleet.error) return <Failed error={fleet.error} again={fleet.again} />;
    return <Loading what="the fleet" />;
  }
  if (fleet.data.total === 0) {
    return (
      <Empty title="No GPU has been heard of yet">
        GPUs appear here within seconds of their first scrape. Start a streamer: <code>CSV_PATH=metrics.csv</code> reads a
        file, <code>SOURCE=simulator</code> invents a fleet.
      </Empty>
    );
  }
  const filtered = filters.some(Boolean) || search !== "";
  return (
    <>
      <Outdated error={fleet.error} since={fleet.since} />
      {summary.data && <Totals summary={summary.data} />}
      <form class="toolbar" role="search" onSubmit={(event) => event.preventDefault()}>
        <Choice label="Colour" name="metric" value={metric} options={unique([...kMetrics, metric])} show={metricName} />
        <Choice label="Host" name="host" value={host} options={options.hosts} all="all hosts" />
        <Choice label="Model" name="model" value={model} options={options.models} all="all models" />
        <Choice label="Namespace" name="namespace" value={namespace} options={options.namespaces} all="all namespaces" />
        <Choice label="Pod" name="pod" value={pod} options={options.pods} all="all pods" />
        <Choice label="State" name="state" value={state} options={["live", "stale", "gone"]} all="any state" />
        <Choice label="Order" name="sort" value={sort} options={Object.keys(sorters)} show={(o) => sorterNames[o]!} />
        <label>
          <span>Search</span>
          <input
            type="search"
            placeholder="host, pod, UUID …"
            value={parameters.get("q") ?? ""}
            onInput={(event) => change({ q: event.currentTarget.value })}
          />
        </label>
        <div class="switch" role="group" aria-label="View">
          <button type="button" aria-pressed={!table} onClick={() => change({ view: "" })}>
            Grid
          </button>
          <button type="button" aria-pressed={table} onClick={() => change({ view: "table" })}>
            Table
          </button>
        </div>
      </form>
      <div class="legend">
        <span>{withUnit(range[0], unit)}</span>
        <span class="ramp" style={{ background: gradient }} aria-hidden="true" />
        <span>{withUnit(range[1], unit)}</span>
        <span class="muted">
          <span class="hatched" aria-hidden="true" /> no value now
        </span>
        <span class="muted push">
          {filtered ? `${number(shown.length)} of ${number(all.length)} GPUs` : `${number(all.length)} GPUs`} · as of{" "}
          {clock(fleet.data.time)}
        </span>
      </div>
      {shown.length === 0 ? (
        <Empty title="No GPU matches">
          <button onClick={() => (location.hash = link("", { metric }))}>Show all {number(all.length)}</button>
        </Empty>
      ) : table ? (
        <Table gpus={shown} unit={unit} metric={metric} />
      ) : (
        <HeatGrid
          gpus={shown}
          range={range}
          unit={unit}
          onOpen={(gpu) => (location.hash = link(`gpu/${gpu.uuid}`))}
        />
      )}
    </>
  );
}
