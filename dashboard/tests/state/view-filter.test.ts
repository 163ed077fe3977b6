import { expect, test } from "vitest";
import { noFilter, readFilter, writeFilter } from "../../src/state/filter";
import { fromViewFilter, sameFilter, toViewFilter, viewAddress } from "../../src/state/view-filter";

const read = (query: string) => readFilter(new URLSearchParams(query));
const back = (saved: unknown) => {
  const filter = fromViewFilter(saved);
  return filter && writeFilter(filter).toString();
};

test.each([
  "",
  "server=a&server=b%26c&tool=x&method=tools%2Fcall&status=401&outcome=TOOL_ERROR&country=NL&client=c&ip=%3A%3A1",
  "-server=a&-server=b",
  "server=a&-tool=x&-outcome=OK&-status=404",
  "session=s-1&trace=0123456789abcdef0123456789abcdef&min=5&max=10.5&q=no+%22such+city%22",
  "from=2026-11-24T10%3A00%3A00%2B01%3A00&to=2026-11-25T00%3A00%3A00.123456789Z",
])("a view holds the filter of the address %s, and the address comes out of it again", (query) => {
  const saved = JSON.parse(JSON.stringify(toViewFilter(read(query))));
  expect(fromViewFilter(saved)).toEqual(read(query));
  expect(back(saved)).toBe(writeFilter(read(query)).toString());
});

test("a range up to now is not kept: as moments it would be another one tomorrow", () => {
  expect(toViewFilter(read("range=1h&outcome=OK"))).toEqual({ outcomes: ["OK"] });
});

test("what other clients save is read where the address has words for it", () => {
  expect(back({})).toBe("");
  expect(back({ servers: ["a"], tools: [], search: null, not: { or: [] } })).toBeUndefined();
  expect(back({ servers: ["a"], tools: [], search: null, not: null })).toBe("server=a");
  // in any order, and twice
  expect(back({ not: { or: [{ tools: ["x"] }, { servers: ["b", "a", "a"] }] } })).toBe(
    "-server=b&-server=a&-tool=x",
  );
});

test.each([
  { or: [{ servers: ["a"] }, { tools: ["x"] }] },
  { not: { servers: ["a"], tools: ["x"] } },
  { not: { not: { servers: ["a"] } } },
  { not: { search: "x" } },
  { not: { or: [{ servers: ["a"], tools: ["x"] }] } },
  { search: " padded " },
  { traceId: "0123456789ABCDEF0123456789ABCDEF" },
  { httpStatuses: [-1] },
  { servers: [""] },
  { later: ["what a later version may add"] },
  { minDurationMs: -5 },
  [],
  null,
  "x",
])("what the address has no words for is not shown as something else: %j", (saved) => {
  expect(fromViewFilter(saved)).toBeUndefined();
});

test("filters that mean the same are the same", () => {
  expect(sameFilter({ tools: ["a", "b"], search: null }, { tools: ["b", "a"] })).toBe(true);
  expect(sameFilter({ tools: ["a"] }, { tools: ["a"], servers: ["x"] })).toBe(false);
  expect(sameFilter({ not: { tools: ["a"] } }, { tools: ["a"] })).toBe(false);
});

test("a view opens over the range and the switch Live as they are", () => {
  const now = new URLSearchParams("tool=old&range=1h&live=1&call=c&columns=time");
  expect(viewAddress(read("server=a"), undefined, now)).toBe("/?server=a&range=1h&live=1");
  expect(viewAddress(read("server=a"), "status,time", now)).toBe(
    "/?server=a&range=1h&columns=status%2Ctime&live=1",
  );
  // moments of its own are kept
  expect(viewAddress(read("from=2026-11-24T10:00:00Z"), undefined, now)).toBe(
    "/?from=2026-11-24T10%3A00%3A00Z&live=1",
  );
  expect(viewAddress(noFilter, undefined, new URLSearchParams())).toBe("/");
});
