// What is recorded of requests: everything, all but bodies, or nothing; which tools' bodies; and how much of them.

import type { Incoming } from "./observer.js";
import { BadRule, Redactor } from "./redaction.js";
import { Sampling } from "./sampling.js";

/** How many bytes of a body are kept when nothing is said: 1 MiB, the collector's own default. */
export const DEFAULT_BODY_CAP = 1 << 20;

const UNITS: Record<string, number> = {
  "": 1, b: 1, k: 1 << 10, kb: 1 << 10, kib: 1 << 10, m: 1 << 20, mb: 1 << 20, mib: 1 << 20, g: 1 << 30, gb: 1 << 30, gib: 1 << 30,
};

/** A setting of capture that cannot be kept; it says what would be right. */
export class CaptureError extends Error {}

export interface CaptureOptions {
  /** `full` (the default), `metadata` (no bodies) or `off` (nothing). */
  mode?: "full" | "metadata" | "off";
  /** If any, only the bodies of these tools are kept: exact names, or beginnings with `*` at the end. */
  allow?: string[];
  /** Bodies of these tools are not kept, even if `allow` names them. */
  deny?: string[];
  /** How many bytes of each body are kept; its whole size is recorded in any case. 0 keeps none. */
  bodyCap?: number;
  redactor?: Redactor;
  /**
   * Is given each text that is recorded, after the secrets known here were cut out of it: values of attributes, bodies as JSON text,
   * errors, log lines, names of spans; and gives what is recorded in its place, or undefined to leave it. Where it throws, the text is
   * `[redacted]`.
   */
  redactWith?: (text: string) => string | undefined;
  /** Is given each request before it is handled, and gives attributes of its call. */
  tagWith?: (incoming: Incoming) => Record<string, unknown> | undefined;
  /** Requests of these methods are not recorded, neither in nor out: exact names, or beginnings with `*` at the end. */
  excludeMethods?: string[];
  /**
   * Of these methods every failure is recorded, and one of so many requests that succeed. A success says for how many requests it
   * stands, as the attribute `mcptap.weight`. A failure that was not chosen when it began has no request body and no lines.
   */
  sampleMethods?: Record<string, number>;
}

/** What is recorded. The default is everything, with bodies of up to 1 MiB each and the built-in redaction. */
export class Capture {
  readonly mode: "full" | "metadata" | "off";
  readonly allow: string[];
  readonly deny: string[];
  readonly bodyCap: number;
  readonly redactor: Redactor;
  readonly tagWith: CaptureOptions["tagWith"];
  readonly excludeMethods: string[];
  readonly #samplings = new Map<string, Sampling>();

  constructor(options: CaptureOptions = {}) {
    const { mode = "full", allow = [], deny = [], bodyCap = DEFAULT_BODY_CAP, redactor = new Redactor(), redactWith, tagWith, excludeMethods = [] } = options;
    if (!["full", "metadata", "off"].includes(mode)) throw new CaptureError(`the mode of capture is ${JSON.stringify(mode)}; give full, metadata or off`);
    checkTools("the list of tools", [...allow, ...deny]);
    if (!(bodyCap >= 0)) throw new CaptureError(`the cap of bodies is ${bodyCap}; give a number of bytes`);
    for (const [method, every] of Object.entries(options.sampleMethods ?? {})) {
      if (!Number.isInteger(every) || every < 1) throw new CaptureError(`${method} is sampled by ${every}; give a number: 10 records one of ten`);
      if (every > 1) this.#samplings.set(method, new Sampling(every));
    }
    const wrong = excludeMethods.find((entry) => !entry || entry.slice(0, -1).includes("*"));
    if (wrong !== undefined) {
      throw new CaptureError(`${JSON.stringify(wrong)} is no name of a method; give names, or beginnings of names with * at the end, such as ping or resources/*`);
    }
    [this.tagWith, this.excludeMethods] = [tagWith, excludeMethods];
    [this.mode, this.allow, this.deny, this.bodyCap, this.redactor] = [mode, allow, deny, bodyCap, redactor.followedBy(redactWith)];
  }

  /**
   * As `MCPTAP_CAPTURE`, `MCPTAP_CAPTURE_TOOLS`, `MCPTAP_CAPTURE_DENY_TOOLS`, `MCPTAP_BODY_CAP`, `MCPTAP_REDACT_KEYS`,
   * `MCPTAP_REDACT_PATTERNS` and `MCPTAP_REDACT_ENV` say. A variable that is empty counts as not set. Throws on the first that
   * cannot be kept.
   */
  static fromEnv(env: Record<string, string | undefined> = process.env): Capture {
    const listed = (name: string, separator = ",") => (env[name] ?? "").split(separator).map((entry) => entry.trim()).filter(Boolean);
    const mode = (env["MCPTAP_CAPTURE"] ?? "").trim().toLowerCase() || "full";
    if (mode !== "full" && mode !== "metadata" && mode !== "off") {
      throw new CaptureError(`MCPTAP_CAPTURE is ${JSON.stringify(env["MCPTAP_CAPTURE"])}; give full, metadata or off`);
    }
    const [allow, deny] = [listed("MCPTAP_CAPTURE_TOOLS"), listed("MCPTAP_CAPTURE_DENY_TOOLS")];
    checkTools("MCPTAP_CAPTURE_TOOLS", allow);
    checkTools("MCPTAP_CAPTURE_DENY_TOOLS", deny);
    const values = Object.fromEntries(listed("MCPTAP_REDACT_ENV").flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
    const cap = (env["MCPTAP_BODY_CAP"] ?? "").trim();
    try {
      const redactor = new Redactor({ keys: listed("MCPTAP_REDACT_KEYS"), patterns: listed("MCPTAP_REDACT_PATTERNS", "\n"), values });
      return new Capture({ mode, allow, deny, bodyCap: cap ? bytesOf("MCPTAP_BODY_CAP", cap) : DEFAULT_BODY_CAP, redactor });
    } catch (error) {
      if (!(error instanceof BadRule)) throw error;
      throw new CaptureError(`in MCPTAP_REDACT_KEYS, MCPTAP_REDACT_PATTERNS or MCPTAP_REDACT_ENV: ${error.message}`);
    }
  }

  /** Whether anything is recorded at all. */
  get records(): boolean {
    return this.mode !== "off";
  }

  /** Whether requests of this method are not recorded. */
  excludes(method: string): boolean {
    return isNamed(this.excludeMethods, method);
  }

  /** How this method is sampled, if it is. */
  sampling(method: string): Sampling | undefined {
    return this.#samplings.get(method);
  }

  /** Whether the bodies of a request are kept: one about this tool, or about none. */
  bodiesOf(tool: string | undefined): boolean {
    if (this.mode !== "full" || tool === undefined) return this.mode === "full";
    return !isNamed(this.deny, tool) && (this.allow.length === 0 || isNamed(this.allow, tool));
  }
}

const isNamed = (entries: string[], tool: string): boolean =>
  entries.some((entry) => (entry.endsWith("*") ? tool.startsWith(entry.slice(0, -1)) : tool === entry));

function checkTools(name: string, entries: string[]): void {
  // A star elsewhere would be taken for part of a name, and bodies be kept that were not to be.
  const wrong = entries.find((entry) => entry.slice(0, -1).includes("*"));
  if (wrong === undefined) return;
  throw new CaptureError(`${name} holds ${JSON.stringify(wrong)}; give names of tools, or beginnings of names with * at the end, such as get_*`);
}

/** A size as variables have it; throws by telling what would be right. */
export function bytesOf(name: string, text: string, expected = "a number of bytes, or one with a unit such as 1MiB"): number {
  const found = /^(\d+)\s*([A-Za-z]*)$/.exec(text);
  const unit = found ? UNITS[(found[2] ?? "").toLowerCase()] : undefined;
  if (!found || unit === undefined) {
    throw new CaptureError(`${name} is ${JSON.stringify(text)}; give ${expected}`);
  }
  return Number(found[1]) * unit;
}
