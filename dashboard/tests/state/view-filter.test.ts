import { expect, test } from "vitest";
import { noFilter, ranges, writeFilter } from "../../src/state/filter";
import { readFilter } from "../../src/state/parameters";
import {
  fromViewFilter,
  sameFilter,
  toViewFilter,
  type ViewFilter,
  viewAddress,
} from "../../src/state/view-filter";

const read = (query: string) => readFilter(new URLSearchParams(query));
const back = (filterOfView: unknown, lastSeconds: number | null = null) => {
  const filter = fromViewFilter({ filter: filterOfView, lastSeconds });
  return filter && writeFilter(filter).toString();
};

test.each([
  "",
  "server=a&server=b%26c&tool=x&method=tools%2Fcall&status=401&outcome=TOOL_ERROR&country=NL&client=c&ip=%3A%3A1",
  "-server=a&-server=b",
  "server=a&-tool=x&-outcome=OK&-status=404",
  "session=s-1&trace=0123456789abcdef0123456789abcdef&min=5&max=10.5&q=no+%22such+city%22",
  "from=2026-11-24T10%3A00%3A00%2B01%3A00&to=2026-11-25T00%3A00%3A00.123456789Z",
  ...ranges.map(([name]) => `tool=x&range=${name}`),
])("a view holds the filter of the address %s, and the address comes out of it again", (query) => {
  const saved: ViewFilter = JSON.parse(JSON.stringify(toViewFilter(read(query))));
  expect(fromViewFilter(saved)).toEqual(read(query));
  expect(back(saved.filter, saved.lastSeconds)).toBe(writeFilter(read(query)).toString());
});

test("a range up to now is kept as seconds: as moments it would be another one tomorrow", () => {
  expect(toViewFilter(read("range=1h&outcome=OK"))).toEqual({
    filter: { outcomes: ["OK"] },
    lastSeconds: 3600,
  });
  const seconds = ranges.map(([name]) => toViewFilter(read(`range=${name}`)).lastSeconds);
  expect(seconds).toEqual([900, 3600, 21_600, 86_400, 604_800, 2_592_000]);
  // moments are the filter's, and besides them there are no seconds
  expect(toViewFilter(read("from=2026-11-24T10:00:00Z"))).toEqual({
    filter: { from: "2026-11-24T10:00:00Z" },
    lastSeconds: null,
  });
  expect(toViewFilter(noFilter)).toEqual({ filter: {}, lastSeconds: null });
});

test("what other clients save is read where the address has words for it", () => {
  expect(back({})).toBe("");
  expect(back({ servers: ["a"], tools: [], search: null, not: { or: [] } })).toBeUndefined();
  expect(back({ servers: ["a"], tools: [], search: null, not: null })).toBe("server=a");
  // in any order, and twice
  expect(back({ not: { or: [{ tools: ["x"] }, { servers: ["b", "a", "a"] }] } })).toBe(
    "-server=b&-server=a&-tool=x",
  );
  expect(back({ servers: ["a"] }, 900)).toBe("server=a&range=15m");
});

test("seconds that are none of the ranges have no words in the address", () => {
  for (const seconds of [1, 90, 3599, 3601, 2_147_483_647]) expect(back({}, seconds)).toBeUndefined();
  // the API keeps no such view; as a range alone it would be shown as something else
  expect(back({ from: "2026-11-24T10:00:00Z" }, 3600)).toBeUndefined();
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
  expect(back(saved)).toBeUndefined();
  expect(back(saved, 3600)).toBeUndefined();
});

test("filters that mean the same are the same", () => {
  const of = (filter: object, lastSeconds?: number | null) =>
    lastSeconds === undefined ? { filter } : { filter, lastSeconds };
  expect(sameFilter(of({ tools: ["a", "b"], search: null }), of({ tools: ["b", "a"] }))).toBe(true);
  expect(sameFilter(of({ tools: ["a"] }), of({ tools: ["a"], servers: ["x"] }))).toBe(false);
  expect(sameFilter(of({ not: { tools: ["a"] } }), of({ tools: ["a"] }))).toBe(false);
  // the range is compared too, and nothing else that a view has
  expect(sameFilter(of({ tools: ["a"] }, 3600), of({ tools: ["a"] }, 3600))).toBe(true);
  expect(sameFilter(of({ tools: ["a"] }, 3600), of({ tools: ["a"] }, 900))).toBe(false);
  expect(sameFilter(of({ tools: ["a"] }, 3600), of({ tools: ["a"] }))).toBe(false);
  expect(sameFilter(of({ tools: ["a"] }, null), of({ tools: ["a"] }))).toBe(true);
  const named = (name: string) => ({ ...of({ tools: ["a"] }, 3600), name, columns: [name] });
  expect(sameFilter(named("one"), named("other"))).toBe(true);
});

test("a view opens with its own range or none, and with the switch Live as it is", () => {
  const now = new URLSearchParams("tool=old&range=1h&live=1&call=c&columns=time");
  expect(viewAddress(read("server=a"), undefined, now)).toBe("/?server=a&live=1");
  expect(viewAddress(read("server=a&range=24h"), undefined, now)).toBe("/?server=a&range=24h&live=1");
  expect(viewAddress(read("server=a&range=24h"), "status,time", now)).toBe(
    "/?server=a&range=24h&columns=status%2Ctime&live=1",
  );
  const still = new URLSearchParams("range=1h&from=2026-11-24T10:00:00Z");
  expect(viewAddress(read("server=a"), undefined, still)).toBe("/?server=a");
  // moments of its own are kept
  expect(viewAddress(read("from=2026-11-24T10:00:00Z"), undefined, now)).toBe(
    "/?from=2026-11-24T10%3A00%3A00Z&live=1",
  );
  expect(viewAddress(noFilter, undefined, new URLSearchParams())).toBe("/");
});
