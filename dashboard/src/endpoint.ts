/** The API beside the page that asks, also where a reverse proxy serves both below some path. */
export const endpoint = new URL("./graphql", location.href);
endpoint.search = "";
endpoint.hash = "";

/** The same address for a WebSocket. */
export const socketEndpoint = new URL(endpoint);
socketEndpoint.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

/** What a GraphQL answer looks like over HTTP and over the socket. */
export interface Answer<T> {
  data?: T | null;
  errors?: readonly { message: string }[];
}

/** Asks once, by POST. Throws with the server's own words when there is no data. */
export async function ask<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ query, variables }),
  });
  const text = await response.text();
  let answer: Answer<T>;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`HTTP ${response.status}: ${text.slice(0, 200) || response.statusText}`);
  }
  return dataOf(answer);
}

/** What went wrong, in words for a person; empty for a connection that was merely lost. */
export function explain(error: unknown): string {
  if (error instanceof Error) return error.message;
  // the socket's own way to report: GraphQL errors as a list, or how the server closed it
  if (Array.isArray(error)) return error.map(explain).join("; ");
  if (error instanceof CloseEvent) return error.code >= 4400 ? error.reason : "";
  return String((error as { message?: unknown } | null)?.message ?? "");
}

/** The data of an answer, or its errors as one Error. */
export function dataOf<T>(answer: Answer<T>): T {
  if (answer.errors?.length || !answer.data) {
    throw new Error(answer.errors?.map((error) => error.message).join("; ") || "an answer without data");
  }
  return answer.data;
}
