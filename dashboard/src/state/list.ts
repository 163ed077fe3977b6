import type { CallFilter } from "../gql/graphql";
import { isBadInput, mayPass } from "./api";
import { clock } from "./clock";
import { type Left, type ListState, unasked } from "./list-state";
import { healPause } from "./repeat";
import { append, type Call, merge, newestFirst, type Row, timeKey } from "./row";
import { mostAtOnce, takeTurns } from "./running";
import { api, type Source } from "./source";
import { createStore } from "./store";
import { goneOf, mostStretched } from "./stretch";

/** Rows that are kept; older ones are a question away. */
export const maxRows = 50_000;
/** Calls that wait above the list; when there are more, showing them asks for the first page again. */
const maxWaiting = 2_000;
/** Calls that wait for the next picture. A tab in the background draws none for hours. */
const maxQueued = 2_000;

/** How long the feed is left alone after it was lost, in milliseconds: twice as long each time that it is lost again. */
const firstPause = 500;
const longestPause = 15_000;

/** Rows that are remembered of a list that is left. */
const maxLeft = 5_000;

/** How many calls may lie past the end of a range and be put above the list; when there are more, it is asked for anew. */
const mostPast = 500;

/** The calls of one filter: pages of them, and what the feed adds. */
export class CallList {
  readonly state = createStore<ListState>(unasked);
  private filter: CallFilter = {};
  private pageSize = 10;
  private endCursor: string | undefined;
  private liveCursor: string | undefined;
  private end: string | undefined;
  private wantLive = false;
  private away = false;
  private asking = new AbortController();
  private following: AbortController | undefined;
  private queued: Row[] = [];
  private drawing = false;
  private held: Row[] = [];
  private heldCount = 0;
  private toldCount = 0;
  private arrived: Call | undefined;
  private feedPause = firstPause;
  private checked = 0;
  private turn = 0;
  private open: string | undefined;

  /** `most`: how many rows are kept. */
  constructor(
    private readonly source: Source = api,
    private readonly most = maxRows,
  ) {}

  /**
   * Asks for the first page, again and again where it cannot be answered now. What is loaded of the same question stays until
   * then; that of another is forgotten. `end`: where a range up to now ends, as long as Live is off. RFC 3339.
   */
  async start(filter: CallFilter, pageSize: number, question: unknown = filter, end?: string): Promise<void> {
    const { question: before, rows } = this.state.get();
    const isKnown = before === question && rows.length > 0;
    if (isKnown) this.halt();
    else this.stop();
    this.change({ problem: undefined });
    for (;;) {
      const { signal } = this.asking;
      await this.first(filter, pageSize, question, isKnown, end);
      const { problem, outdated } = this.state.get();
      if (signal.aborted || !mayPass(problem ?? outdated)) return;
      await this.source.wait(healPause, signal);
      await this.source.seen(signal);
      if (signal.aborted) return;
    }
  }

  private async first(
    filter: CallFilter,
    pageSize: number,
    question: unknown,
    isKnown: boolean,
    end: string | undefined,
  ): Promise<void> {
    this.filter = filter;
    this.pageSize = pageSize;
    const { signal } = this.asking;
    this.change({ question, loading: "first" });
    try {
      const asked = end === undefined ? filter : { ...filter, to: end };
      const page = await this.source.page(asked, pageSize, undefined, signal);
      if (signal.aborted) return;
      this.forget();
      this.end = end;
      this.endCursor = page.endCursor ?? undefined;
      this.liveCursor = page.liveCursor;
      const { rows, hasMore } = page;
      const at = clock();
      this.change({
        ...{ rows, hasMore, at, loading: undefined, problem: undefined, outdated: undefined },
        ...{ waiting: 0, arrived: undefined },
      });
      if (this.wantLive) this.connect();
    } catch (problem) {
      if (signal.aborted) return;
      if (isKnown) this.change({ loading: undefined, outdated: problem });
      else this.change({ rows: [], hasMore: false, loading: undefined, problem, outdated: undefined });
      // without a first page there is nothing to follow
      if (this.wantLive) this.change({ live: "not connected" });
    }
  }

  /** Asks for the page after the last row. */
  async more(): Promise<void> {
    const { loading, hasMore } = this.state.get();
    if (loading || !hasMore) return;
    const { signal } = this.asking;
    this.change({ loading: "more", problem: undefined });
    try {
      const page = await this.source.page(this.filter, this.pageSize, this.endCursor, signal);
      if (signal.aborted) return;
      this.endCursor = page.endCursor ?? this.endCursor;
      const rows = append(this.state.get().rows, page.rows);
      this.change({ rows, hasMore: page.hasMore, loading: undefined });
    } catch (problem) {
      if (!signal.aborted) this.change({ loading: undefined, problem });
    }
  }

  setLive(on: boolean): void {
    if (this.wantLive === on) return;
    this.wantLive = on;
    if (on) this.beginLive();
    else {
      this.following?.abort();
      this.following = undefined;
      this.lost();
      this.change({ live: "paused" });
    }
  }

  private beginLive(): void {
    const { loading, question } = this.state.get();
    if (this.liveCursor !== undefined) this.connect();
    // the first page that is on its way has where the feed begins
    else if (loading === "first") this.change({ live: "catching up" });
    else void this.start(this.filter, this.pageSize, question);
  }

  /** Whether the reader is away from the top. Then new calls wait, and the list stands still. */
  setAway(away: boolean): void {
    this.away = away;
    if (!away) this.show();
  }

  /** Puts what waits on top of the list. */
  show(): void {
    if (this.heldCount > this.held.length) {
      // too many to have kept: the newest of them are the first page
      void this.start(this.filter, this.pageSize, this.state.get().question);
      return;
    }
    const rows = this.held.sort(newestFirst);
    this.held = [];
    this.heldCount = 0;
    if (rows.length > 0) this.put(rows);
  }

  /**
   * Asks again for rows that had not ended. The feed may be off, and it tells nothing of a call whose end takes it out of
   * the filter.
   */
  async refreshRunning(): Promise<void> {
    const { signal } = this.asking;
    const running = this.state
      .get()
      .rows.filter(({ call }) => call.outcome === "RUNNING" && call.id !== this.open);
    if (running.length === 0) return;
    const ids = takeTurns(
      running.map(({ call }) => call.id),
      this.turn,
    );
    this.turn += mostAtOnce;
    try {
      const calls = new Map((await this.source.again(ids, signal)).map((call) => [call.id, call]));
      if (signal.aborted) return;
      // One that is not there any more was deleted.
      const asked = new Set(ids);
      const isDone = ({ call }: Row) =>
        call.outcome === "RUNNING" && asked.has(call.id) && calls.get(call.id)?.outcome !== "RUNNING";
      const { rows } = this.state.get();
      if (!rows.some(isDone)) return;
      this.change({
        rows: rows.flatMap((row) => {
          if (!isDone(row)) return [row];
          const call = calls.get(row.call.id);
          return call ? [{ ...row, call }] : [];
        }),
      });
    } catch {
      // asked again with the next round
    }
  }

  /**
   * Looks for the calls of the list, a stretch of it at a time. Those that are not there any more leave: they were deleted, have
   * expired, or have changed and are none of the filter's now, of which the feed tells nothing.
   */
  async recheck(): Promise<void> {
    const { signal } = this.asking;
    if (this.state.get().loading === "first") return;
    const all = [...this.held].sort(newestFirst).concat(this.state.get().rows);
    const from = this.checked < all.length ? this.checked : 0;
    const stretch = all.slice(from, from + mostStretched);
    if (stretch.length === 0) return;
    this.checked = from + stretch.length;
    const after = all[from - 1];
    try {
      const there = await this.source.stretch(this.filter, after?.cursor, signal);
      if (signal.aborted) return;
      // as they were then: one that came anew since is there
      const gone = new Set(goneOf(stretch, after, there));
      if (gone.size > 0) this.keepOnly((row) => !gone.has(row));
    } catch {
      // looked for again with the next round
    }
  }

  /** The call that is open beside the list, if any: it is asked for there. */
  setOpen(id: string | undefined): void {
    this.open = id;
  }

  /** A call as it was found there. */
  tell(call: Call): void {
    const { rows } = this.state.get();
    const isOld = (row: Row) => row.call.id === call.id && row.call.outcome !== call.outcome;
    if (rows.some(isOld)) this.change({ rows: rows.map((row) => (isOld(row) ? { ...row, call } : row)) });
  }

  /** The list as it is, for whoever comes back to it. Undefined while there is nothing to come back to. */
  leave(): Left | undefined {
    const { rows: all, hasMore, loading, question, at } = this.state.get();
    if (loading === "first" || all.length === 0 || this.liveCursor === undefined) return undefined;
    const rows = all.slice(0, maxLeft);
    const isWhole = rows.length === all.length;
    return {
      question,
      rows,
      hasMore: hasMore || !isWhole,
      endCursor: isWhole ? this.endCursor : rows.at(-1)?.cursor,
      liveCursor: this.liveCursor,
      end: this.end,
      at,
    };
  }

  /** Goes on with the list as it was left; the feed tells what came since. `away`: the reader was further down. */
  goOn(filter: CallFilter, pageSize: number, question: unknown, left: Left, away: boolean): void {
    this.stop();
    this.filter = filter;
    this.pageSize = pageSize;
    this.endCursor = left.endCursor;
    this.liveCursor = left.liveCursor;
    this.end = left.end;
    this.away = away;
    const { rows, hasMore, at } = left;
    this.change({
      ...{ question, rows, hasMore, at },
      ...{ loading: undefined, problem: undefined, outdated: undefined },
    });
    if (this.wantLive) this.connect();
  }

  /** Lets go of calls that began before a moment, as those that a range up to now has left behind. `from`: RFC 3339, UTC. */
  dropBefore(from: string): void {
    const key = timeKey(from);
    const isIn = (row: Row) => row.key >= key;
    const last = this.state.get().rows.at(-1);
    // what was not loaded is older still
    if (last && !isIn(last)) this.change({ hasMore: false });
    this.keepOnly(isIn);
  }

  private keepOnly(isKept: (row: Row) => boolean): void {
    const held = this.held.filter(isKept);
    this.heldCount -= this.held.length - held.length;
    this.held = held;
    const { rows, waiting } = this.state.get();
    if (waiting !== this.heldCount) this.change({ waiting: this.heldCount });
    if (!rows.every(isKept)) this.change({ rows: rows.filter(isKept) });
  }

  stop(): void {
    this.halt();
    this.forget();
    this.change({ waiting: 0, arrived: undefined });
  }

  /** Lets nothing come any more. What is there stays. */
  private halt(): void {
    this.asking.abort();
    this.following?.abort();
    this.following = undefined;
    this.asking = new AbortController();
    this.lost();
    this.change({ live: this.wantLive ? "catching up" : "paused" });
  }

  /** Forgets what waits, and where the list goes on. */
  private forget(): void {
    this.queued = [];
    this.held = [];
    this.heldCount = 0;
    this.arrived = undefined;
    this.checked = 0;
    this.endCursor = undefined;
    this.liveCursor = undefined;
    this.end = undefined;
  }

  /** The rows are those of now, as long as the feed tells what comes. */
  private lost(): void {
    if (this.state.get().live === "live") this.change({ at: clock() });
  }

  private connect(): void {
    if (this.following || this.liveCursor === undefined) return;
    const following = new AbortController();
    this.following = following;
    void this.keepFollowing(following.signal);
    if (this.end !== undefined) void this.goPast(this.end);
  }

  /** Asks for what began after the end that the range had. The feed tells only of what was stored since, and clocks of senders may be ahead. */
  private async goPast(end: string): Promise<void> {
    const { filter, pageSize, asking } = this;
    this.end = undefined;
    try {
      const page = await this.source.page({ ...filter, from: end }, mostPast, undefined, asking.signal);
      if (asking.signal.aborted) return;
      if (!page.hasMore) return this.enqueue([...page.rows]);
    } catch {
      // asked for anew, which says why where it cannot be answered
    }
    if (!asking.signal.aborted) void this.start(filter, pageSize, this.state.get().question);
  }

  private async keepFollowing(signal: AbortSignal): Promise<void> {
    this.change({ live: "catching up" });
    while (!signal.aborted) {
      let isRefused = false;
      try {
        await this.source.follow(
          this.filter,
          this.liveCursor ?? "",
          {
            live: () => {
              this.feedPause = firstPause;
              if (!signal.aborted) this.change({ live: "live", problem: undefined });
            },
            calls: (rows, added) => {
              if (signal.aborted) return;
              this.toldCount += rows.length;
              if (added) this.arrived = rows.at(-1)?.call;
              this.enqueue(rows);
            },
            moved: (cursor) => {
              if (!signal.aborted) this.liveCursor = cursor;
            },
          },
          signal,
        );
      } catch (problem) {
        // said by the dot; a list that cannot be asked for either says why
        isRefused = isBadInput(problem);
      }
      if (signal.aborted) return;
      this.lost();
      this.change({ live: "reconnecting" });
      await this.source.wait(this.feedPause, signal);
      this.feedPause = Math.min(this.feedPause * 2, longestPause);
      if (!isRefused || signal.aborted) continue;
      // the database is another one: this cursor will never be of it, that of its first page is
      void this.start(this.filter, this.pageSize, this.state.get().question);
      return;
    }
  }

  private enqueue(rows: Row[]): void {
    for (const row of rows) this.queued.push(row);
    if (this.queued.length > maxQueued) this.flush();
    else if (!this.drawing) {
      this.drawing = true;
      this.source.frame(() => {
        this.drawing = false;
        this.flush();
      });
    }
  }

  /** Everything that came since the last picture, at once. */
  private flush(): void {
    // the same call may be in two events: the later one is right
    const fresh = [...new Map(this.queued.map((row) => [row.call.id, row])).values()].sort(newestFirst);
    this.queued = [];
    if (fresh.length === 0) return;
    const top = this.state.get().rows[0];
    if (!this.away || !top) {
      this.put(fresh);
      return;
    }
    const above = fresh.filter((row) => row.key > top.key);
    const known = new Set(this.held.map((row) => row.call.id));
    this.heldCount += above.filter((row) => !known.has(row.call.id)).length;
    const newer = new Set(above.map((row) => row.call.id));
    this.held = [...this.held.filter((row) => !newer.has(row.call.id)), ...above].slice(-maxWaiting);
    this.put(fresh.filter((row) => !newer.has(row.call.id)));
  }

  /** Sorted rows into the list; what is older than everything loaded comes with its own page. */
  private put(fresh: Row[]): void {
    const { rows: old, hasMore } = this.state.get();
    const last = old.at(-1);
    const within = hasMore && last ? fresh.filter((row) => row.key >= last.key) : fresh;
    let rows = merge(old, within);
    let more = hasMore;
    if (rows.length > this.most) {
      rows = rows.slice(0, this.most);
      this.endCursor = rows.at(-1)?.cursor;
      more = true;
    }
    this.change({
      rows,
      hasMore: more,
      waiting: this.heldCount,
      told: this.toldCount,
      arrived: this.arrived,
    });
  }

  private change(part: Partial<ListState>): void {
    this.state.set({ ...this.state.get(), ...part });
  }
}
