import { expect, test } from "vitest";
import {
  type Filter,
  noFilter,
  nonsense,
  pick,
  picked,
  toCallFilter,
  writeFilter,
} from "../../src/state/filter";
import { readMilliseconds } from "../../src/state/milliseconds";
import { readFilter } from "../../src/state/parameters";

const now = new Date("2026-11-24T12:00:00.000Z");
const read = (query: string) => readFilter(new URLSearchParams(query));

test("an address is read and written back as the same filter", () => {
  const query =
    "server=a&server=b%26c&-server=d&tool=x&status=401&outcome=TOOL_ERROR&session=s&min=5&max=10&q=a+b&range=1h";
  const filter = read(query);
  expect(filter.include.server).toEqual(["a", "b&c"]);
  expect(filter.exclude.server).toEqual(["d"]);
  expect(read(writeFilter(filter).toString())).toEqual(filter);
});

test("what makes no sense in an address is ignored", () => {
  expect(read("status=abc&outcome=NOPE&min=-1&max=x&range=2w&from=yesterday&trace=zz&server=&q=+")).toEqual(
    noFilter,
  );
  // a moment without a time zone would mean another one on another machine
  expect(read("from=2026-11-24T10:00:00").from).toBeUndefined();
  expect(read("from=2026-11-24T10:00:00%2B01:00").from).toBe("2026-11-24T10:00:00+01:00");
});

test("other parameters of the address stay", () => {
  const written = writeFilter({ ...noFilter, search: "x" }, new URLSearchParams("live=1&tool=old"));
  expect(written.toString()).toBe("live=1&q=x");
});

test("the API is asked for exactly what was chosen", () => {
  expect(toCallFilter(noFilter, now)).toEqual({});
  expect(toCallFilter(read("server=a&status=401&status=500&ip=::1&q=x&range=15m"), now)).toEqual({
    servers: ["a"],
    httpStatuses: [401, 500],
    clientIps: ["::1"],
    search: "x",
    from: "2026-11-24T11:45:00.000Z",
    to: "2026-11-24T12:00:00.000Z",
  });
  expect(toCallFilter(read("range=15m"), now, true)).toEqual({ from: "2026-11-24T11:45:00.000Z" });
});

test("what is excluded is out whichever list it is in", () => {
  expect(toCallFilter(read("-tool=a&-tool=b"), now)).toEqual({ not: { tools: ["a", "b"] } });
  expect(toCallFilter(read("-tool=a&-server=b"), now)).toEqual({
    not: { or: [{ servers: ["b"] }, { tools: ["a"] }] },
  });
});

test("a preset wins over moments", () => {
  const filter = read("range=1h&from=2026-01-01T00:00:00Z");
  expect(filter.range).toBe("1h");
  expect(filter.from).toBeUndefined();
});

test("a value is wanted, unwanted or neither, never both", () => {
  let filter: Filter = pick(noFilter, "tool", "x", "include");
  expect(picked(filter, "tool", "x")).toBe("include");
  filter = pick(filter, "tool", "x", "exclude");
  expect(picked(filter, "tool", "x")).toBe("exclude");
  expect(filter.include).toEqual({});
  expect(pick(filter, "tool", "x", undefined)).toEqual(noFilter);
});

test("what finds nothing by itself is said, and numbers are read as they are typed", () => {
  const base = { include: {}, exclude: {} };
  expect(nonsense({ ...base, search: "-- ((", min: 2, max: 1 })).toEqual([
    expect.stringContaining("no letters"),
    expect.stringContaining("above"),
  ]);
  for (const search of ["a", "-7-", "日本", "çà"]) expect(nonsense({ ...base, search })).toEqual([]);
  expect(nonsense({ ...base, min: 1, max: 1 })).toEqual([]);
  expect(nonsense({ ...base, from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" })[0]).toContain(
    "ends before",
  );
  // to the nanosecond, and in any time zone
  const of = (from: string, to: string) => nonsense({ ...base, from, to });
  expect(of("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000000001Z")).toEqual([]);
  expect(of("2026-01-01T10:00:00.000000001Z", "2026-01-01T10:00:00Z")).toHaveLength(1);
  expect(of("2026-01-01T10:00:00.1Z", "2026-01-01T12:00:00.100000000+02:00")).toHaveLength(1);
  for (const [text, value] of [
    ["", undefined],
    [" 250 ", 250],
    ["1.5", 1.5],
    [".5", 0.5],
    ["1e3", 1000],
    ["1e-7", 1e-7],
  ] as const)
    expect(readMilliseconds(text)).toEqual({ value });
  for (const text of ["abc", "-5", "1,5", "Infinity", "NaN", "0x10", "1e999", "1e308"])
    expect(readMilliseconds(text)).toHaveProperty("problem");
});
