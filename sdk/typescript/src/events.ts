// Streams of events (SSE), read as they pass.

/** How much of a body is kept to be read, in bytes; what is longer is not read. */
export const MOST_READ = 16 << 20;

export class Events {
  /** Whether its events have ids, so that a client may take it up again. */
  hasIds = false;
  /** Whether a message was too long to be read. */
  hasSkipped = false;
  readonly #decoder = new TextDecoder();
  #rest: string[] = [];
  #restSize = 0;
  #isLong = false;
  #data: string[] = [];
  #size = 0;
  #name = "";

  /** How many characters are held of what is not over yet. */
  get held(): number {
    return this.#restSize + Math.min(this.#size, MOST_READ);
  }

  /** The data of each message that ends in this piece. */
  feed(piece: Uint8Array): string[] {
    const messages: string[] = [];
    const lines = this.#decoder.decode(piece, { stream: true }).split("\n");
    const rest = lines.pop() ?? "";
    if (lines.length > 0) {
      // What went before of a line is put together once, however many pieces it came in.
      if (this.#isLong) {
        // A field that is too long: the message that it is of is not read.
        this.#size = MOST_READ + 1;
        lines.shift();
      } else lines[0] = this.#rest.join("") + lines[0];
      [this.#rest, this.#restSize, this.#isLong] = [[], 0, false];
    }
    if (!this.#isLong) {
      this.#rest.push(rest);
      this.#restSize += rest.length;
      if (this.#restSize > MOST_READ) [this.#rest, this.#restSize, this.#isLong] = [[], 0, true];
    }
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line) {
        this.#field(line);
        continue;
      }
      if (this.#data.length > 0 && (this.#name === "" || this.#name === "message") && this.#size <= MOST_READ) messages.push(this.#data.join("\n"));
      this.hasSkipped ||= this.#size > MOST_READ;
      [this.#data, this.#size, this.#name] = [[], 0, ""];
    }
    return messages;
  }

  #field(line: string): void {
    const at = line.indexOf(":");
    const [name, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (name === "event") this.#name = value;
    else if (name === "id") this.hasIds = true;
    else if (name === "data") {
      this.#size += value.length;
      if (this.#size <= MOST_READ) this.#data.push(value);
      else this.#data = [];
    }
  }
}
