// What a page shows when it has nothing to show: loading, empty, failed, no longer fresh.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { token, type ApiError, type State } from "../api";
import { age } from "../format";

export function Loading({ what }: { what: string }) {
  return (
    <div class="state" role="status">
      <div class="pulse" aria-hidden="true" />
      <p>Loading {what} …</p>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  );
}

export function Failed({ error, again }: { error: ApiError; again: () => void }) {
  const [text, setText] = useState("");
  if (error.status === 401) {
    return (
      <form
        class="state"
        onSubmit={(event) => {
          event.preventDefault();
          token.set(text);
          again();
        }}
      >
        <h2>A token is needed</h2>
        <p>{error.message}</p>
        <label>
          Token{" "}
          <input type="password" autocomplete="off" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        </label>{" "}
        <button type="submit">Use it</button>
      </form>
    );
  }
  return (
    <div class="state" role="alert">
      <h2>{error.status === 404 ? "There is no such thing" : "This cannot be shown now"}</h2>
      <p>{error.message}</p>
      <button onClick={again}>Try again</button>
    </div>
  );
}

// Above data that is older than it should be.
export function Outdated({ error, since }: { error: ApiError | null; since: number }) {
  if (!error) return null;
  return (
    <p class="outdated" role="alert">
      {error.message.replace(/\.?$/, ".")} What is shown is {age((Date.now() - since) / 1000)} old.
    </p>
  );
}

const marks: Record<State, string> = { live: "●", stale: "◐", gone: "○" };
export function StateMark({ state }: { state: State }) {
  return (
    <span class={`mark ${state}`}>
      <span aria-hidden="true">{marks[state]}</span> {state}
    </span>
  );
}
