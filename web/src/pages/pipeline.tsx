// What is under way between the streamers and storage, and what could not be delivered.
import { useRef, useState } from "preact/hooks";

import { ApiError, get, post, type DeadLetter, type Pipeline, type Topic } from "../api";
import { age, bytes, number, time } from "../format";
import { Empty, Failed, Loading, Outdated } from "../parts/states";
import { usePoll } from "../poll";

const rate = (value: number | null) => (value === null ? "–" : `${number(value, value < 10 ? 1 : 0)} /s`);

function Stage({ name, value, notes }: { name: string; value: string; notes: string[] }) {
  return (
    <li class="stage">
      <h2>{name}</h2>
      <p class="big">{value}</p>
      {notes.filter(Boolean).map((note) => (
        <p class="muted" key={note}>
          {note}
        </p>
      ))}
    </li>
  );
}

function Flow({ pipeline }: { pipeline: Pipeline }) {
  const { rates } = pipeline;
  const readers = pipeline.queue.topics.flatMap((topic) => topic.sources);
  const members = readers.reduce((sum, each) => sum + each.members, 0);
  return (
    <ol class="flow">
      <Stage
        name="Streamers"
        value={rate(rates.published_per_second)}
        notes={["messages published", members ? `${number(members)} share ${number(readers.length)} source(s)` : ""]}
      />
      <Stage
        name="Queue"
        value={number(pipeline.depth)}
        notes={[
          "messages wait",
          `oldest ${age(pipeline.oldest_age_seconds)}`,
          `${number(pipeline.in_flight)} in flight`,
          pipeline.dead ? `${number(pipeline.dead)} dead` : "no dead letters",
        ]}
      />
      <Stage
        name="Collectors"
        value={rate(rates.acked_per_second)}
        notes={["messages acknowledged", pipeline.collectors === null ? "" : `${number(pipeline.collectors)} at work`]}
      />
      <Stage
        name="Storage"
        value={rate(rates.samples_stored_per_second)}
        notes={[rates.samples_stored_per_second === null ? "known to the collectors' own metrics" : "samples stored"]}
      />
    </ol>
  );
}

function Topics({ topics }: { topics: Topic[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Topics and consumer groups">
      <table>
        <thead>
          <tr>
            <th>Topic</th>
            <th>Group</th>
            <th class="right">Ready</th>
            <th class="right">In flight</th>
            <th class="right">Delayed</th>
            <th class="right">Dead</th>
            <th class="right">Redelivered</th>
            <th class="right">Held</th>
            <th class="right">Oldest</th>
            <th class="right">Consumers</th>
          </tr>
        </thead>
        <tbody>
          {topics.flatMap((topic) =>
            (topic.groups.length ? topic.groups : [null]).map((group) => (
              <tr key={`${topic.topic} ${group?.consumer_group}`}>
                <td>{topic.topic}</td>
                <td>{group?.consumer_group ?? "no group yet"}</td>
                <td class="right">{number(group?.ready)}</td>
                <td class="right">{number(group?.in_flight)}</td>
                <td class="right">{number(group?.delayed)}</td>
                <td class="right">{number(group?.dead)}</td>
                <td class="right">{number(group?.redelivered_total)}</td>
                <td class="right">{bytes(topic.bytes)}</td>
                <td class="right">{age(group?.oldest_age_seconds)}</td>
                <td class="right">{number(group?.consumers)}</td>
              </tr>
            )),
          )}
        </tbody>
      </table>
    </div>
  );
}

function readable(letter: DeadLetter): string {
  if (letter.payload !== undefined) return letter.payload.slice(0, 4000);
  const raw = atob(letter.payload_base64 ?? "").slice(0, 512);
  const hex = [...raw].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0"));
  return (hex.join(" ").match(/.{1,48}/g) ?? []).join("\n");
}

function Letters({ topic, group, dead, changed }: { topic: string; group: string; dead: number; changed: () => void }) {
  const query = `topic=${encodeURIComponent(topic)}&consumer_group=${encodeURIComponent(group)}`;
  const letters = usePoll(
    `${query} ${dead}`,
    (signal) => get<{ messages: DeadLetter[] }>(`/api/v1/pipeline/dead-letters?max=100&${query}`, signal),
    30_000,
  );
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [said, setSaid] = useState("");
  const [purpose, setPurpose] = useState<"redrive" | "purge">("redrive");
  const dialog = useRef<HTMLDialogElement>(null);
  const found = letters.data?.messages ?? [];
  const ids = found.map((each) => each.message_id).filter((id) => chosen.has(id));
  const what = ids.length ? `${number(ids.length)} chosen dead letter(s)` : `all ${number(dead)} dead letters`;

  const act = async () => {
    dialog.current?.close();
    try {
      const { count } = await post<{ count: number }>(`/api/v1/pipeline/dead-letters/${purpose}`, {
        topic,
        consumer_group: group,
        ...(ids.length ? { message_ids: ids } : {}),
      });
      setSaid(`${number(count)} ${purpose === "redrive" ? "made ready again" : "forgotten"}.`);
      setChosen(new Set());
    } catch (error) {
      setSaid(error instanceof ApiError ? error.message : String(error));
    }
    letters.again();
    changed();
  };
  const ask = (which: "redrive" | "purge") => {
    setPurpose(which);
    dialog.current?.showModal();
  };
  return (
    <section>
      <h2>
        Dead letters of {topic} / {group}
      </h2>
      {letters.error && <Failed error={letters.error} again={letters.again} />}
      {said && <p role="status">{said}</p>}
      {found.length > 0 && (
        <>
          <div class="toolbar">
            <button onClick={() => ask("redrive")}>Redrive …</button>
            <button class="danger" onClick={() => ask("purge")}>
              Purge …
            </button>
            <span class="muted">{ids.length ? `${ids.length} chosen` : "none chosen: all of them"}</span>
          </div>
          <ul class="letters">
            {found.map((letter) => (
              <li key={letter.message_id}>
                <input
                  type="checkbox"
                  aria-label={`Choose ${letter.message_id}`}
                  checked={chosen.has(letter.message_id)}
                  onChange={(event) => {
                    const next = new Set(chosen);
                    if (event.currentTarget.checked) next.add(letter.message_id);
                    else next.delete(letter.message_id);
                    setChosen(next);
                  }}
                />
                <details>
                  <summary>
                    {letter.reason}{" "}
                    <span class="muted">
                      died {time(letter.died_at)} after {letter.delivery_count} delivery(s)
                    </span>
                  </summary>
                  <p class="muted">
                    {letter.message_id}, published {time(letter.timestamp)}
                  </p>
                  <pre>{readable(letter)}</pre>
                </details>
              </li>
            ))}
          </ul>
        </>
      )}
      <dialog ref={dialog} aria-labelledby="sure">
        <h2 id="sure">{purpose === "redrive" ? "Deliver them again?" : "Forget them for good?"}</h2>
        <p>
          {purpose === "redrive"
            ? `${what} become ready again, with their count of deliveries at zero.`
            : `${what} and the telemetry in them are lost. This cannot be undone.`}
        </p>
        <div class="toolbar">
          <button onClick={() => dialog.current?.close()}>Cancel</button>
          <button class={purpose === "purge" ? "danger" : ""} onClick={() => void act()}>
            {purpose === "redrive" ? "Redrive" : "Purge"} {what}
          </button>
        </div>
      </dialog>
    </section>
  );
}

export function PipelinePage() {
  const pipeline = usePoll("pipeline", (signal) => get<Pipeline>("/api/v1/pipeline", signal), 5_000);
  if (!pipeline.data) {
    if (pipeline.error) return <Failed error={pipeline.error} again={pipeline.again} />;
    return <Loading what="the pipeline" />;
  }
  const { queue } = pipeline.data;
  if (!queue.configured) {
    return (
      <Empty title="This gateway knows no queue">
        Set <code>QUEUE_SERVICE_URL</code>, as in <code>http://queue-service:8080</code>, and it shows the pipeline here.
      </Empty>
    );
  }
  const dead = queue.topics.flatMap((topic) =>
    topic.groups.filter((group) => group.dead > 0).map((group) => ({ topic: topic.topic, ...group })),
  );
  return (
    <>
      <Outdated error={pipeline.error} since={pipeline.since} />
      {!queue.reachable && (
        <p class="outdated" role="alert">
          The queue does not answer: {queue.error}
        </p>
      )}
      <h1>Pipeline</h1>
      <Flow pipeline={pipeline.data} />
      {queue.topics.length === 0 ? (
        <p class="muted">The queue has no topic yet: nothing has been published.</p>
      ) : (
        <Topics topics={queue.topics} />
      )}
      {dead.map((each) => (
        <Letters
          key={`${each.topic} ${each.consumer_group}`}
          topic={each.topic}
          group={each.consumer_group}
          dead={each.dead}
          changed={pipeline.again}
        />
      ))}
    </>
  );
}
