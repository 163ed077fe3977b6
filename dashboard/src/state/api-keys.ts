import type { CreateApiKeyInput, KeyRowFragment, Scope } from "../gql/graphql";
import { createStore } from "./store";

export type ApiKey = KeyRowFragment;

/** What can be allowed, in the order of the form: a name, and what it means in plain words. */
export const scopes: readonly { scope: Scope; name: string; means: string }[] = [
  {
    scope: "READ",
    name: "Read",
    means: "See calls: what was called, when, and how it ended. No bodies.",
  },
  {
    scope: "PAYLOADS",
    name: "Payloads",
    means: "With Read, also see requests, responses, error messages and console output.",
  },
  {
    scope: "INGEST",
    name: "Ingest",
    means: "Send calls and log lines. For servers, the wrapper and the proxy.",
  },
  {
    scope: "ADMIN",
    name: "Admin",
    means: "Make and revoke keys, delete calls, read the audit log. Does not include Read.",
  },
];

export const scopeName = (scope: Scope): string =>
  scopes.find((known) => known.scope === scope)?.name ?? scope;

/** Allows one thing more or less, and what belongs to it: nobody reads what was said in calls they cannot see. */
export function withScope(chosen: readonly Scope[], scope: Scope, on: boolean): Scope[] {
  const wanted = new Set(chosen);
  if (on) wanted.add(scope);
  else wanted.delete(scope);
  if (on && scope === "PAYLOADS") wanted.add("READ");
  if (!on && scope === "READ") wanted.delete("PAYLOADS");
  return scopes.map((known) => known.scope).filter((known) => wanted.has(known));
}

/** When a key is to end: in so many days, at a moment, or never. */
export type Ending = { days: number } | { at: string } | undefined;

/** The form that makes a key, as far as it is filled in. */
export interface Draft {
  name: string;
  scopes: readonly Scope[];
  servers: readonly string[];
  ends: Ending;
}

/** The first key is an administrator's, who wants to go on seeing everything. */
export function emptyDraft(first: boolean): Draft {
  return {
    name: "",
    scopes: first ? ["READ", "PAYLOADS", "ADMIN"] : ["READ"],
    servers: [],
    ends: first ? undefined : { days: 90 },
  };
}

export function toKeyInput({ name, scopes: allowed, servers, ends }: Draft, now: Date): CreateApiKeyInput {
  const expiresAt =
    ends && ("at" in ends ? ends.at : new Date(now.getTime() + ends.days * 86_400_000).toISOString());
  return {
    name,
    scopes: [...allowed],
    // an administrator's key is over all servers
    ...(servers.length > 0 && !allowed.includes("ADMIN") ? { servers: [...servers] } : {}),
    ...(expiresAt ? { expiresAt } : {}),
  };
}

export type KeyState = "active" | "expired" | "revoked";

export function keyState(key: Pick<ApiKey, "expiresAt" | "revokedAt">, now: number): KeyState {
  if (key.revokedAt) return "revoked";
  return key.expiresAt && Date.parse(key.expiresAt) <= now ? "expired" : "active";
}

/** Whether nobody could make or revoke keys on this page without this one, as far as the others are known. */
export function isLastAdmin(key: ApiKey, all: readonly ApiKey[], now: number): boolean {
  const rules = (one: ApiKey) => one.scopes.includes("ADMIN") && keyState(one, now) === "active";
  return rules(key) && !all.some((other) => other.id !== key.id && rules(other));
}

/** How a server is told to send with a key. */
export function sendSnippet(secret: string): string {
  return `export OTEL_EXPORTER_OTLP_HEADERS="x-api-key=${secret}"`;
}

/** How a program asks the API with a key. */
export function askSnippet(secret: string, api: string): string {
  return [
    `curl -sS '${api}'`,
    `  -H 'Authorization: Bearer ${secret}'`,
    "  -H 'Content-Type: application/json'",
    `  --data '{"query":"{ viewer { scopes } }"}'`,
  ].join(" \\\n");
}

/** A key whose secret has not been put away yet. Outside of the page, which a refusal elsewhere would take down. */
export const madeKey = createStore<{ apiKey: ApiKey; secret: string; first: boolean } | undefined>(undefined);
