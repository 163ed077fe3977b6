// A queue that redacts, ends spans and sends them when the server has nothing else to do, so that no handler waits for it.

import { diag } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";

import { complain } from "./complaint.js";
import { outside } from "./outside.js";
import type { Spool } from "./spool.js";

/** How much may wait, in bytes; what comes when it is full is dropped, and counted. */
export const QUEUE_BYTES = 32 << 20;
const BATCH_BYTES = 4 << 20;
const BATCH_RECORDS = 512;
/** How much may wait in memory before it goes to disk, where it is kept there and the collector is away, in bytes. */
const SPILL_BYTES = 8 << 20;
/** How much goes into one file at most, in bytes, unless a record is larger: what is in front of a collector may take little more. */
const PIECE_BYTES = 512 << 10;
/** How long the end of the process waits for what is left to be sent, in milliseconds. */
const PATIENCE = 3000;
const LONGEST_PAUSE = 30_000;
/** How long what is to be redacted waits, in milliseconds: the answer is on its way then. */
const SOON = 10;
/** What a record takes besides its bodies. */
const RECORD_BYTES = 2048;
/** How much is redacted in one turn of the event loop, in bytes. */
const TURN = 256 * 1024;

const ADVICE: Record<number, string> = {
  401: "an API key is missing or wrong: OTEL_EXPORTER_OTLP_HEADERS=x-api-key=…",
  403: "the API key may not be used for this server, or has not the scope ingest",
  404: "the endpoint's path is wrong: OTEL_EXPORTER_OTLP_ENDPOINT has none, exporters add /v1/traces",
};

export type Signal = "spans" | "logs";

interface Exporter {
  /** Records as they are sent, for the disk; and sends what was written. */
  written?(records: unknown[]): Uint8Array | undefined;
  resend?(message: Uint8Array): Promise<ExportResult>;
  export(records: unknown[], done: (result: ExportResult) => void): void;
  shutdown(): Promise<void>;
}

interface Waiting {
  size: number;
  record: unknown;
}

/** Those that may have something to send when the process has nothing more to do. */
const open = new Set<Courier>();
let isEndWatched = false;

/** What became of records. An exporter that throws has some that it cannot write: it would throw again. */
async function resultOf(exporter: Exporter, records: unknown[]): Promise<ExportResult> {
  try {
    return await new Promise<ExportResult>((tell) => exporter.export(records, tell));
  } catch (error) {
    diag.error("mcptap: records could not be written", error);
    return { code: ExportResultCode.FAILED, error: Object.assign(new Error("they cannot be written"), { code: 400 }) };
  }
}

export class Courier {
  readonly #exporters: Map<Signal, Exporter>;
  readonly #linger: number;
  readonly #limit: number;
  readonly #spool: Spool | undefined;
  readonly #spill: number;
  #isAway = false;
  /** When to send what may wait on disk. */
  #backlogAt: number | undefined;
  /** What is being sent. */
  #underWay: { signal: Signal; batch: Waiting[]; size: number } | undefined;
  readonly #where: string;
  #tasks: { size: number; task: () => void }[] = [];
  readonly #ready: Record<Signal, Waiting[]> = { spans: [], logs: [] };
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<boolean> | undefined;
  #pause = 0;
  #notBefore = 0;
  #sentAt = 0;
  /** Since when something is ready. */
  #since: number | undefined;
  #dropped = 0;
  #said = new Set<number | string>();
  #isOver = false;

  /** `spool` keeps what waits on disk while the collector is away, if it is there: beyond `spill` bytes of it at once. */
  constructor(exporters: Map<Signal, Exporter>, linger: number, where: string, limit = QUEUE_BYTES, spool?: Spool, spill = SPILL_BYTES) {
    [this.#exporters, this.#linger, this.#where, this.#limit] = [exporters, linger, where, limit];
    [this.#spool, this.#spill] = [spool, spill];
    open.add(this);
    if (isEndWatched) return;
    isEndWatched = true;
    process.on("beforeExit", () => { for (const courier of open) void courier.close(); });
    // Nothing is waited for here.
    process.on("exit", () => { for (const courier of open) courier.leave(); });
  }

  /** Whether records of this signal are sent. */
  sends(signal: Signal): boolean {
    return this.#exporters.has(signal);
  }

  /** How much waits, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Does it later, after all before. `size` is what it holds, in bytes. Whether there was room for it. */
  later(task: () => void, size = 0): boolean {
    size += RECORD_BYTES;
    if (this.#isOver || this.#bytes + size > this.#limit) {
      this.#drop();
      return false;
    }
    this.#bytes += size;
    this.#tasks.push({ size, task });
    this.#wake();
    return true;
  }

  /** Whether so many bytes more may be held. */
  room(size: number): boolean {
    return this.#bytes + size + RECORD_BYTES <= this.#limit;
  }

  /** Sends it, with others. For tasks. */
  send(signal: Signal, record: unknown, size = 0): void {
    if (!this.sends(signal)) return;
    size += RECORD_BYTES;
    this.#bytes += size;
    this.#ready[signal].push({ size, record });
    // What is old makes room for what is new.
    while (this.#bytes > this.#limit) {
      const oldest = (this.#ready.logs.length > 0 ? this.#ready.logs : this.#ready.spans).shift();
      if (!oldest) break;
      this.#bytes -= oldest.size;
      this.#drop();
    }
    this.#wake();
  }

  /** Sends all that is recorded so far. Whether that was done within so many milliseconds. */
  async flush(timeout: number): Promise<boolean> {
    return this.#wait(timeout, () => this.#has() || this.#backlogAt !== undefined);
  }

  async #wait(timeout: number, isNeeded: () => boolean): Promise<boolean> {
    const end = Date.now() + timeout;
    while (isNeeded()) {
      const left = end - Date.now();
      if (left <= 0) return false;
      this.#work(Number.POSITIVE_INFINITY);
      const sent = this.#sending ?? this.#deliver();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<undefined>((tell) => { timer = setTimeout(() => tell(undefined), left); });
      const outcome = await Promise.race([sent, late]);
      clearTimeout(timer);
      if (outcome === false) await new Promise((wake) => setTimeout(wake, Math.min(50, Math.max(0, end - Date.now()))));
    }
    return true;
  }

  /** Sends what is left, for a few seconds at most. */
  async close(timeout = PATIENCE): Promise<void> {
    if (this.#isOver) return;
    if (!(await this.#wait(timeout, () => this.#has()))) this.leave();
    open.delete(this);
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const exporter of this.#exporters.values()) exporter.shutdown().catch(() => {});
  }

  /** The process ends, and the collector does not answer: what is left goes to disk, if something is kept there. */
  leave(): void {
    if (!this.#spool) return;
    const end = Date.now() + PATIENCE;
    while (this.#tasks.length > 0 && Date.now() < end) this.#work(TURN);
    const left = this.#underWay;
    this.#underWay = undefined;
    if (left) this.#ready[left.signal].unshift(...left.batch);
    this.#toDisk();
  }

  /** Puts on disk what is ready, as far as it takes that. */
  #toDisk(): void {
    if (!this.#spool) return;
    for (const [signal, exporter] of this.#exporters) {
      const ready = this.#ready[signal];
      while (exporter.written && ready.length > 0) {
        let [count, size] = [0, 0];
        while (count < ready.length && (count === 0 || size + (ready[count]?.size ?? 0) <= PIECE_BYTES)) {
          size += ready[count]?.size ?? 0;
          count += 1;
        }
        const data = exporter.written(ready.slice(0, count).map(({ record }) => record));
        if (data && !this.#spool.put(signal, data)) return;
        ready.splice(0, count);
        this.#bytes -= size;
      }
    }
  }

  #has(): boolean {
    return this.#tasks.length > 0 || this.#ready.spans.length > 0 || this.#ready.logs.length > 0 || this.#sending !== undefined;
  }

  #drop(): void {
    this.#dropped += 1;
    if (this.#dropped === 1) complain("the collector is away or slow, and there is no more room for records: some are dropped");
  }

  /**
   * When to send what is ready. The end of a call that comes alone goes at once, with its lines, so that a process that is killed loses
   * little; what comes in a row is put together.
   */
  #due(now: number): number | undefined {
    const { spans, logs } = this.#ready;
    if (spans.length + logs.length === 0) {
      this.#since = undefined;
      return undefined;
    }
    this.#since ??= now;
    const quiet = spans.length > 0 ? this.#sentAt : this.#since;
    return Math.max(quiet + this.#linger, this.#notBefore);
  }

  /** When there is something to send, also of what waits on disk. */
  #soonest(now: number): number | undefined {
    const due = this.#due(now);
    return this.#backlogAt === undefined || (due !== undefined && due < this.#backlogAt) ? due : this.#backlogAt;
  }

  #wake(): void {
    if (this.#timer || this.#isOver) return;
    const now = Date.now();
    const [soon, due] = [now + Math.min(SOON, this.#linger), this.#soonest(now)];
    if (this.#tasks.length === 0 && due === undefined) return;
    const next = this.#tasks.length > 0 ? soon : Math.max(due ?? 0, now);
    const look = () => {
      this.#timer = undefined;
      this.#work(TURN);
      if (this.#isAway && this.#bytes > this.#spill) this.#toDisk();
      const ready = this.#soonest(Date.now());
      if (this.#tasks.length === 0 && ready !== undefined && ready <= Date.now()) void (this.#sending ?? this.#deliver());
      else this.#wake();
    };
    this.#timer = outside(() => setTimeout(look, next - now));
    // It keeps no process alive.
    this.#timer.unref();
  }

  /** Does tasks, of so many bytes at most. */
  #work(most: number): void {
    let done = 0;
    while (this.#tasks.length > 0 && done < most) {
      const batch = this.#tasks.splice(0, 64);
      for (const { size, task } of batch) {
        this.#bytes -= size;
        done += size;
        try {
          task();
        } catch (error) {
          diag.error("mcptap: a record could not be made", error);
        }
      }
    }
  }

  #deliver(): Promise<boolean> {
    // What exporters ask of the collector is no part of the call in which it is sent.
    if (this.#ready.spans.length > 0) this.#sentAt = Date.now();
    this.#since = undefined;
    const failed = (error: unknown): boolean => {
      diag.error("mcptap: records could not be sent", error);
      return false;
    };
    const delivery = outside(() => this.#export()).catch(failed).finally(() => {
      this.#sending = undefined;
      this.#wake();
    });
    this.#sending = delivery;
    return delivery;
  }

  /** Sends what is ready, else what waits on disk. Whether somebody answered. */
  async #export(): Promise<boolean> {
    const hasReady = this.#ready.spans.length + this.#ready.logs.length > 0;
    const { sent, hasMore } = hasReady ? { sent: await this.#exportReady(), hasMore: true } : await this.#deliverPiece();
    if (sent) this.#pause = 0;
    else {
      this.#pause = Math.min(Math.max(this.#pause * 2, 1000), LONGEST_PAUSE);
      this.#notBefore = Date.now() + this.#pause;
    }
    this.#isAway = !sent;
    this.#backlogAt = hasMore && this.#spool && !this.#isOver ? Date.now() + this.#pause : undefined;
    return sent;
  }

  async #deliverPiece(): Promise<{ sent: boolean; hasMore: boolean }> {
    for (const [signal, exporter] of this.#exporters) {
      const piece = exporter.resend && this.#spool?.take(signal);
      if (!piece) continue;
      const result = await exporter.resend?.(piece.data);
      if (result?.code === ExportResultCode.SUCCESS || this.#isRefused(result?.error)) this.#spool?.done(piece);
      else {
        this.#spool?.back(piece);
        return { sent: false, hasMore: true };
      }
      return { sent: true, hasMore: true };
    }
    return { sent: !this.#isAway, hasMore: false };
  }

  async #exportReady(): Promise<boolean> {
    for (const [signal, exporter] of this.#exporters) {
      const ready = this.#ready[signal];
      while (ready.length > 0) {
        let [count, size] = [0, 0];
        while (count < Math.min(ready.length, BATCH_RECORDS) && (count === 0 || size + (ready[count]?.size ?? 0) <= BATCH_BYTES)) {
          size += ready[count]?.size ?? 0;
          count += 1;
        }
        const batch = ready.splice(0, count);
        const underWay = { signal, batch, size };
        this.#underWay = underWay;
        const result = await resultOf(exporter, batch.map(({ record }) => record));
        // Who ends has put it on disk meanwhile.
        if (this.#underWay !== underWay) return false;
        this.#underWay = undefined;
        if (result.code === ExportResultCode.SUCCESS) {
          this.#bytes -= size;
          this.#said.clear();
        } else if (this.#isRefused(result.error)) {
          this.#bytes -= size;
        } else {
          ready.unshift(...batch);
          this.#toDisk();
          this.#say("away", `${this.#where} does not take records; they wait. Is mcptap running there?`);
          return false;
        }
      }
    }
    return true;
  }

  /** Whether such records would be refused again. */
  #isRefused(error: (Error & { code?: unknown }) | undefined): boolean {
    const status = Number(error?.code);
    if (!(status >= 400 && status < 500) || status === 408 || status === 429) return false;
    this.#say(status, `${this.#where} refuses records with HTTP ${status}; ${ADVICE[status] ?? "such records would be refused again, and are dropped"}`);
    return true;
  }

  #say(what: number | string, said: string): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    complain(said);
  }
}
