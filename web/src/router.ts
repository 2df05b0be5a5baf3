// The view is the part of the URL behind `#`: a path and its parameters. So a link to what one sees
// can be sent, and "back" goes back.
import { useEffect, useState } from "preact/hooks";

export interface View {
  path: string[];
  parameters: URLSearchParams;
}

export function parse(hash: string): View {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decodeURIComponent),
    parameters: new URLSearchParams(query),
  };
}

export function useView(): View {
  const [view, setView] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => setView(parse(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return view;
}

export function link(path: string, parameters: Record<string, string> = {}): string {
  const kept = Object.entries(parameters).filter(([, value]) => value !== "");
  const query = new URLSearchParams(kept).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

// Changes parameters of the view; empty ones go. `replace`: without a step in the history.
export function change(parameters: Record<string, string>, replace = true): void {
  const view = parse(location.hash);
  // The others stay as they are, those that are there several times too.
  for (const [name, value] of Object.entries(parameters)) {
    if (value === "") view.parameters.delete(name);
    else view.parameters.set(name, value);
  }
  const query = view.parameters.toString();
  const to = link(view.path.map(encodeURIComponent).join("/")) + (query ? `?${query}` : "");
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = to;
  }
}
