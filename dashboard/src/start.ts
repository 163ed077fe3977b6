import { type Call, callFields, callRow, newestFirst } from "./call";
import { ask, explain } from "./endpoint";
import { follow } from "./feed";

/** Rows on the page; older calls are a query away. */
const shown = 200;

const page = `query Newest($first: Int!) {
  calls(first: $first) {
    liveCursor
    totalCount { value relation }
    nodes { ...CallFields }
  }
}
${callFields}`;

interface Page {
  calls: {
    liveCursor: string;
    totalCount: { value: number; relation: "EXACT" | "AT_LEAST" };
    nodes: Call[];
  };
}

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
};

let calls = new Map<string, Call>();
let total = 0;
let atLeast = false;
let drawing = false;

/** Forgets the oldest, here and not when drawing: a page in the background is not drawn for hours. */
function keepNewest(): void {
  if (calls.size < 2 * shown) return;
  calls = new Map([...calls].sort(([, a], [, b]) => newestFirst(a, b)).slice(0, shown));
}

/** Draws once per frame, however many events came in between. */
function draw(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const newest = [...calls.values()].sort(newestFirst).slice(0, shown);
    element("rows").replaceChildren(...newest.map(callRow));
    element("calls").hidden = newest.length === 0;
    element("empty").hidden = newest.length > 0;
    element("count").textContent = total ? `${total.toLocaleString()}${atLeast ? "+" : ""} in all` : "";
  });
}

function state(text: string, tone: "live" | "waiting"): void {
  const status = element("state");
  status.textContent = text;
  status.className = tone;
}

function problem(text: string): void {
  element("problem").textContent = text;
  element("problem").hidden = text === "";
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A page, then the feed from that page on. Returns when the feed broke so that the page must be asked anew. */
async function run(): Promise<void> {
  const answer = (await ask<Page>(page, { first: shown })).calls;
  calls = new Map(answer.nodes.map((call) => [call.id, call]));
  total = answer.totalCount.value;
  atLeast = answer.totalCount.relation === "AT_LEAST";
  draw();

  let cursor = answer.liveCursor;
  for (let moved = true; moved; ) {
    moved = false;
    try {
      await follow(cursor, {
        live: () => {
          problem("");
          state("Live", "live");
        },
        calls: (batch, added) => {
          for (const call of batch) calls.set(call.id, call);
          keepNewest();
          if (added) total += batch.length;
          draw();
        },
        moved: (to) => {
          cursor = to;
          moved = true;
        },
      });
    } catch (error) {
      problem(explain(error));
    }
    state("Reconnecting…", "waiting");
    await pause(1000);
  }
}

const line = `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${location.hostname || "127.0.0.1"}:4318`;
element("line").textContent = line;
element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(line);
    element("copy").textContent = "Copied";
  } catch {
    // a page over plain HTTP from another machine may not copy: mark the text instead
    getSelection()?.selectAllChildren(element("line"));
  }
});

for (let wait = 1000; ; wait = Math.min(wait * 2, 15_000)) {
  try {
    await run();
    wait = 500;
  } catch (error) {
    problem(explain(error));
  }
  state("Reconnecting…", "waiting");
  await pause(wait);
}
