// Methods of which only some requests are recorded.

/** How requests of one method are sampled, by all servers that share a `Capture`. */
export class Sampling {
  readonly #every: number;
  #begun = 0;
  #skipped = 0;

  constructor(every: number) {
    this.#every = every;
  }

  /** Whether the request that begins now is recorded: the first is, and every so many after it. */
  takesNext(): boolean {
    this.#begun += 1;
    return (this.#begun - 1) % this.#every === 0;
  }

  /** A success is not recorded. */
  skip(): void {
    this.#skipped += 1;
  }

  /** A success is recorded. For how many requests it stands: itself, and those that were not since the one before. */
  weight(): number {
    const weight = this.#skipped + 1;
    this.#skipped = 0;
    return weight;
  }
}
