// What waits on disk while the collector is away: a file for each piece, that any process of the same address delivers.
//
// Nothing is locked: who delivers a file takes it by renaming it, and who ends meanwhile leaves it to the others after a while. A file that
// is there is whole, since it is written under another name. What was cut out of records is not in it, and no credentials are. Everything
// here is done at once, so that a process that ends can do it, too.

import { createHash, randomUUID } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";

import { bytesOf } from "./capture.js";
import type { Signal } from "./courier.js";
import { complain } from "./complaint.js";

/** How much is kept on disk when nothing is said, in bytes. */
const SPOOL_BYTES = 64 << 20;
/** The room that a file takes at least. */
const BLOCK = 4096;
/** The largest piece that is read, in bytes. */
const MOST_READ = 64 << 20;
/** Times in milliseconds: how long one that is being delivered is its deliverer's, and how long the disk is left alone after trouble. */
export const TIMES = { taken: 300_000, rest: 30_000 };
const TAKEN = ".taken";

/** A piece that is taken to be delivered. */
export interface Piece {
  file: string;
  name: string;
  data: Uint8Array;
}

let number = 0;

/** As `MCPTAP_SPOOL_DIR` and `MCPTAP_SPOOL_BYTES` say: none unless a directory is named. Throws on a size that is none. */
export function spoolOfEnvironment(address: string): Spool | undefined {
  const said = process.env["MCPTAP_SPOOL_BYTES"]?.trim();
  const most = !said ? SPOOL_BYTES : said.toLowerCase() === "off" ? 0 : bytesOf("MCPTAP_SPOOL_BYTES", said, "a number of bytes, or one with a unit such as 64MiB, or off");
  const directory = process.env["MCPTAP_SPOOL_DIR"]?.trim();
  return directory && most > 0 ? new Spool(directory, address, most) : undefined;
}

/** The pieces for one address. */
export class Spool {
  readonly #directory: string;
  #restsUntil = 0;
  readonly #said = new Set<string>();

  constructor(readonly root: string, address: string, readonly most: number) {
    this.#directory = join(root, `sdk-${createHash("sha256").update(address).digest("hex").slice(0, 16)}`);
  }

  /** Keeps a piece. False where it cannot be kept: memory is the place for it then. */
  put(signal: Signal, data: Uint8Array): boolean {
    if (Date.now() < this.#restsUntil) return false;
    const packed = gzipSync(data, { level: constants.Z_BEST_SPEED });
    try {
      fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      if (!this.#makeRoom(Math.max(packed.length, BLOCK))) return false;
      number += 1;
      const name = `${String(Date.now()).padStart(13, "0")}-${String(number).padStart(8, "0")}-${randomUUID().slice(0, 8)}.${signal}`;
      const unfinished = join(this.#directory, `.${name}`);
      fs.writeFileSync(unfinished, packed, { mode: 0o600, flag: "wx" });
      fs.renameSync(unfinished, join(this.#directory, name));
      return true;
    } catch (error) {
      this.#restsUntil = Date.now() + TIMES.rest;
      this.#say("trouble", `records cannot be kept in ${this.#directory}; they are kept in memory: ${(error as Error).message}`);
      return false;
    }
  }

  /** Takes the oldest piece. */
  take(signal: Signal): Piece | undefined {
    for (const name of listed(this.#directory)) {
      const at = name.indexOf(`.${signal}`);
      if (at <= 0) continue;
      const own = name.slice(0, at);
      const [file, taken] = [join(this.#directory, name), join(this.#directory, `${own}.${signal}${TAKEN}-${randomUUID().slice(0, 8)}`)];
      try {
        if (name.includes(TAKEN) && Date.now() - fs.statSync(file).mtimeMs < TIMES.taken) continue;
        const now = new Date();
        fs.utimesSync(file, now, now);
        fs.renameSync(file, taken);
      } catch {
        // Another was faster.
        continue;
      }
      try {
        return { file: taken, name: `${own}.${signal}`, data: gunzipSync(fs.readFileSync(taken), { maxOutputLength: MOST_READ }) };
      } catch {
        // It is torn: the machine stopped while it was written.
        this.done({ file: taken });
      }
    }
    return undefined;
  }

  /** It is delivered, or would be refused again. */
  done({ file }: Pick<Piece, "file">): void {
    this.#try(`${file} cannot be removed`, () => fs.rmSync(file, { force: true }));
  }

  /** It could not be delivered. */
  back({ file, name }: Piece): void {
    this.#try(`${file} cannot be renamed`, () => fs.renameSync(file, join(this.#directory, name)));
  }

  /** Removes the oldest until so many bytes more may be kept, by all processes of this directory together. */
  #makeRoom(size: number): boolean {
    // What fits nowhere drops nothing.
    if (size > this.most) return false;
    const kept = listed(this.root, "sdk-").flatMap((directory) => {
      const path = join(this.root, directory);
      return listed(path, "").flatMap((name) => {
        try {
          return [{ name: name.replace(/^\./, ""), file: join(path, name), size: Math.max(fs.statSync(join(path, name)).size, BLOCK) }];
        } catch {
          // It is delivered meanwhile.
          return [];
        }
      });
    });
    let total = kept.reduce((sum, { size }) => sum + size, 0);
    for (const { file, size: freed } of kept.sort((one, other) => (one.name < other.name ? -1 : 1))) {
      if (total + size <= this.most) break;
      this.done({ file });
      total -= freed;
      this.#say("full", `what is kept in ${this.root} takes all the room it may; the oldest is dropped`);
    }
    return total + size <= this.most;
  }

  #try(what: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#say("trouble", `${what}: ${(error as Error).message}`);
    }
  }

  #say(what: string, said: string): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    complain(said);
  }
}

/** The names in a directory, in order; those that begin so, or without this, those that are whole. */
function listed(directory: string, beginning?: string): string[] {
  try {
    return fs.readdirSync(directory).filter((name) => (beginning === undefined ? !name.startsWith(".") : name.startsWith(beginning))).sort();
  } catch {
    return [];
  }
}
