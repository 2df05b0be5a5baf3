// Numbers and times for people. Times are the browser's own; the header names its zone.

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const names: Record<string, string> = {
  DCGM_FI_DEV_GPU_UTIL: "GPU utilisation",
  DCGM_FI_DEV_MEM_COPY_UTIL: "Memory copy utilisation",
  DCGM_FI_DEV_GPU_TEMP: "GPU temperature",
  DCGM_FI_DEV_MEMORY_TEMP: "Memory temperature",
  DCGM_FI_DEV_POWER_USAGE: "Power",
  DCGM_FI_DEV_SM_CLOCK: "SM clock",
  DCGM_FI_DEV_MEM_CLOCK: "Memory clock",
  DCGM_FI_DEV_FB_USED: "Memory used",
  DCGM_FI_DEV_FB_FREE: "Memory free",
  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE: "Tensor cores active",
  DCGM_FI_PROF_GR_ENGINE_ACTIVE: "Graphics engine active",
  DCGM_FI_PROF_DRAM_ACTIVE: "Memory interface active",
};

export function metricName(name: string): string {
  const known = names[name];
  if (known) return known;
  const words = name.replace(/^DCGM_FI_(DEV_|PROF_)?/, "").toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function number(value: number | null | undefined, digits = 0): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toLocaleString("en-GB", { maximumFractionDigits: digits });
}

export function withUnit(value: number | null | undefined, unit: string): string {
  if (unit === "MiB") return mebibytes(value);
  const text = number(value, Math.abs(value ?? 0) < 10 && !Number.isInteger(value) ? 2 : 1);
  if (text === "–" || !unit) return text;
  return unit === "%" ? `${text}%` : `${text} ${unit === "C" ? "°C" : unit}`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    ++at;
  }
  return `${number(value, value < 10 && at > 0 ? 1 : 0)} ${units[at]}`;
}

export function mebibytes(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : bytes(value * 1024 * 1024);
}

// Orders "node-2" before "node-10". Made once: `localeCompare` makes one for each comparison, which
// takes a second for 10,000 GPUs.
export const byName = new Intl.Collator("en", { numeric: true }).compare;

// The ticks of an axis of time: as much as tells them apart.
export function tick(when: number, span: number): string {
  const at = new Date(when);
  if (span > 2 * 86_400_000) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const seconds = span < 10 * 60_000;
  return at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined });
}

export function watts(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${number(value / 1e6, 2)} MW`;
  return value >= 10_000 ? `${number(value / 1000, 1)} kW` : `${number(value)} W`;
}

export function age(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${number(seconds * 1000)} ms`;
  if (seconds < 90) return `${number(seconds)} s`;
  if (seconds < 5400) return `${number(seconds / 60)} min`;
  if (seconds < 172_800) return `${number(seconds / 3600)} h`;
  return `${number(seconds / 86_400)} d`;
}

/** How long before now that was; or after, when clocks disagree. */
export function ago(seconds: number): string {
  return seconds < 0 ? `${age(-seconds)} ahead of the clock` : `${age(seconds)} ago`;
}

export function clock(when: string | number): string {
  return new Date(when).toLocaleTimeString("en-GB");
}

export function time(when: string | number): string {
  return new Date(when).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}
