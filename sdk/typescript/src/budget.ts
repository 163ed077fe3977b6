// Memory that is bounded in bytes over all that share it.

export class Budget {
  held = 0;

  constructor(public most: number) {}

  /** Takes so many bytes, if there is room for them. Whether there was. `isForced` is for what is bounded otherwise as well. */
  take(size: number, isForced = false): boolean {
    if (this.held + size > this.most && !isForced) return false;
    this.held += size;
    return true;
  }

  /** Gives bytes back. */
  give(size: number): void {
    this.held -= size;
  }
}
