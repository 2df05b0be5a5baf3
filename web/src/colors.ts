// Viridis (van der Walt and Smith, 2015), which people with any colour vision can order. On the dark
// page it runs from dark to bright, on the light one too: brighter is more.
const anchors: [number, number, number][] = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

export function heat(share: number): string {
  const at = Math.min(1, Math.max(0, share)) * (anchors.length - 1);
  const low = Math.min(anchors.length - 2, Math.floor(at));
  const mix = at - low;
  const [a, b] = [anchors[low]!, anchors[low + 1]!];
  const part = (i: 0 | 1 | 2) => Math.round(a[i] + (b[i] - a[i]) * mix);
  return `rgb(${part(0)} ${part(1)} ${part(2)})`;
}

export const gradient = `linear-gradient(to right, ${anchors
  .map(([r, g, b]) => `rgb(${r} ${g} ${b})`)
  .join(", ")})`;

// Okabe and Ito (2008), for lines; darker for what bears white text.
export const lines = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const darker = ["#00558a", "#9c4500", "#00694d", "#8f4a74", "#7a5500", "#2b6a8f"];
export function colorOf(text: string): string {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  return darker[hash % darker.length]!;
}

// What a metric's colours run over; others take what is there.
export const ranges: Record<string, [number, number]> = {
  DCGM_FI_DEV_GPU_UTIL: [0, 100],
  DCGM_FI_DEV_MEM_COPY_UTIL: [0, 100],
  DCGM_FI_DEV_GPU_TEMP: [20, 95],
  DCGM_FI_DEV_MEMORY_TEMP: [20, 105],
  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE: [0, 1],
  DCGM_FI_PROF_GR_ENGINE_ACTIVE: [0, 1],
};
