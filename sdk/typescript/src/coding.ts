// Content codings, undone beside the bytes: what passes is passed on as it came, and what is read here is a copy.

import type { Transform } from "node:stream";
import zlib from "node:zlib";

import type { Budget } from "./budget.js";
import { MOST_READ } from "./events.js";

const MOST_STAGES = 4;
/** The memory of a decoder besides its window, in bytes. */
const STATE = 128 * 1024;
/** The largest window of zstd that is decoded, as a power of two: what RFC 9659 allows over HTTP. */
const LARGEST_ZSTD_WINDOW = 23;
/** How many bytes may wait for a decoder. */
const MOST_WAITING = 4 << 20;

/** What of newer versions of Node.js is used here. */
interface Newer {
  createZstdDecompress?: (options: { params: Record<number, number> }) => Transform;
  constants: { ZSTD_d_windowLogMax?: number };
}
const newer: Newer = zlib;

interface Coding {
  name: string;
  /** How many bytes the window of data takes that begins like this. */
  memory: (first: Uint8Array) => number;
  make: (first: Uint8Array) => Transform;
}

/** RFC 9110 means zlib by deflate; some send it raw. */
const isZlib = ([first = 0, second]: Uint8Array): boolean => (first & 15) === 8 && (second === undefined || (first * 256 + second) % 31 === 0);

/** RFC 7932, 9.1. */
function brotliWindow([first = 0]: Uint8Array): number {
  const [low, middle, high] = [first & 1, (first >> 1) & 7, (first >> 4) & 7];
  if (low === 0) return 1 << 16;
  if (middle > 0) return 1 << (17 + middle);
  return 1 << (high === 0 ? 17 : high === 1 ? 10 : 8 + high);
}

/** RFC 8878, 3.1.1.1; the largest where a head names none here. */
function zstdWindow(first: Uint8Array): number {
  const [largest, descriptor = 0, window] = [1 << LARGEST_ZSTD_WINDOW, first[4], first[5]];
  // Where the content is in one segment, it is its own window.
  if (window === undefined || (descriptor & 0x20) !== 0) return largest;
  const base = 2 ** (10 + (window >> 3));
  return Math.min(largest, base + (base / 8) * (window & 7));
}

const deflateWindow = (): number => 32 * 1024;

/** The coding of a name, or undefined where nobody knows it. */
function codingOf(name: string): Coding | undefined {
  switch (name) {
    case "gzip": return { name, memory: deflateWindow, make: () => zlib.createGunzip() };
    case "deflate": return { name, memory: deflateWindow, make: (first) => (isZlib(first) ? zlib.createInflate() : zlib.createInflateRaw()) };
    case "br": return { name, memory: brotliWindow, make: () => zlib.createBrotliDecompress() };
    case "zstd": return { name, memory: zstdWindow, make: makeZstd };
    default: return undefined;
  }
}

function makeZstd(): Transform {
  const { createZstdDecompress: create, constants: { ZSTD_d_windowLogMax: most } } = newer;
  if (!create || most === undefined) throw new Error("its content coding zstd is not read here; that needs Node.js 22.15 or newer");
  return create({ params: { [most]: LARGEST_ZSTD_WINDOW } });
}

/** Undoes the content codings of one body. */
export class Decoder {
  /** Why the body could not be read to its end. */
  fault: string | undefined;
  /** Why it may not be readable: nobody here knows its coding. It is read as it is, since some write an encoding of characters there. */
  readonly unknown: string | undefined;
  readonly #codings: Coding[] = [];
  readonly #stages: Transform[] = [];
  readonly #budget: Budget;
  readonly #visit: (piece: Uint8Array) => void;
  #taken = 0;
  #waiting = 0;
  /** How many bytes have come out since the last piece that went in was done. */
  #grown = 0;
  #end: (() => void) | undefined;
  #isClosed = false;

  /** `header` is the `Content-Encoding`; the memory of decoders is taken from `budget`, and `visit` is given what pieces become. */
  constructor(header: string | null, budget: Budget, visit: (piece: Uint8Array) => void) {
    [this.#budget, this.#visit] = [budget, visit];
    const names = (header ?? "").split(",").map((name) => name.trim().toLowerCase().replace(/^x-/, "")).filter((name) => name && name !== "identity");
    const codings = names.map(codingOf);
    const strange = names.find((_, at) => codings[at] === undefined);
    if (strange !== undefined) this.unknown = `its content coding ${JSON.stringify(strange.slice(0, 40))} is not known`;
    else if (names.length > MOST_STAGES) this.fault = `it has more than ${MOST_STAGES} content codings`;
    // In the order in which they are undone: the last one first.
    else this.#codings = codings.filter((coding) => coding !== undefined).reverse();
  }

  /** Whether what is fed is visited at once, since there is nothing to undo. */
  get isPlain(): boolean {
    return this.#codings.length === 0;
  }

  /** Takes a piece. */
  feed(piece: Uint8Array): void {
    if (this.#isClosed || this.fault !== undefined || piece.length === 0) return;
    if (this.isPlain) {
      this.#visit(piece);
      return;
    }
    const size = piece.length;
    if (this.#waiting + size > MOST_WAITING && this.#waiting > 0) {
      this.#fail("it comes faster than it is decoded");
      return;
    }
    this.#push(0, piece, () => { this.#waiting -= size; });
    this.#waiting += size;
  }

  /** The end of the body; `then` is called when all of it is visited. */
  finish(then: () => void): void {
    const [first] = this.#stages;
    if (this.fault !== undefined || !first) {
      this.close();
      then();
      return;
    }
    this.#end = then;
    first.end();
  }

  /** Lets go of everything. */
  close(): void {
    this.#isClosed = true;
    for (const stage of this.#stages.splice(0)) stage.destroy();
    this.#budget.give(this.#taken);
    this.#taken = 0;
    const then = this.#end;
    this.#end = undefined;
    then?.();
  }

  #push(at: number, piece: Uint8Array, done: () => void): void {
    const stage = this.#stage(at, piece);
    stage?.write(piece, () => {
      this.#grown = 0;
      done();
    });
  }

  /** The decoder of a coding; it is made when the first bytes say how large it has to be. */
  #stage(at: number, first: Uint8Array): Transform | undefined {
    const [found, coding] = [this.#stages[at], this.#codings[at]];
    if (found || !coding) return found;
    const memory = STATE + coding.memory(first);
    if (!this.#budget.take(memory)) {
      this.#fail("too many compressed bodies are open at once");
      return undefined;
    }
    this.#taken += memory;
    let stage: Transform;
    try {
      stage = coding.make(first);
    } catch (error) {
      this.#fail((error as Error).message);
      return undefined;
    }
    this.#stages.push(stage);
    const isLast = at + 1 === this.#codings.length;
    stage.on("data", (piece: Uint8Array) => {
      if (this.#isClosed) return;
      this.#grown += piece.length;
      if (this.#grown > MOST_READ) this.#fail("it grows too large when it is decoded");
      else if (isLast) this.#visit(piece);
      else {
        // One piece at a time, so that little lies between them.
        stage.pause();
        this.#push(at + 1, piece, () => stage.resume());
      }
    });
    stage.on("end", () => {
      const next = this.#stages[at + 1];
      if (next) next.end();
      else this.close();
    });
    stage.on("error", (error: NodeJS.ErrnoException) => {
      const isShort = error.code === "Z_BUF_ERROR" || /unexpected end/.test(error.message);
      this.#fail(`its ${coding.name} data ${isShort ? "ends too early" : "is damaged"}`);
    });
    return stage;
  }

  #fail(fault: string): void {
    this.fault ??= fault;
    this.close();
  }
}
