import { expect, test } from "vitest";
import type { CallFilter } from "../../src/gql/graphql";
import { ignoredWords, readAddress } from "../../src/state/address";
import { type Filter, toCallFilter, writeFilter } from "../../src/state/filter";
import { nanoseconds } from "../../src/state/moment";
import { filterOf, readFilter } from "../../src/state/parameters";
import { readColumns } from "../../src/state/settings";

const ignoredAt = (path: string, parameters: URLSearchParams) => readAddress(path, parameters).ignored;
const told = (path: string, query: string) =>
  ignoredAt(path, new URLSearchParams(query)).map(({ words }) => words);
const read = (query: string) => readFilter(new URLSearchParams(query));
const used = (path: string, query: string) => readAddress(path, new URLSearchParams(query)).used.toString();

test("what an address says and nothing can mean is told, and all else is not", () => {
  expect(
    told("/", "status=abc&status=401&-outcome=NOPE&min=-1&max=5.0&trace=xyz&from=yesterday&range=2w"),
  ).toEqual(["status=abc", "-outcome=NOPE", "min=-1", "trace=xyz", "from=yesterday", "range=2w"]);
  expect(
    told("/", "server=a&server=b&q=%20x%20&live=1&call=c&columns=time&min=0&ip=::1&-ip=203.0.113.7"),
  ).toEqual([]);
  expect(told("/", "live=2&country=Germany&country=NL&status=999&columns=time,foo&constructor=1")).toEqual([
    "live=2",
    "country=Germany",
    "status=999",
    "columns=foo",
    "constructor=1",
  ]);
});

test("each page tells what it does not read itself", () => {
  expect(told("/sessions", "tool=a&live=1&columns=time")).toEqual(["live=1", "columns=time"]);
  expect(told("/sessions/7", "call=c&tool=a")).toEqual(["tool=a"]);
  expect(told("/overview", "range=1h&call=c")).toEqual(["call=c"]);
  expect(told("/servers", "sort=-calls&find=x&tool=a")).toEqual(["tool=a"]);
  expect(told("/servers", "sort=toString")).toEqual(["sort=toString"]);
  // its table has no such column
  expect(told("/servers", "sort=-p95")).toEqual(["sort=-p95"]);
  expect(told("/servers/a", "tab=nix&server=b&sort=calls&tool=x&live=1&call=c")).toEqual([
    "tab=nix",
    "server=b",
    "sort=calls",
  ]);
  expect(told("/servers/a", "tab=tools&sort=p95&tool=x")).toEqual(["tool=x"]);
  expect(told("/calls/7", "tool=a&live=1&columns=time&call=c")).toEqual(["call=c"]);
  expect(told("/setup", "x=")).toEqual(["x="]);
  expect(told("/nothing", "x=1")).toEqual([]);
});

test("a value that another puts out of use is told", () => {
  expect(told("/", "range=1h&from=2026-11-24T10:00:00Z&q=a&q=b")).toEqual([
    "from=2026-11-24T10:00:00Z",
    "q=b",
  ]);
  expect(told("/", "range=2w&from=2026-11-24T10:00:00Z")).toEqual(["range=2w"]);
});

test("what the API would refuse is told, and so is what is empty or given twice", () => {
  const zeros = "0".repeat(32);
  expect(told("/", `trace=${zeros}&server=&-tool=&columns=status,status&ip=999.1.1.1&-ip=x`)).toEqual([
    `trace=${zeros}`,
    "server=",
    "-tool=",
    "columns=status",
    "ip=999.1.1.1",
    "-ip=x",
  ]);
  expect(told("/", `q=${"🌦".repeat(1000)}`)).toEqual([]);
  expect(told("/", `q=${"a".repeat(1001)}`)).toEqual([`q=${"a".repeat(50)}…`]);
  expect(told("/docs/readme", "x=1")).toEqual(["x=1"]);
  expect(told("/", "server=a&server=a")).toEqual(["server=a"]);
});

test("no part of an address fills the page, and each is told with what is wrong of it", () => {
  const [ignored] = ignoredAt("/", new URLSearchParams({ [`n${"a".repeat(1500)}`]: "b".repeat(1500) }));
  expect(ignored?.words.length).toBeLessThan(120);
  expect(ignored?.words).toMatch(/^na+…=b+…$/);
  const told = ignoredAt("/", new URLSearchParams("columns=status,foo,status"));
  expect(told.map(({ words }) => words)).toEqual(["columns=foo", "columns=status"]);
});

test("spaces around the address's own words mean nothing, and those of a name are its own", () => {
  const spaced =
    "outcome=TOOL_ERROR%20&status=%20200&status=404%0a&kind=%20REQUEST&live=%201&columns=%20time,%20ip";
  expect(used("/", spaced)).toBe(
    "outcome=TOOL_ERROR&status=200&status=404&kind=REQUEST&live=1&columns=time%2Cip",
  );
  expect(told("/", spaced)).toEqual([]);
  expect(told("/", "status=200&status=%20200")).toEqual(["status= 200"]);
  for (const name of ["\u2003", " ", "pay ", "\n"]) {
    const { used: read, ignored } = readAddress("/", new URLSearchParams({ server: name, session: name }));
    expect(ignored).toEqual([]);
    expect(filterOf(read)).toMatchObject({ include: { server: [name] }, session: name });
  }
});

test("the first value that is right is used, and every other is told", () => {
  const query = "live=2&live=1&min=x&min=5&min=7&columns=foo&columns=time&columns=ip&trace=&sort=calls";
  expect(used("/", query)).toBe("live=1&min=5&columns=time");
  expect(told("/", query)).toEqual([
    "live=2",
    "min=x",
    "min=7",
    "columns=foo",
    "columns=ip",
    "trace=",
    "sort=calls",
  ]);
  // a tab that is none is none for the parts of it either
  expect(used("/servers/a", "tab=nix&tab=tools&sort=p95&tool=x")).toBe("tab=tools&sort=p95");
  // what a page does not read it does not go by either
  expect(used("/servers/a", "server=b&-server=a&tool=x")).toBe("tool=x");
});

test("a trace is known in capitals too, and a moment in small letters", () => {
  const trace = "0123456789ABCDEF0123456789ABCDEF";
  expect(used("/", `trace=${trace}`)).toBe(`trace=${trace.toLowerCase()}`);
  expect(read("from=2026-11-24t06:00:00z").from).toBe("2026-11-24T06:00:00Z");
});

test.each([
  "2026-02-30T00:00:00Z",
  "2026-11-24T24:00:00Z",
  "2026-11-24T23:59:60Z",
  "2026-13-01T00:00:00Z",
  "2026-00-01T00:00:00Z",
  "2026-11-31T00:00:00+01:00",
  "2025-02-29T00:00:00Z",
  "2026-11-24T06:00:00+24:00",
  "2026-11-24T06:00:00+01:60",
  "2026-11-24T06:00:00.1234567891Z",
  "2026-11-24T06:00:00",
  "2026-11-24T06:00:00 01:00",
  "9999-01-01T00:00:00Z",
  "0001-01-01T00:00:00Z",
  "1677-12-31T23:59:59Z",
  "1678-01-01T00:30:00+01:00",
  "2262-01-01T00:00:00Z",
  "2261-12-31T23:30:00-01:00",
  "2026-11-24",
  "yesterday",
])("a moment that is none, or none that the API takes, is told: %s", (text) => {
  const parameters = new URLSearchParams({ from: text });
  expect(readAddress("/overview", parameters)).toMatchObject({ ignored: [{ words: `from=${text}` }] });
  expect(readFilter(parameters)).toEqual({ include: {}, exclude: {} });
});

test("moments are compared to the nanosecond", () => {
  expect(nanoseconds("1970-01-01T00:00:00.000000001Z")).toBe(1n);
  expect(nanoseconds("1970-01-01T01:00+01:00")).toBe(0n);
  expect(nanoseconds("1969-12-31T23:59:59.9Z")).toBe(-100_000_000n);
  expect(nanoseconds("1678-01-01T01:00:00+01:00")).toBeLessThan(0n);
  expect(nanoseconds("2024-02-29T00:00:00Z")).toBe(1_709_164_800_000_000_000n);
});

test("more than the API takes is told, and what there is room for is used", () => {
  const words = (most: number) => Array.from({ length: most }, (_, index) => `w${index}`).join("+");
  expect(told("/", `q=${words(32)}`)).toEqual([]);
  expect(told("/", `q=${words(33)}`)).toHaveLength(1);
  // a phrase is one, and what has no letter or digit is none
  expect(told("/", `q=%22${words(100)}%22+-+-+(+${words(31)}`)).toEqual([]);
  const many = (name: string, most: number) =>
    Array.from({ length: most }, (_, index) => `${name}=${index}`).join("&");
  expect(told("/", many("server", 502))).toEqual(["server=500", "server=501"]);
  const all = ["server", "tool", "-tool", "client"].map((name) => many(name, 500)).join("&");
  const { used: read, ignored } = readAddress("/", new URLSearchParams(all));
  expect([[...read].length, ignored.length]).toEqual([1990, 10]);
  expect(told("/", `session=${"x".repeat(4097)}`)).toHaveLength(1);
  expect(told("/", "min=0x10&max=1e308")).toEqual(["min=0x10", "max=1e308"]);
  expect(told("/", "min=+5&max=5.")).toHaveLength(1);
});

test("thousands of ignored parts fill no page", () => {
  const wrong = Array.from({ length: 2000 }, (_, index) => `c${index}`).join();
  const { ignored } = readAddress("/", new URLSearchParams({ columns: wrong }));
  const words = ignoredWords(ignored);
  expect(words.length).toBeLessThan(700);
  expect(words).toMatch(/^columns=c0 \(expected .*; and 1,995 more$/);
});

/** Numbers that are the same in each run. */
function* randoms(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    yield ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

const names = [
  ...["server", "tool", "method", "status", "outcome", "country", "client", "ip", "kind"].flatMap((name) => [
    name,
    `-${name}`,
  ]),
  ...["session", "trace", "min", "max", "q", "range", "from", "to"],
  ...["live", "columns", "call", "sort", "find", "tab", "constructor", "__proto__", "x", "Server", ""],
];
const values = [
  ...[
    "",
    " ",
    "\u2003",
    "\n",
    "a",
    "a ",
    "a,b",
    "1",
    "0",
    "-1",
    "5",
    "5.0",
    "1e3",
    "1e-7",
    "1e308",
    "0x10",
    "NaN",
  ],
  ...[
    "200",
    " 200",
    "200\n",
    "999",
    "OK",
    "TOOL_ERROR ",
    "nope",
    "NL",
    "nl",
    "REQUEST",
    " STREAM",
    "::1",
    "1.1.1.1",
  ],
  ...[
    "999.1.1.1",
    "0".repeat(32),
    "a".repeat(32),
    "A".repeat(32),
    "1h",
    " 24h",
    "2w",
    "time",
    "time,ip",
    "time,foo",
  ],
  ...["-calls", "p95", "tools", "calls", "2026-11-24T06:00:00Z", "2026-11-24t06:00z", "2026-02-30T00:00:00Z"],
  ...[
    "2026-11-24T06:00:00.123456789+05:30",
    "9999-01-01T00:00:00Z",
    "2026-11-24T06:00:00",
    "-- ((",
    '"a b" c*',
  ],
  ...["w ".repeat(33), "x".repeat(1001), "y".repeat(5000), "\u0000", "\ud83d", "%", "+"],
];

/** What the API says against a filter, by the rules of `CallFilter` in its schema. */
function refused(filter: CallFilter): string[] {
  const wrong: string[] = [];
  const lists = (one: CallFilter) =>
    Object.entries(one).flatMap(([name, value]) =>
      Array.isArray(value) && !["or", "not"].includes(name) ? [value] : [],
    );
  const inside = filter.not?.or ?? (filter.not ? [filter.not] : []);
  const all = [filter, ...inside].flatMap(lists);
  if (all.some((list) => list.length > 500) || all.flat().length > 2000) wrong.push("values");
  for (const time of [filter.from, filter.to]) {
    const [, day, hour] = /^\d{4}-\d\d-(\d\d)T(\d\d):/.exec(time ?? "2026-01-01T00:") ?? [];
    const at = new Date(time ?? 0);
    if (day === undefined || Number(hour) > 23 || Number.isNaN(at.getTime())) wrong.push(`time ${time}`);
    else if (at.getUTCFullYear() > 2261 || (time && at.getUTCFullYear() < 1678)) wrong.push(`time ${time}`);
    else if (time?.endsWith("Z") && at.getUTCDate() !== Number(day)) wrong.push(`time ${time}`);
  }
  const { search, traceId, sessionId } = filter;
  if (search && ([...search].length > 1000 || (search.match(/\w+/g)?.length ?? 0) > 32)) wrong.push("search");
  if (traceId != null && !/^(?!0+$)[0-9a-f]{32}$/.test(traceId)) wrong.push("trace");
  if (sessionId && sessionId.length > 4096) wrong.push("session");
  return wrong;
}

/** Whether what a parameter asks for is in the filter that is sent, or in what else the page goes by. */
function isApplied(name: string, value: string, filter: Filter, read: URLSearchParams): boolean {
  const asked = writeFilter(filter);
  const text = value.trim();
  const others = ["live", "call", "sort", "find", "tab"];
  if (name === "columns") return readColumns(read.get("columns")?.split(",") ?? []) !== undefined;
  if (others.includes(name)) return [value, text].includes(read.get(name) ?? "");
  if (name === "min" || name === "max") return asked.has(name) && Number(asked.get(name)) === Number(text);
  const same = (one: string) => [value, text, text.toLowerCase(), text.toUpperCase()].includes(one);
  return asked.getAll(name).some(same);
}

test("every part of any address is used or told, never both nor neither, and the API refuses none of it", () => {
  const random = randoms(7);
  const one = <Item>(all: readonly Item[]): Item => all[Math.floor(random.next().value * all.length)] as Item;
  const paths = [
    "/",
    "/calls",
    "/calls/7",
    "/overview",
    "/sessions",
    "/sessions/s",
    "/servers",
    "/servers/a",
    "/setup",
  ];
  for (let round = 0; round < 3000; round++) {
    const path = one(paths);
    const parameters = new URLSearchParams();
    const most = Math.floor(random.next().value * 12);
    for (let index = 0; index < most; index++) parameters.append(one(names), one(values));
    const { used: read, ignored } = readAddress(path, parameters);
    const filter = filterOf(read);
    const about = `${path}?${parameters}`;

    expect(refused(toCallFilter(filter, new Date("2026-11-24T12:00:00Z"))), about).toEqual([]);
    expect(readFilter(writeFilter(filter)), about).toEqual(filter);
    for (const [name, value] of parameters) {
      const tellings = ignored.filter(({ words }) => words.startsWith(`${name}=`)).length;
      const givings = parameters.getAll(name).length;
      if (tellings === 0 && !isApplied(name, value, filter, read))
        throw new Error(`${about}: ${name}=${value} is neither applied nor told`);
      // one parameter may have several columns, each of them wrong
      if (name === "columns") expect(tellings > 0 || read.has(name), about).toBe(true);
      else if (tellings + read.getAll(name).length !== givings)
        throw new Error(
          `${about}: of ${givings} ${name} ${tellings} are told, and ${read.getAll(name)} used`,
        );
    }
  }
});
