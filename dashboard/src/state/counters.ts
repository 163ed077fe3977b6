import { AskError, explain } from "./api";
import { root } from "./endpoint";
import { currentKey } from "./key";

/** Where the counters are, for whoever watches mcptap. */
export const metricsAddress = new URL("./metrics", root);

/** Counters of what arrived, as `/metrics` has them. Those with labels are summed. */
export function parseCounters(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [, name = "", value] of text.matchAll(/^(\w+)(?:\{[^}]*\})? ([\d.e+]+)$/gm))
    found.set(name, (found.get(name) ?? 0) + Number(value));
  return found;
}

/** Reads them now. Throws where nobody answers, and where this key may not, with the reason. */
export async function readCounters(signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const key = currentKey();
  const headers: HeadersInit = key ? { authorization: `Bearer ${key}` } : {};
  const answer = await fetch(metricsAddress, { headers, signal }).catch((error: unknown) => {
    throw new AskError(explain(error), "away");
  });
  if (answer.status === 401 || answer.status === 403)
    throw new AskError((await answer.text()).trim() || "this key may not read them", "refused");
  if (!answer.ok) throw new AskError(`/metrics answered with HTTP ${answer.status}`, "wrong");
  return parseCounters(await answer.text());
}
