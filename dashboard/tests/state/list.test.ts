import { expect, test } from "vitest";
import type { CallFilter } from "../../src/gql/graphql";
import { AskError, dataOf, mayPass } from "../../src/state/api";
import type { FeedListener } from "../../src/state/feed";
import { CallList, maxRows } from "../../src/state/list";
import { merge, newestFirst, type Row, timeKey, toRow } from "../../src/state/row";
import type { Source } from "../../src/state/source";
import { goneOf, mostStretched, type Stretch } from "../../src/state/stretch";

function row(number: number, id = `c${String(number).padStart(6, "0")}`, error?: string): Row {
  const startedAt = new Date(Date.UTC(2026, 0, 1) + number).toISOString();
  return toRow({
    cursor: `cursor-${id}`,
    node: {
      id,
      startedAt,
      durationMs: 1,
      outcome: error ? "TOOL_ERROR" : "OK",
      method: "tools/call",
      errorMessage: error ?? null,
      server: { name: "s" },
    } as Row["call"],
  });
}

const span = (from: number, to: number) =>
  Array.from({ length: Math.abs(to - from) + 1 }, (_, index) => row(from < to ? from + index : from - index));

/** An API whose feed is driven by the test. */
class Fake implements Source {
  feeds: { cursor: string; on: FeedListener; fail: (error: Error) => void }[] = [];
  asked: (string | undefined)[] = [];
  filters: CallFilter[] = [];
  frames: (() => void)[] = [];
  pages: Row[][];

  constructor(...pages: Row[][]) {
    this.pages = pages;
  }
  async page(filter: CallFilter, _first: number, after: string | undefined) {
    this.filters.push(filter);
    this.asked.push(after);
    const rows = this.pages[0] ?? [];
    if (this.pages.length > 1) this.pages.shift();
    return { rows, hasMore: this.pages.length > 1, endCursor: rows.at(-1)?.cursor, liveCursor: "live-0" };
  }
  followed: CallFilter[] = [];
  follow(filter: CallFilter, cursor: string, on: FeedListener, signal: AbortSignal) {
    this.followed.push(filter);
    return new Promise<void>((resolve, fail) => {
      signal.addEventListener("abort", () => resolve());
      this.feeds.push({ cursor, on, fail });
    });
  }
  there: Stretch | undefined;
  looked: (string | undefined)[] = [];
  async stretch(_filter: object, after: string | undefined) {
    this.looked.push(after);
    return this.there ?? { calls: [], hasMore: true };
  }
  frame(run: () => void) {
    this.frames.push(run);
  }
  waits: number[] = [];
  wait(ms: number) {
    this.waits.push(ms);
    return Promise.resolve();
  }
  looking = Promise.resolve();
  seen() {
    return this.looking;
  }
  ended = new Map<string, Row["call"]>();
  deleted = new Set<string>();
  askedAgain: string[][] = [];
  async again(ids: readonly string[]) {
    this.askedAgain.push([...ids]);
    const there = ids.filter((id) => !this.deleted.has(id));
    return there.map((id) => this.ended.get(id) ?? running(Number(id.slice(1))).call);
  }
  draw() {
    for (const run of this.frames.splice(0)) run();
  }
  get feed() {
    const feed = this.feeds.at(-1);
    if (!feed) throw new Error("nobody follows");
    return feed;
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve));
const ids = (list: CallList) => list.state.get().rows.map(({ call }) => call.id);

async function started(fake: Fake): Promise<CallList> {
  const list = new CallList(fake);
  await list.start({}, 3);
  list.setLive(true);
  fake.feed.on.live();
  return list;
}

test("time is compared to the nanosecond", () => {
  expect(timeKey("2026-01-01T00:00:00Z") < timeKey("2026-01-01T00:00:00.000000001Z")).toBe(true);
  expect(timeKey("2026-01-01T00:00:00.1Z") > timeKey("2026-01-01T00:00:00.099999999Z")).toBe(true);
});

test("merging keeps the order and each call once, whatever comes in", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  for (let round = 0; round < 200; round++) {
    const some = (count: number) =>
      [
        ...new Map(Array.from({ length: random(count) }, () => random(30)).map((n) => [n, row(n)])).values(),
      ].sort(newestFirst);
    const [one, other] = [some(20), some(20)];
    const merged = merge(one, other);
    const wanted = [...new Map([...one, ...other].map((each) => [each.call.id, each])).values()].sort(
      newestFirst,
    );
    expect(merged.map(({ call }) => call.id)).toEqual(wanted.map(({ call }) => call.id));
  }
});

test("a first page that cannot be answered now is asked for until it is, and then followed", async () => {
  const fake = new Fake(span(9, 7));
  const page = fake.page.bind(fake);
  const told: unknown[] = [];
  const list = new CallList(fake);
  fake.page = async (...asked) => {
    const { problem, live } = list.state.get();
    told.push([problem instanceof AskError && problem.code, live]);
    if (told.length <= 2) dataOf({ errors: [{ message: "away", extensions: { code: "UNAVAILABLE" } }] });
    return page(...asked);
  };
  list.setLive(true);
  await list.start({}, 3);
  expect(told).toEqual([
    [false, "catching up"],
    ["UNAVAILABLE", "not connected"],
    ["UNAVAILABLE", "not connected"],
  ]);
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
  expect(list.state.get().problem).toBe(undefined);
  fake.feed.on.live();
  expect(list.state.get().live).toBe("live");
});

test("a list that is asked for again and not answered stays, and goes on where it was", async () => {
  const fake = new Fake(span(9, 7), span(6, 4), span(9, 7));
  const list = new CallList(fake);
  const question = {};
  await list.start({}, 3, question);
  const { at } = list.state.get();
  const page = fake.page.bind(fake);
  fake.page = async () => dataOf({ errors: [{ message: "away", extensions: { code: "INTERNAL" } }] });
  await list.start({}, 3, question);
  const { problem, outdated, hasMore, at: now } = list.state.get();
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
  expect([problem, (outdated as Error).message, hasMore, now]).toEqual([undefined, "away", true, at]);
  fake.page = page;
  await list.more();
  expect(fake.asked.at(-1)).toBe("cursor-c000007");
  expect(ids(list)).toHaveLength(6);
  await list.start({}, 3, question);
  expect(list.state.get().outdated).toBe(undefined);
  expect(ids(list)).toHaveLength(3);
  // the rows of one question are none of another
  fake.page = async () => dataOf({ errors: [{ message: "away", extensions: { code: "INTERNAL" } }] });
  await list.start({ servers: ["other"] }, 3, {});
  expect([ids(list), (list.state.get().problem as Error).message, list.state.get().outdated]).toEqual([
    [],
    "away",
    undefined,
  ]);
});

test("rows are as old as the feed that told of them last", async () => {
  const list = await started(new Fake(span(9, 7)));
  list.state.set({ ...list.state.get(), at: 1 });
  list.setLive(false);
  expect(list.state.get().at).toBeGreaterThan(1);
});

test("only what may pass by itself is asked again", () => {
  const answered = (code: string) => {
    try {
      return dataOf({ errors: [{ message: "no", extensions: { code } }] });
    } catch (problem) {
      return mayPass(problem);
    }
  };
  expect(["UNAVAILABLE", "INTERNAL", "BAD_USER_INPUT", "TIMED_OUT"].map(answered)).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(mayPass(new AskError("no network", "away"))).toBe(true);
  expect(mayPass(new AskError("too much runs", "busy", "TOO_MANY_OPERATIONS"))).toBe(true);
  expect(mayPass(new AskError("too much is asked", "busy", "TIMED_OUT"))).toBe(false);
});

test("pages go on after the last cursor", async () => {
  const fake = new Fake(span(9, 7), span(6, 4));
  fake.pages.push([]);
  const list = new CallList(fake);
  await list.start({}, 3);
  await list.more();
  expect(fake.asked).toEqual([undefined, "cursor-c000007"]);
  expect(ids(list)).toHaveLength(6);
});

test("what the feed brings stands on top, drawn once a frame", async () => {
  const fake = new Fake(span(3, 1));
  const list = await started(fake);
  expect(fake.feed.cursor).toBe("live-0");
  expect(list.state.get().live).toBe("live");
  let drawn = 0;
  list.state.subscribe(() => drawn++);
  fake.feed.on.calls([row(4)], true);
  fake.feed.on.calls([row(5), row(6)], true);
  expect(drawn).toBe(0);
  fake.draw();
  expect(drawn).toBe(1);
  expect(ids(list)).toEqual(["c000006", "c000005", "c000004", "c000003", "c000002", "c000001"]);
  expect(list.state.get()).toMatchObject({ told: 3, arrived: { id: "c000006" } });
});

test("a call that was completed is replaced where it stands", async () => {
  const fake = new Fake(span(3, 1));
  const list = await started(fake);
  fake.feed.on.calls([row(2, "c000002", "late")], false);
  fake.draw();
  expect(ids(list)).toHaveLength(3);
  expect(list.state.get().rows[1]?.call.errorMessage).toBe("late");
  expect(list.state.get()).toMatchObject({ told: 1, arrived: undefined });
});

test("a call older than all that is loaded waits for its page", async () => {
  const fake = new Fake(span(9, 7), span(6, 4), []);
  const list = await started(fake);
  fake.feed.on.calls([row(1)], true);
  fake.draw();
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
});

test("a lost connection goes on after the last event, and says so", async () => {
  const fake = new Fake(span(3, 1));
  const list = await started(fake);
  fake.feed.on.calls([row(4)], true);
  fake.feed.on.moved("live-1");
  const seen: string[] = [];
  list.state.subscribe(() => seen.push(list.state.get().live));
  fake.feed.fail(new Error("gone"));
  await settle();
  expect(seen).toContain("reconnecting");
  expect(fake.feed.cursor).toBe("live-1");
  fake.feed.on.live();
  expect(list.state.get().live).toBe("live");
});

test("while the reader is away new calls wait, and are counted", async () => {
  const fake = new Fake(span(3, 1));
  const list = await started(fake);
  list.setAway(true);
  fake.feed.on.calls([row(5), row(4), row(2, "c000002", "late")], true);
  fake.draw();
  expect(list.state.get().waiting).toBe(2);
  expect(ids(list)).toHaveLength(3);
  expect(list.state.get().rows[1]?.call.errorMessage).toBe("late");
  list.setAway(false);
  expect(list.state.get().waiting).toBe(0);
  expect(ids(list)[0]).toBe("c000005");
});

test("memory is bounded: rows, what waits above them, and what waits to be drawn", async () => {
  const fake = new Fake(span(3, 1));
  const list = await started(fake);
  // a tab in the background draws no frame
  for (let at = 10; at < maxRows + 5000; at += 500) fake.feed.on.calls(span(at, at + 499), true);
  fake.draw();
  expect(list.state.get().rows).toHaveLength(maxRows);
  expect(list.state.get().hasMore).toBe(true);
  expect(ids(list)[0]).toBe(`c0${maxRows + 5009}`);

  list.setAway(true);
  for (let at = 100_000; at < 106_000; at += 500) fake.feed.on.calls(span(at, at + 499), true);
  fake.draw();
  expect(list.state.get().waiting).toBe(6000);
  fake.pages = [span(106_000, 105_998)];
  list.setAway(false);
  await settle();
  // more than was kept: the first page anew
  expect(ids(list)).toEqual(["c106000", "c105999", "c105998"]);
});

test("an answer to an older question is thrown away", async () => {
  const fake = new Fake(span(3, 1), span(9, 7));
  const list = new CallList(fake);
  const first = list.start({}, 3);
  const second = list.start({ tools: ["x"] }, 3);
  await Promise.all([first, second]);
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
});

const running = (number: number): Row => {
  const one = row(number);
  return { ...one, call: { ...one.call, outcome: "RUNNING", durationMs: null } };
};

test("rows that run are asked for again, also while the list is paused, until they have ended", async () => {
  const fake = new Fake([row(3), running(2), row(1)]);
  const list = new CallList(fake);
  await list.start({}, 3);
  await list.refreshRunning();
  expect(fake.askedAgain).toEqual([["c000002"]]);
  expect(list.state.get().rows[1]?.call.outcome).toBe("RUNNING");
  fake.ended.set("c000002", row(2).call);
  await list.refreshRunning();
  expect(list.state.get().rows.map(({ call }) => call.outcome)).toEqual(["OK", "OK", "OK"]);
  await list.refreshRunning();
  expect(fake.askedAgain.length).toBe(2);
});

test("rows are left as they are while all run, and one that was deleted leaves", async () => {
  const fake = new Fake([row(3), running(2), running(1)]);
  const list = new CallList(fake);
  await list.start({}, 3);
  const { rows } = list.state.get();
  await list.refreshRunning();
  expect(list.state.get().rows).toBe(rows);
  fake.deleted.add("c000002");
  await list.refreshRunning();
  expect(ids(list)).toEqual(["c000003", "c000001"]);
});

test("of a crowd that runs a few are asked for at once, and each has its turn", async () => {
  const fake = new Fake(Array.from({ length: 25 }, (_, index) => running(25 - index)));
  const list = new CallList(fake);
  await list.start({}, 25);
  for (let round = 0; round < 3; round++) await list.refreshRunning();
  expect(fake.askedAgain.every((ids) => ids.length === 10)).toBe(true);
  expect(new Set(fake.askedAgain.flat()).size).toBe(25);
});

test("calls that a range has left behind go, and nothing older is asked for", async () => {
  const fake = new Fake(span(9, 5), span(4, 0), []);
  const list = await started(fake);
  list.dropBefore(new Date(Date.UTC(2026, 0, 1) + 3).toISOString());
  expect(list.state.get().rows.length).toBe(5);
  expect(list.state.get().hasMore).toBe(true);
  list.dropBefore(new Date(Date.UTC(2026, 0, 1) + 7).toISOString());
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
  await list.more();
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007"]);
});

test("a list that was left goes on where it was, and its feed with what came meanwhile", async () => {
  const fake = new Fake(span(9, 5), span(4, 0), []);
  const list = await started(fake);
  await list.more();
  const left = list.leave();
  list.stop();
  const again = new CallList(fake);
  if (left) again.goOn({}, 5, "question", left, true);
  again.setLive(true);
  expect(ids(again).length).toBe(10);
  expect(again.state.get()).toMatchObject({ question: "question", loading: undefined, hasMore: false });
  expect(fake.feed.cursor).toBe("live-0");
  fake.feed.on.calls([row(20)], true);
  fake.draw();
  // the reader is further down
  expect(again.state.get().waiting).toBe(1);
  expect(ids(again).length).toBe(10);
});

test("a feed that refuses its cursor begins anew with the first page, and one that is away goes on after it", async () => {
  const fake = new Fake(span(9, 7));
  const list = await started(fake);
  fake.feed.on.moved("live-1");
  const errors = (code: string) => [{ message: "no", extensions: { code } }] as unknown as Error;
  fake.feed.fail(errors("UNAVAILABLE"));
  await settle();
  expect(fake.feed.cursor).toBe("live-1");
  expect(fake.asked.length).toBe(1);
  fake.pages = [span(3, 1)];
  fake.feed.fail(errors("BAD_USER_INPUT"));
  await settle();
  expect(ids(list)).toEqual(["c000003", "c000002", "c000001"]);
  expect(fake.feed.cursor).toBe("live-0");
  fake.feed.on.live();
  expect(list.state.get().live).toBe("live");
  // one that is refused again and again is not asked without a pause
  for (let times = 0; times < 8; times++) {
    fake.feed.fail(errors("BAD_USER_INPUT"));
    await settle();
  }
  expect(fake.waits.slice(-8)).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test("calls that are not there any more leave, loaded or waiting, and none that came meanwhile", async () => {
  const fake = new Fake(span(9, 5), span(4, 0), []);
  const list = await started(fake);
  list.setAway(true);
  fake.feed.on.calls([row(11), row(10)], true);
  fake.draw();
  const there = (...numbers: number[]) => numbers.map((number) => row(number).call);
  // what is older than the answer is not known to be gone
  fake.there = { calls: there(12, 11, 9, 7), hasMore: true };
  const looked = list.recheck();
  fake.feed.on.calls([row(8)], false);
  fake.draw();
  await looked;
  expect(fake.looked).toEqual([undefined]);
  expect(ids(list)).toEqual(["c000009", "c000008", "c000007", "c000006", "c000005"]);
  expect(list.state.get().waiting).toBe(1);
  fake.there = { calls: there(9, 7), hasMore: false };
  await list.recheck();
  expect(ids(list)).toEqual(["c000009", "c000007"]);
  expect(list.state.get().waiting).toBe(0);
});

test("a long list is gone through a stretch at a time", async () => {
  const fake = new Fake(span(mostStretched * 2 + 10, 1));
  const list = await started(fake);
  for (let round = 0; round < 4; round++) await list.recheck();
  const at = (index: number) => list.state.get().rows[index]?.cursor;
  expect(fake.looked).toEqual([undefined, at(mostStretched - 1), at(2 * mostStretched - 1), undefined]);
});

test("Live that is turned on without a first page asks for it, and says so", async () => {
  const fake = new Fake(span(3, 1));
  const page = fake.page.bind(fake);
  const list = new CallList(fake);
  fake.page = () => Promise.reject(new AskError("too much is asked", "busy", "TIMED_OUT"));
  await list.start({}, 3);
  fake.page = page;
  list.setLive(true);
  expect(list.state.get().live).toBe("catching up");
  await settle();
  fake.feed.on.live();
  expect(list.state.get()).toMatchObject({ live: "live", problem: undefined });
  expect(ids(list).length).toBe(3);

  const late = new CallList(fake);
  const first = late.start({}, 3);
  late.setLive(true);
  expect(late.state.get().live).toBe("catching up");
  await first;
  expect(fake.asked.length).toBe(2);
});

test("a list of one row keeps one, and tells of the call that was added last, however long ago it began", async () => {
  const fake = new Fake(span(9, 9), []);
  const list = new CallList(fake, 1);
  await list.start({}, 1);
  list.setLive(true);
  fake.feed.on.calls(span(10, 600), true);
  fake.draw();
  expect(ids(list)).toEqual(["c000600"]);
  fake.feed.on.calls([row(2)], true);
  fake.draw();
  expect(ids(list)).toEqual(["c000600"]);
  expect(list.state.get().arrived?.id).toBe("c000002");
});

test("nothing is asked for again before somebody looks", async () => {
  const fake = new Fake(span(3, 1));
  const page = fake.page.bind(fake);
  let look = () => {};
  fake.looking = new Promise((resolve) => {
    look = resolve;
  });
  fake.page = () => Promise.reject(new AskError("no network", "away"));
  const list = new CallList(fake);
  const start = list.start({}, 3);
  fake.page = page;
  await settle();
  expect(fake.asked.length).toBe(0);
  look();
  await start;
  expect(ids(list).length).toBe(3);
});

test("of calls that began at the same moment as the edge of a stretch none is taken for gone", async () => {
  const ties = ["x", "c", "y"].map((id) => row(5, id));
  const [before, ...within] = [...ties, row(4), row(3), row(2, "b"), row(2, "a")];
  const there = { calls: [row(4).call, row(2, "a").call], hasMore: true };
  expect(goneOf(within, before, there).map(({ call }) => call.id)).toEqual(["c000003"]);
});

test("calls that began at the same moment keep the order of their pages, each once, however they change", async () => {
  const ties = (...ids: string[]) => ids.map((id) => row(5, id));
  const fake = new Fake([row(6), ...ties("b", "d", "a")], [...ties("c", "e"), row(4)], []);
  const list = await started(fake);
  const order = ["c000006", "b", "d", "a"];
  for (const id of ["a", "b", "d"]) {
    fake.feed.on.calls([row(5, id, "late")], false);
    fake.draw();
    expect(ids(list)).toEqual(order);
  }
  list.setAway(true);
  fake.feed.on.calls([row(6, "c000006", "late")], false);
  fake.draw();
  expect(list.state.get()).toMatchObject({ waiting: 0 });
  await list.more();
  expect(ids(list)).toEqual([...order, "c", "e", "c000004"]);
  expect(
    list.state
      .get()
      .rows.slice(0, 4)
      .every(({ call }) => call.errorMessage === "late"),
  ).toBe(true);
});

test("a range ends where it was asked for, and with Live it goes on from there", async () => {
  const from = row(0).call.startedAt;
  const end = row(50).call.startedAt;
  const source = new Fake(span(30, 21), [row(60)]);
  const list = new CallList(source);
  await list.start({ from }, 10, "q", end);
  expect(source.filters).toEqual([{ from, to: end }]);
  // a sender whose clock is ahead: the feed has told of its call already
  list.setLive(true);
  await Promise.resolve();
  await Promise.resolve();
  source.draw();
  expect(source.followed).toEqual([{ from }]);
  expect(source.filters[1]).toEqual({ from: end });
  expect(list.state.get().rows[0]?.call.id).toBe(row(60).call.id);
  expect(list.state.get().rows).toHaveLength(11);
  // it was asked for once
  list.setLive(false);
  list.setLive(true);
  expect(source.filters).toHaveLength(2);
});

test("more calls past the end of a range than are put above the list are its first page", async () => {
  const source = new Fake(span(30, 21), span(90, 81), span(90, 81), []);
  const list = new CallList(source);
  const from = row(0).call.startedAt;
  await list.start({ from }, 10, "q", row(50).call.startedAt);
  list.setLive(true);
  await expect.poll(() => list.state.get().rows[0]?.call.id).toBe(row(90).call.id);
  expect(source.filters.at(-1)).toEqual({ from });
  expect(list.state.get().rows).toHaveLength(10);
});
