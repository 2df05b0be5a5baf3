import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { ApiError } from "./api";

export interface Polled<T> {
  data: T | null; // the last answer that came, also while later ones fail
  error: ApiError | null; // of the latest question
  since: number; // when `data` came
  again: () => void;
}

// Asks now, whenever `key` changes, and every `milliseconds` while the page is seen.
export function usePoll<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<T>,
  milliseconds: number,
): Polled<T> {
  const [state, setState] = useState<{ key: string; data: T | null; error: ApiError | null; since: number }>(
    { key, data: null, error: null, since: 0 },
  );
  const asking = useRef<AbortController | null>(null);
  const latest = useRef(ask);
  latest.current = ask;

  const run = useCallback(async () => {
    asking.current?.abort();
    const controller = new AbortController();
    asking.current = controller;
    try {
      const data = await latest.current(controller.signal);
      if (!controller.signal.aborted) setState({ key, data, error: null, since: Date.now() });
    } catch (error) {
      if (controller.signal.aborted) return;
      const problem = error instanceof ApiError ? error : new ApiError(0, String(error));
      setState((old) => ({ ...old, data: old.key === key ? old.data : null, key, error: problem }));
    }
  }, [key]);

  useEffect(() => {
    void run();
    const timer = setInterval(() => {
      if (!document.hidden) void run();
    }, milliseconds);
    const seen = () => {
      if (!document.hidden) void run();
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
      asking.current?.abort();
    };
  }, [run, milliseconds]);
  return { data: state.data, error: state.error, since: state.since, again: () => void run() };
}
