import { expect, test } from "vitest";
import { drawnProps } from "../../src/jsx/jsx-runtime";
import { health } from "../../src/state/health";
import { defaultColumns, readSettings } from "../../src/state/settings";
import {
  absolute,
  ago,
  cutAt,
  drawn,
  duration,
  head,
  percent,
  short,
  shortly,
  size,
  until,
  visible,
} from "../../src/state/words";

test("durations are in the unit that reads best", () => {
  expect([0, 0.00025, 0.131, 4.56, 42.4, 999.6, 1500, 61_000, 3_700_000, 1e12].map(duration)).toEqual([
    "0 ms",
    "250 ns",
    "131 µs",
    "4.6 ms",
    "42 ms",
    "1000 ms",
    "1.50 s",
    "1 min 1 s",
    "1 h 2 min",
    "277,777 h 47 min",
  ]);
});

test("a moment is told in the zone that was asked for", () => {
  const time = "2026-11-24T23:30:04.123456789Z";
  expect(absolute(time, "UTC")).toBe("2026-11-24 23:30:04.123 UTC");
  expect(absolute(time, "Asia/Tokyo")).toMatch(/^2026-11-25 08:30:04\.123 /);
  const now = Date.parse("2026-11-24T23:31:00Z");
  expect(
    [time, "2026-11-24T23:00:00Z", "2026-11-23T23:00:00Z", "2026-11-24T23:31:00Z"].map((at) => ago(at, now)),
  ).toEqual(["56 s ago", "31 min ago", "1 day ago", "just now"]);
});

test("times of another year than this one have it, all of a range alike", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  const of = (...times: string[]) => shortly(times, "UTC", now);
  expect(of("2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z")).toEqual(["01-01 00:00:00", "12-31 23:59:59"]);
  expect(of("2020-01-01T00:00:00Z", "2026-12-31T00:00:00Z")).toEqual([
    "2020-01-01 00:00:00",
    "2026-12-31 00:00:00",
  ]);
  // the year in the zone of the reader
  expect(shortly(["2025-12-31T23:30:00Z"], "Asia/Tokyo", now)).toEqual(["01-01 08:30:00"]);
  expect(absolute("2001-02-03T04:05:06Z", "UTC", "short")).toBe("2001-02-03 04:05:06");
});

test("small things are said shortly", () => {
  expect(short("685e8ec7-fc20-4daa-8d66-40b0ec0eb150")).toBe("685e8ec7…b150");
  expect([size(12), size(1500), size(2_300_000)]).toEqual(["12 B", "1.5 kB", "2.3 MB"]);
  expect([percent(0, 0), percent(1, 1000), percent(1, 3)]).toEqual(["0%", "<1%", "33%"]);
  expect([percent(299, 300), percent(199, 200), percent(99, 100), percent(3, 3)]).toEqual([
    ">99%",
    ">99%",
    "99%",
    "100%",
  ]);
});

test("settings of another version, or broken ones, are no trouble", () => {
  expect(readSettings("not json").columns).toEqual(defaultColumns);
  expect(
    readSettings('{"theme":"pink","zone":"Mars/Base","columns":["time","nope","status"],"pageSize":7}'),
  ).toMatchObject({
    theme: "system",
    zone: "local",
    columns: ["status", "time"],
    pageSize: 10,
  });
});

test("what is to come is told as such", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  const at = (ms: number) => until(new Date(now + ms).toISOString(), now);
  const day = 86_400_000;
  expect([day - 1000, 90 * day - 1000, 3_599_000, 3_569_000].map(at)).toEqual([
    "in 1 day",
    "in 90 days",
    "in 1 h",
    "in 59 min",
  ]);
  expect([5000, 120_000, 7_200_000, day, 30 * day, -120_000].map(at)).toEqual([
    "in 5 s",
    "in 2 min",
    "in 2 h",
    "in 1 day",
    "in 30 days",
    "2 min ago",
  ]);
});

test("what cannot be seen in a name is drawn, and all else is left as it is", () => {
  expect(visible("pay\u202Elap\u0007\u200b")).toBe("pay⟨U+202E⟩lap⟨U+0007⟩⟨U+200B⟩");
  for (const name of ["get_weather", "天気 予報", "Zürich é", "🌦️", "a b"]) expect(visible(name)).toBe(name);
});

test("names that look alike are told apart", () => {
  const alike = [
    "pay\ufe0f",
    "pay\u{e0100}",
    "pay\u2800",
    "pay\u00a0now",
    "pay\u2003now",
    "pay\u3000now",
    "pay\u200dnow",
  ];
  for (const name of alike) expect(visible(name)).toMatch(/^pay⟨U\+[0-9A-F]{4,5}⟩(now)?$/);
  expect([" pay", "pay ", "pay  now", "  ", "pay now"].map(visible)).toEqual([
    "⟨U+0020⟩pay",
    "pay⟨U+0020⟩",
    "pay⟨U+0020⟩⟨U+0020⟩now",
    "⟨U+0020⟩⟨U+0020⟩",
    "pay now",
  ]);
  for (const nothing of ["\ufffc", "\u070f", "\u{1bca0}", "\u{e01f5}", "\u{13430}", "\u2064"])
    expect(visible(`pay${nothing}`)).not.toBe(`pay${nothing}`);
});

test("an emoji is whole in its one spelling, and every other spelling looks different", () => {
  const family = "👨‍👩‍👧‍👦";
  const england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
  for (const emoji of [
    "🌦️",
    "👩‍💻",
    "🏳️‍🌈",
    "👩🏽‍💻",
    "1️⃣",
    "❤️‍🔥",
    "👍🏽",
    "🇳🇱",
    "🧑🏻‍🤝‍🧑🏿",
    "©️",
    family,
    england,
  ]) {
    expect(visible(emoji)).toBe(emoji);
    expect(visible(`${emoji}${emoji} of ${emoji}`)).toBe(`${emoji}${emoji} of ${emoji}`);
    expect(drawn(emoji)).toBe(emoji);
    expect(visible(`${emoji}\ufe0f`)).toBe(`${emoji}⟨U+FE0F⟩`);
    expect(visible(`${emoji}\u200d`)).toBe(`${emoji}⟨U+200D⟩`);
  }
  // these look the same without
  for (const [spelling, marked] of [
    ["🔥\ufe0f", "🔥⟨U+FE0F⟩"],
    ["🔥\ufe0e", "🔥⟨U+FE0E⟩"],
    ["❤\ufe0e", "❤⟨U+FE0E⟩"],
    ["1\ufe0f", "1⟨U+FE0F⟩"],
    ["👩\u200d🔥", "👩⟨U+200D⟩🔥"],
    ["🏴\u{e0075}\u{e0073}\u{e007f}", "🏴⟨U+E0075⟩⟨U+E0073⟩⟨U+E007F⟩"],
    ["👩\u{e0041}", "👩⟨U+E0041⟩"],
  ] as const)
    expect(visible(spelling)).toBe(marked);
});

test("a text keeps what keyboards and scripts write, and marks what nobody sees", () => {
  for (const usual of ["⭐\ufe0f new", "🤷\u200d♂", "می\u200cخواهم", "क्\u200dष", "葛\n\tb  c"]) {
    expect(drawn(usual)).toBe(usual);
  }
  expect(drawn("pay\u200dlap\u200c")).toBe("pay⟨U+200D⟩lap⟨U+200C⟩");
  expect(drawn("pay\ufe0f ⭐\ufe0f\ufe0f")).toBe("pay⟨U+FE0F⟩ ⭐\ufe0f⟨U+FE0F⟩");
  expect(drawn("葛\u{e0100}\ufdd0\uffff")).toBe("葛⟨U+E0100⟩⟨U+FDD0⟩⟨U+FFFF⟩");
});

test("a long text is cut between characters", () => {
  const text = "👨‍👩‍👧‍👦".repeat(100);
  for (let at = 380; at < 420; at++) {
    const cut = cutAt(text, at);
    expect(cut).toBeLessThanOrEqual(at);
    expect(cut % "👨‍👩‍👧‍👦".length).toBe(0);
  }
  expect(cutAt("short", 400)).toBe(5);
  expect(cutAt("x".repeat(500), 400)).toBe(400);
});

test("a cut never goes through a character", () => {
  const id = `${"👩‍💻".repeat(9)}-${"é".repeat(8)}`;
  expect(short(id)).toBe(`${"👩‍💻".repeat(8)}…${"é".repeat(4)}`);
  expect(short("👩‍💻".repeat(14))).toBe("👩‍💻".repeat(14));
  expect(short(`ab\u202ecd${"x".repeat(20)}`)).toBe("ab⟨U+202E⟩cdxxx…xxxx");
  expect(head("🌦️🌦️🌦️", 2)).toBe("🌦️🌦️");
  expect(head("short", 200)).toBe("short");
});

test("no text reaches the screen that hides or reorders what stands there", () => {
  expect(drawn("no\u202etxt\n\tnext  line")).toBe("no⟨U+202E⟩txt\n\tnext  line");
  const inside = { props: "an element" };
  const list = [inside, inside];
  const props = { children: ["a\u202eb", inside, list, 7], title: "c\u2066d", value: "e\u202ef", id: "g" };
  expect(drawnProps(props)).toEqual({
    children: ["a⟨U+202E⟩b", inside, list, 7],
    title: "c⟨U+2066⟩d",
    value: "e\u202ef",
    id: "g",
  });
  expect(drawnProps({ children: "h\u200bi" })).toEqual({ children: "h⟨U+200B⟩i" });
  const plain = { children: "usual", title: "usual" };
  expect(drawnProps({ ...plain })).toEqual(plain);
  expect(drawnProps({ children: list }).children).toBe(list);
});

test("of tools whose calls have not ended nobody says that they are healthy", () => {
  const words = (callCount: number, errorCount: number, p50Ms: number | null) =>
    health({ callCount, errorCount, p50Ms }).words;
  expect([words(3, 0, null), words(3, 0, 12), words(100, 9, 1), words(10, 1, 1), words(1, 1, null)]).toEqual([
    "No data",
    "Healthy",
    "Some errors",
    "Failing",
    "Failing",
  ]);
});
