import { afterEach, expect, test, vi } from "vitest";
import { ViewerDocument } from "../../src/gql/graphql";
import { ask, mayPass } from "../../src/state/api";

afterEach(() => vi.unstubAllGlobals());

test("an answer that is cut in the middle is none, and is asked for again", async () => {
  const body = new ReadableStream({
    start(stream) {
      stream.enqueue(new TextEncoder().encode('{"data":{"vie'));
      stream.error(new TypeError("network error"));
    },
  });
  vi.stubGlobal("fetch", async () => new Response(body, { status: 200 }));
  const problem = await ask(ViewerDocument, {}).catch((error: unknown) => error);
  expect(problem).toMatchObject({ kind: "away", message: "mcptap does not answer" });
  expect(mayPass(problem)).toBe(true);
});
