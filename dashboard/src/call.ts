/** A call as the start page asks for it. */
export interface Call {
  id: string;
  method: string;
  target: string | null;
  tool: string | null;
  outcome: string;
  httpStatus: number | null;
  errorMessage: string | null;
  startedAt: string;
  durationMs: number;
  server: { name: string };
}

export const callFields = `fragment CallFields on Call {
  id method target tool outcome httpStatus errorMessage startedAt durationMs server { name }
}`;

/** Newest first, the order of the API's own pages. */
export function newestFirst(a: Call, b: Call): number {
  return Date.parse(b.startedAt) - Date.parse(a.startedAt) || (a.id < b.id ? 1 : -1);
}

const outcomes: Record<string, { label: string; tone: string }> = {
  OK: { label: "OK", tone: "good" },
  TOOL_ERROR: { label: "Tool error", tone: "bad" },
  PROTOCOL_ERROR: { label: "Protocol error", tone: "bad" },
  TRANSPORT_ERROR: { label: "Transport error", tone: "bad" },
  INPUT_REQUIRED: { label: "Input required", tone: "wait" },
  CANCELLED: { label: "Cancelled", tone: "wait" },
};

/** One row of the table. All text goes in as text: what a server sent is never read as markup. */
export function callRow(call: Call): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.dataset.call = call.id;

  const known = outcomes[call.outcome] ?? { label: call.outcome, tone: "wait" };
  const badge = document.createElement("span");
  badge.className = `badge ${known.tone}`;
  badge.textContent = known.label;
  if (call.errorMessage) badge.title = call.errorMessage;
  const outcome = cell(row, "", badge);
  if (call.httpStatus !== null) outcome.append(` ${call.httpStatus}`);

  cell(row, "code", call.method);
  cell(row, "code", call.tool ?? call.target ?? "");
  cell(row, "", call.server.name);
  cell(row, "number", duration(call.durationMs));

  const time = document.createElement("time");
  time.dateTime = call.startedAt;
  time.title = call.startedAt;
  time.textContent = clock(new Date(call.startedAt));
  cell(row, "", time);
  return row;
}

function cell(row: HTMLTableRowElement, className: string, content: string | Node): HTMLTableCellElement {
  const made = row.insertCell();
  made.className = className;
  made.append(content);
  return made;
}

function duration(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

/** The hour alone for today, the day too for older calls. */
function clock(at: Date): string {
  const today = at.toDateString() === new Date().toDateString();
  return today ? at.toLocaleTimeString() : at.toLocaleString();
}
