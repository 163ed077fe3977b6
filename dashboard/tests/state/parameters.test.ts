import { expect, test } from "vitest";
import { ignoredAt } from "../../src/state/parameters";

const told = (path: string, query: string) =>
  ignoredAt(path, new URLSearchParams(query)).map(({ words }) => words);

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
