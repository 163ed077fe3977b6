import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import {
  type ApiKey,
  askSnippet,
  emptyDraft,
  isLastAdmin,
  keyState,
  sendSnippet,
  toKeyInput,
  withScope,
} from "../../src/state/api-keys";

const now = new Date("2026-11-24T12:00:00.000Z");
const key = (id: string, part: Partial<ApiKey> = {}): ApiKey => ({
  id,
  name: `key ${id}`,
  scopes: ["ADMIN"],
  servers: [],
  createdAt: "2026-11-01T00:00:00Z",
  expiresAt: null,
  lastUsedAt: null,
  revokedAt: null,
  ...part,
});

test("a key is active, expired or revoked, and revoked for good", () => {
  const at = now.getTime();
  expect(keyState(key("1"), at)).toBe("active");
  expect(keyState(key("1", { expiresAt: "2026-11-24T12:00:00.001Z" }), at)).toBe("active");
  expect(keyState(key("1", { expiresAt: "2026-11-24T12:00:00Z" }), at)).toBe("expired");
  const revoked = { expiresAt: "2026-11-24T11:00:00Z", revokedAt: "2026-11-23T12:00:00Z" };
  expect(keyState(key("1", revoked), at)).toBe("revoked");
});

test("the last administrator is told", () => {
  const at = now.getTime();
  const mine = key("1");
  expect(isLastAdmin(mine, [mine, key("2", { scopes: ["READ"] })], at)).toBe(true);
  expect(isLastAdmin(mine, [mine, key("2")], at)).toBe(false);
  expect(isLastAdmin(mine, [mine, key("2", { revokedAt: "2026-11-23T12:00:00Z" })], at)).toBe(true);
  expect(isLastAdmin(key("2", { scopes: ["READ"] }), [mine], at)).toBe(false);
});

test("nobody reads what was said in calls they cannot see", () => {
  expect(withScope([], "PAYLOADS", true)).toEqual(["READ", "PAYLOADS"]);
  expect(withScope(["READ", "PAYLOADS", "ADMIN"], "READ", false)).toEqual(["ADMIN"]);
  expect(withScope(["READ", "PAYLOADS"], "PAYLOADS", false)).toEqual(["READ"]);
  expect(withScope(["ADMIN"], "INGEST", true)).toEqual(["INGEST", "ADMIN"]);
});

test("the form becomes what the API takes", () => {
  expect(emptyDraft(true).scopes).toContain("ADMIN");
  expect(emptyDraft(false).scopes).not.toContain("ADMIN");
  expect(toKeyInput({ name: "a", scopes: ["READ"], servers: ["s"], ends: { days: 7 } }, now)).toEqual({
    name: "a",
    scopes: ["READ"],
    servers: ["s"],
    expiresAt: "2026-12-01T12:00:00.000Z",
  });
  // chosen before Admin was, and not for it
  expect(toKeyInput({ name: "a", scopes: ["ADMIN"], servers: ["s"], ends: undefined }, now)).toEqual({
    name: "a",
    scopes: ["ADMIN"],
  });
  const day = { at: "2026-12-25T00:00:00.000Z" };
  expect(toKeyInput({ name: "a", scopes: [], servers: [], ends: day }, now).expiresAt).toBe(day.at);
});

test("the snippets are what a shell takes", () => {
  const run = (script: string) => execFileSync("bash", ["-c", script], { encoding: "utf8" });
  expect(run(`${sendSnippet("mcptap_abc")}; printf %s "$OTEL_EXPORTER_OTLP_HEADERS"`)).toBe(
    "x-api-key=mcptap_abc",
  );
  const asked = askSnippet("mcptap_abc", "http://127.0.0.1:1/graphql");
  expect(run(`curl() { printf '%s\\n' "$@"; }\n${asked}`).split("\n").slice(0, -1)).toEqual([
    "-sS",
    "http://127.0.0.1:1/graphql",
    "-H",
    "Authorization: Bearer mcptap_abc",
    "-H",
    "Content-Type: application/json",
    "--data",
    '{"query":"{ viewer { scopes } }"}',
  ]);
});
