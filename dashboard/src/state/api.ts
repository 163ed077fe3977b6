import type { TypedDocumentString } from "../gql/graphql";
import { learnClock } from "./clock";
import { endpoint } from "./endpoint";
import { currentKey, refuseKey } from "./key";
import { createStore } from "./store";

/** What a GraphQL answer looks like over HTTP and over the socket. */
export interface Answer<T> {
  data?: T | null;
  errors?: readonly { message: string; extensions?: { code?: string } }[];
}

/** Why there is no answer. `kind` decides what a person is told to do about it. */
export class AskError extends Error {
  constructor(
    message: string,
    /**
     * `away`: mcptap did not answer. `busy`: it did, and cannot do more now. `refused`: a key is needed, or this one is not
     * enough. `wrong`: all else.
     */
    readonly kind: "away" | "busy" | "refused" | "wrong",
    /** The code of the first error, such as `BAD_USER_INPUT`. */
    readonly code?: string,
    /** The HTTP status of what answered in its place, as a proxy does. */
    readonly status?: number,
  ) {
    super(message);
    this.name = "AskError";
  }
}

/** Whether the last question went unanswered: then nothing on the screen is known to be so still. */
export const awayStore = createStore(false);

function setAway(away: boolean): void {
  if (awayStore.get() !== away) awayStore.set(away);
}

/** Whether what was asked for cannot be, such as an id that is none. Over HTTP or the socket, which has errors as a list. */
export function isBadInput(problem: unknown): boolean {
  const code = Array.isArray(problem)
    ? (problem as NonNullable<Answer<unknown>["errors"]>)[0]?.extensions?.code
    : problem instanceof AskError && problem.code;
  return code === "BAD_USER_INPUT";
}

/** Whether the same question may be answered a moment later, though nobody changes anything here. */
export function mayPass(problem: unknown): boolean {
  if (!(problem instanceof AskError)) return false;
  // to ask for too much again at once would keep mcptap busy
  return problem.kind === "away" || (problem.kind === "busy" && problem.code !== "TIMED_OUT");
}

/** Asks once, by POST. Throws an AskError with the server's own words when there is no data. */
export async function ask<Result, Variables>(
  document: TypedDocumentString<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  const key = currentKey();
  const asked = Date.now();
  // an answer that is cut in the middle is none
  const { response, text } = await fetch(endpoint, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      ...(key ? { authorization: `Bearer ${key}` } : {}),
    },
    body: JSON.stringify({ query: document.toString(), variables }),
    ...(signal ? { signal } : {}),
  })
    .then(async (response) => {
      learnClock(response.headers.get("date"), asked, Date.now());
      return { response, text: await response.text() };
    })
    .catch((error: unknown) => {
      if (signal?.aborted) throw error;
      setAway(true);
      // the browser has words of its own for it, and each another
      throw new AskError("mcptap does not answer", "away");
    });
  // 403 is a key that holds and is for something else, such as sending alone; 429 one that is wrong, after many others
  if (response.status === 401 || (key && [403, 429].includes(response.status))) {
    refuseKey(key, said(text));
    throw new AskError(said(text) || "mcptap asks for a key", "refused");
  }
  const { status } = response;
  const cannot = [502, 503, 504].includes(status);
  const words = cannot ? said(text) : "";
  // what does not speak GraphQL is not mcptap
  setAway(cannot && !words);
  if (words) throw new AskError(words, "busy", codeOf(text));
  if (cannot) throw new AskError(`HTTP ${status}`, "away", undefined, status);
  let answer: Answer<Result>;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new AskError(`HTTP ${response.status}: ${text.slice(0, 200) || response.statusText}`, "wrong");
  }
  return dataOf(answer);
}

function said(text: string): string {
  return errorsOf(text)
    .map((error) => error.message)
    .join("; ");
}

function codeOf(text: string): string | undefined {
  return errorsOf(text)[0]?.extensions?.code;
}

function errorsOf(text: string): NonNullable<Answer<unknown>["errors"]> {
  try {
    const answer: Answer<unknown> = JSON.parse(text);
    return answer.errors ?? [];
  } catch {
    return [];
  }
}

/** What went wrong, in words for a person; empty for a connection that was merely lost. */
export function explain(error: unknown): string {
  if (error instanceof Error) return error.message;
  // the socket's own way to report: GraphQL errors as a list, or how the server closed it
  if (Array.isArray(error)) return error.map(explain).join("; ");
  if (typeof CloseEvent !== "undefined" && error instanceof CloseEvent)
    return error.code >= 4400 ? error.reason : "";
  return String((error as { message?: unknown } | null)?.message ?? "");
}

/** The data of an answer, or its errors as one Error. */
export function dataOf<T>(answer: Answer<T>): T {
  if (answer.errors?.length || !answer.data) {
    const code = answer.errors?.[0]?.extensions?.code;
    throw new AskError(
      answer.errors?.map((error) => error.message).join("; ") || "an answer without data",
      // the rest of the answer was there, or mcptap itself was
      code === "UNAVAILABLE" ? "busy" : "wrong",
      code,
    );
  }
  return answer.data;
}
