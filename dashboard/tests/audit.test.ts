import { serverAudits } from "graphql-http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Mcptap } from "./mcptap";

/**
 * What the suite recommends and mcptap does not do, because the first edition of the GraphQL-over-HTTP specification
 * (September 2026) recommends something else than the draft that the suite was written for. docs/api.md says so.
 */
const declined = new Map([
  // 200 for what was not executed, when the client accepts application/json: now the same status as for everybody
  ["572B", "SHOULD use 200 status code on document parsing failure when accepting application/json"],
  ["FDE2", "SHOULD use 200 status code on document validation failure when accepting application/json"],
  ["7B9B", "SHOULD use a status code of 200 on variable coercion failure when accepting application/json"],
  // 400 for variables that do not fit: now 422 (so is a document that does not fit; what the suite sends for one, a name that
  // begins with a digit, does not even parse)
  [
    "86EE",
    "SHOULD use a status code of 400 on variable coercion failure when accepting application/graphql-response+json",
  ],
]);

let mcptap: Mcptap;
beforeAll(async () => {
  mcptap = await Mcptap.start();
});
afterAll(() => mcptap.stop());

test("the audit of GraphQL over HTTP", async () => {
  const audits = serverAudits({ url: `${mcptap.url}/graphql` });
  const results = await Promise.all(audits.map(({ fn }) => fn()));
  const failed = results.filter((result) => result.status !== "ok");
  const of = (level: string) => failed.filter(({ name }) => name.startsWith(`${level} `));
  expect(of("MUST")).toEqual([]);
  expect(new Map(of("SHOULD").map(({ id, name }) => [id as string, name as string]))).toEqual(declined);
  // each is "MAY use 400 status code" for parameters of a wrong type, where 422 is what SHOULD be used now
  expect(of("MAY").filter(({ name }) => !name.startsWith("MAY use 400 status code"))).toEqual([]);
  expect(results.length).toBeGreaterThan(60);
});
