// The public REST API, as this page uses it. docs/api.md describes it.

export type State = "live" | "stale" | "gone";

export interface FleetGpu {
  uuid: string;
  hostname: string;
  gpu_index: string;
  model_name: string;
  namespace: string;
  pod: string;
  state: State;
  last_seen: string;
  values: (number | null)[];
}
export interface FleetLatest {
  time: string;
  metrics: string[];
  gpus: FleetGpu[];
  total: number;
}
export interface Summary {
  time: string;
  gpus: { total: number; live: number; stale: number; gone: number };
  hosts: number;
  utilization_avg: number | null;
  power_watts: number | null;
  memory_used_mib: number | null;
  memory_total_mib: number | null;
  hottest: { uuid: string; hostname: string; gpu_index: string; celsius: number } | null;
}
export interface Gpu {
  uuid: string;
  device_id: string;
  gpu_index: string;
  model_name: string;
  hostname: string;
  namespace: string;
  pod: string;
  container: string;
  first_seen: string;
  last_seen: string;
  state: State;
  age_seconds: number;
  scrape_interval_seconds: number | null;
  labels: Record<string, string>;
}
export interface Metric {
  metric_name: string;
  unit: string;
  kind: "gauge" | "counter";
  help: string;
}
export interface Series {
  metric_name: string;
  unit: string;
  kind: string;
  times: number[];
  values: number[];
}
export interface Attribution {
  start: string;
  end: string;
  namespace: string;
  pod: string;
  container: string;
}
export interface Group {
  consumer_group: string;
  ready: number;
  in_flight: number;
  delayed: number;
  dead: number;
  delivered_total: number;
  redelivered_total: number;
  acked_total: number;
  oldest_age_seconds: number;
  consumers: number;
}
export interface Source {
  source: string;
  members: number;
  shards_held: number;
  finished: boolean;
}
export interface Topic {
  topic: string;
  messages: number;
  bytes: number;
  published_total: number;
  rejected_total: number;
  groups: Group[];
  sources: Source[];
}
export interface Pipeline {
  time: string;
  queue: { configured: boolean; reachable: boolean; error?: string; topics: Topic[] };
  rates: {
    published_per_second: number | null;
    acked_per_second: number | null;
    samples_stored_per_second: number | null;
  };
  depth: number | null;
  oldest_age_seconds: number | null;
  in_flight: number | null;
  dead: number | null;
  streamers: number | null;
  collectors: number | null;
}
export interface DeadLetter {
  message_id: string;
  payload?: string;
  payload_base64?: string;
  headers: Record<string, string>;
  timestamp: string;
  died_at: string;
  delivery_count: number;
  reason: string;
}

// An answer that is no 200; `status` 0: none came.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

// Kept until the tab is closed, and sent in a header, never in a URL.
const kToken = "gpu-telemetry-token";
export const token = {
  get: () => sessionStorage.getItem(kToken) ?? "",
  set: (text: string) => sessionStorage.setItem(kToken, text),
};

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (token.get()) headers.set("Authorization", `Bearer ${token.get()}`);
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "The server cannot be reached.");
  }
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = ((await answer.json()) as { detail?: string }).detail ?? detail;
  } catch {
    // Not a problem document: somebody between the server and this page answered.
  }
  throw new ApiError(answer.status, detail);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await send(path, { signal })).json()) as T;
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const answer = await send(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
  return (await answer.json()) as T;
}

export async function download(path: string, type: string, name: string): Promise<void> {
  const blob = await (await send(path, { headers: { Accept: type } })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Calls `onSample` for each sample of the live tail until the signal is aborted; begins again when
// the connection ends.
export async function follow(uuid: string, onSample: () => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const answer = await send(`/api/v1/stream?uuid=${uuid}`, { signal });
      const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (value.includes("event: sample")) onSample();
      }
    } catch {
      // The next try says more, if anybody still listens.
    }
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}
