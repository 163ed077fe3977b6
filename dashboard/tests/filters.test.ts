import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { lists, singles, toCallFilter } from "../src/state/filter";
import { readFilter } from "../src/state/parameters";
import { many } from "../src/state/words";
import { axeSays, expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();

async function report(): Promise<void> {
  await pages.mcptap.reportAll([
    {
      server: "weather",
      tool: "forecast",
      status: 200,
      client: "claude-code",
      country: "NL",
      durationMs: 20,
    },
    {
      server: "weather",
      tool: "radar",
      status: 500,
      error: "no radar",
      durationMs: 900,
      request: '{"method":"tools/call","params":{"name":"radar","arguments":{"city":"Utrecht"}}}',
    },
    { server: "orders", tool: "refund", status: 401, client: "cursor", country: "DE", session: "s-1" },
    { server: "orders", method: "initialize", status: 200, session: "s-1" },
    { server: "orders", tool: "refund", agoMs: 3 * 3_600_000, session: "s-1" },
  ]);
}

const choose = async (page: Page, filter: string, option: string | RegExp) => {
  await page.getByRole("button", { name: new RegExp(`^${filter}`) }).click();
  await page.getByRole("option", { name: option }).click();
  await page.keyboard.press("Escape");
};

const targets = async (page: Page) => (await rows(page).locator(".target .strong").allTextContents()).sort();

const shows = (page: Page, count: number) => page.getByText(many(count, "call"), { exact: true }).waitFor();

test("filters combine, their counts are of the rest, and the address reproduces the view", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await shows(page, 5);
  await choose(page, "Server", /orders/);
  await shows(page, 3);
  await expectAddress(page, /\?server=orders$/);

  // the tools follow the server, and each has its count
  await page.getByRole("button", { name: /^Tool/ }).click();
  const options = page.getByRole("listbox", { name: "Tool" }).getByRole("option");
  await expect.poll(() => options.allTextContents()).toEqual(["refund2"]);
  await options.first().click();
  await page.keyboard.press("Escape");
  await shows(page, 2);
  await choose(page, "Status", /401/);
  await shows(page, 1);
  await expectAddress(page, /\?server=orders&tool=refund&status=401$/);

  const copy = await pages.context.newPage();
  await copy.goto(page.url());
  await shows(copy, 1);
  expect(await targets(copy)).toEqual(["refund"]);
  await copy.close();

  await page.goBack();
  await shows(page, 2);
  await page.goBack();
  await shows(page, 3);
  await page.goForward();
  await shows(page, 2);
  await page.getByRole("button", { name: "Remove Server orders" }).click();
  await expectAddress(page, /\?tool=refund$/);
  await page.getByRole("button", { name: "Clear all" }).click();
  await shows(page, 5);
  expect(pages.complaints).toEqual([]);
});

test("every filter narrows the list", async () => {
  const { page, mcptap } = pages;
  await report();
  for (const [query, count] of [
    ["method=initialize", 1],
    ["outcome=TOOL_ERROR", 1],
    ["country=NL", 1],
    ["client=cursor", 1],
    ["session=s-1", 3],
    ["min=500", 1],
    ["max=30", 1],
    ["q=utrecht", 1],
    ["range=1h", 4],
    ["-server=orders", 2],
    ["-server=orders&-tool=radar", 1],
    ["status=200&status=500", 3],
    [
      `from=${encodeURIComponent(new Date(Date.now() - 4 * 3_600_000).toISOString())}&to=${encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString())}`,
      1,
    ],
  ] as const) {
    await page.goto(`${mcptap.url}/?${query}`);
    await shows(page, count);
    await page.waitForFunction(
      (wanted) => document.querySelectorAll(".body [role=row]").length === wanted,
      count,
    );
  }
  await page.goto(`${mcptap.url}/?tool=nosuch`);
  await page.getByText("No calls match").waitFor();
  await page.getByRole("button", { name: "Clear filters" }).click();
  await shows(page, 5);
  expect(pages.complaints).toEqual([]);
});

test("the time is chosen from presets, or from the calendar with the time of day", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: /^Time/ }).click();
  await page.getByRole("button", { name: "Last hour" }).click();
  await expectAddress(page, /\?range=1h$/);
  await shows(page, 4);

  await page.getByRole("button", { name: /^Time/ }).click();
  const dialog = page.getByRole("dialog", { name: "Time" });
  const day = dialog
    .getByRole("button", { name: /^(Today|First available)/ })
    .or(dialog.locator("[data-selected]"))
    .first();
  await day.waitFor();
  await day.click();
  await day.click();
  await dialog.getByRole("button", { name: "Apply" }).click();
  await expectAddress(page, /\?from=\d{4}-[^&]*&to=\d{4}-/);
  const parameters = new URL(page.url()).searchParams;
  const length = Date.parse(parameters.get("to") ?? "") - Date.parse(parameters.get("from") ?? "");
  // a whole day, which is 23 or 25 hours long twice a year
  expect([23, 24, 25]).toContain(length / 3_600_000);
  expect(pages.complaints).toEqual([]);
});

test("a click on a value keeps only its calls or leaves them out, in the list and in the detail", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await shows(page, 5);
  await page.getByRole("row", { name: /radar/ }).hover();
  await page.getByTitle("Filter out Server weather").click();
  await expectAddress(page, /\?-server=weather$/);
  await shows(page, 3);
  await page.getByRole("button", { name: /^Server is not weather/ }).click();
  await expectAddress(page, /\?server=weather$/);
  await shows(page, 2);

  await page.getByRole("row", { name: /radar/ }).click();
  await page.getByRole("button", { name: "radar", exact: true }).click();
  await page.getByRole("menuitem", { name: "Filter out" }).click();
  await expectAddress(page, /\?server=weather&-tool=radar$/);
  await shows(page, 1);
  expect(pages.complaints).toEqual([]);
});

test("search finds what is inside requests while one types, as one step of the history", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await shows(page, 5);
  await page.keyboard.press("/");
  await page.keyboard.type("utrecht", { delay: 20 });
  await shows(page, 1);
  expect(await targets(page)).toEqual(["radar"]);
  await page.goBack();
  await shows(page, 5);
  expect(await page.getByRole("searchbox", { name: "Search" }).inputValue()).toBe("");
  expect(pages.complaints).toEqual([]);
});

test("duration and session have fields of their own", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Duration" }).click();
  await page.getByLabel("At least (ms)").fill("500");
  await page.getByRole("button", { name: "Apply" }).click();
  await expectAddress(page, /\?min=500$/);
  await shows(page, 1);
  await page.getByRole("button", { name: "Remove Duration at least 500 ms" }).click();
  await page.getByRole("button", { name: "Session", exact: true }).click();
  await page.getByLabel("Session ID").fill("s-1");
  await page.getByRole("button", { name: "Apply" }).click();
  await expectAddress(page, /\?session=s-1$/);
  await shows(page, 3);
  expect(pages.complaints).toEqual([]);
});

test("a view is saved under a name, opened again and removed", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/?server=orders&status=401`);
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByLabel("Save this view as").fill("Refused orders");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved as Refused orders").waitFor();
  await page.goto(mcptap.url);
  await shows(page, 5);
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("link", { name: "Refused orders" }).click();
  await expectAddress(page, /\?server=orders&status=401$/);
  await shows(page, 1);
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("button", { name: "Change the view Refused orders" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  // asked before, and only then gone
  expect(await page.getByRole("link", { name: "Refused orders" }).count()).toBe(1);
  await page.getByRole("button", { name: "Remove Refused orders" }).click();
  await page.getByRole("link", { name: "Refused orders" }).waitFor({ state: "detached" });
  expect(await page.getByRole("link", { name: "Refused orders" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a duration that is none is told so, and the menu stays until it is put right", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Duration" }).click();
  const menu = page.getByRole("dialog", { name: "Duration" });
  const least = menu.getByLabel("At least (ms)");
  const most = menu.getByLabel("At most (ms)");
  const apply = menu.getByRole("button", { name: "Apply" });
  for (const [typed, words] of [
    ["abc", "Write a number, such as 250 or 1.5."],
    ["-5", "A duration is not negative."],
    ["1,5", "Write 1.5, with a point."],
  ] as const) {
    await least.fill(typed);
    await apply.click();
    await menu.getByText(words).waitFor();
    expect(await least.getAttribute("aria-invalid")).toBe("true");
  }
  await least.fill("500");
  await most.fill("100");
  await apply.click();
  await menu.getByText("must not be below the minimum").waitFor();
  await most.fill("1000");
  await apply.click();
  await expectAddress(page, /\?min=500&max=1000$/);
  await shows(page, 1);
  // an address may hold it all the same
  await page.goto(`${mcptap.url}/?min=500&max=100`);
  await page.getByText("The minimum duration is above the maximum").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a time that ends before it begins is told so, and the menu stays", async () => {
  const { page, mcptap } = pages;
  await report();
  const from = new Date(Date.now() - 60_000).toISOString();
  const to = new Date(Date.now() - 120_000).toISOString();
  await page.goto(`${mcptap.url}/?from=${from}&to=${to}`);
  await page.getByText("The time range ends before it starts").waitFor();
  await page.getByRole("button", { name: /^Time/ }).click();
  const menu = page.getByRole("dialog", { name: "Time" });
  await menu.getByRole("button", { name: "Apply" }).click();
  await menu.getByRole("alert").getByText("must end after it starts").waitFor();
  expect(new URL(page.url()).searchParams.get("to")).toBe(to);
  expect(pages.complaints).toEqual([]);
});

test("a search without a word says that it looks for nothing", async () => {
  const { page, mcptap } = pages;
  await report();
  for (const text of ["---", "((", "*", '"']) {
    await page.goto(`${mcptap.url}/?q=${encodeURIComponent(text)}`);
    await page.getByText("Search ignored").waitFor();
  }
  await page.getByRole("searchbox", { name: "Search" }).fill("utrecht");
  await shows(page, 1);
  expect(await page.getByText("Search ignored").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("what of an address is not read is told, on every page, with what is right", async () => {
  const { page, mcptap } = pages;
  await report();
  const told = page.getByRole("complementary", { name: "Ignored in the address" });
  await page.goto(`${mcptap.url}/?server=orders&status=abc&live=2&columns=time,foo`);
  await expect
    .poll(() => told.textContent())
    .toMatch(/status=abc \(expected 100–599\); live=2 \(expected 1\); columns=foo \(expected status, method/);
  await shows(page, 3);
  for (const path of ["/sessions", "/overview", "/servers", "/servers/orders?tab=nix", "/setup", "/keys"]) {
    await page.goto(`${mcptap.url}${path}${path.includes("?") ? "&" : "?"}nonsense=1`);
    await told.getByText("nonsense=1 (not used on this page)").waitFor();
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(await axeSays(page), path).toEqual([]);
  }
  await page.goto(`${mcptap.url}/servers/orders?tab=nix&server=other&country=Germany`);
  await told.getByText("tab=nix (expected calls, tools); server=other").waitFor();
  await told.getByText("country=Germany (expected a two-letter country code, such as NL)").waitFor();
  await shows(page, 3);
  expect(await page.getByRole("list", { name: "Chosen filters" }).count()).toBe(0);
  // what is mended is not told any more
  await page.getByRole("link", { name: "Tools", exact: true }).click();
  await told.waitFor({ state: "hidden" });
  expect(pages.complaints).toEqual([]);
});

test("what the API would refuse is told, above the calls of what is right", async () => {
  const { page, mcptap } = pages;
  await report();
  const told = page.getByRole("complementary", { name: "Ignored in the address" });
  const words = Array.from({ length: 33 }, (_, index) => `w${index}`).join(" ");
  const wrong = new URLSearchParams({ from: "2026-02-30T00:00:00Z", to: "9999-01-01T00:00:00Z", q: words });
  for (const path of ["/", "/overview", "/sessions"]) {
    await page.goto(`${mcptap.url}${path}?outcome=TOOL_ERROR%20&${wrong}`);
    await told.getByText("from=2026-02-30T00:00:00Z (expected a timestamp").waitFor();
    await page.getByRole("list", { name: "Chosen filters" }).getByText("Tool error").waitFor();
    expect(await page.getByRole("alert").count(), path).toBe(0);
    // it stays where it can be put right
    expect(await page.getByRole("searchbox", { name: "Search" }).inputValue()).toBe(words);
  }
  // as many as fill no page
  const servers = Array.from({ length: 500 }, (_, index) => `-server=s${index}`).join("&");
  await page.goto(`${mcptap.url}/?${servers}&columns=${Array.from({ length: 900 }, (_, at) => `c${at}`)}`);
  await told.getByText("and 895 more").waitFor();
  await rows(page).first().waitFor();
  const { y = 0 } = (await page.getByRole("table", { name: "Calls" }).boundingBox()) ?? {};
  expect(y).toBeLessThan(600);
  await page.getByRole("button", { name: "Clear all" }).click();
  await expectAddress(page, /\?columns=c0/);
  expect(pages.complaints).toEqual([]);
});

test("an API refuses no filter of any address", async () => {
  const { mcptap } = pages;
  const texts = ["", " ", "\u2003", "a ", "-- ((", '"a b" c*', "\0", "%", "x".repeat(5000), "w ".repeat(32)];
  const times = [
    "2026-11-24t06:00z",
    "2026-11-24T06:00:00.123456789+05:30",
    "2261-12-31T23:59:59Z",
    "1678-01-01T00:00:00Z",
  ];
  const others = [
    "1e-7",
    "1e12",
    "0",
    " 200",
    "OK ",
    "REQUEST",
    "::1",
    "NL",
    "A".repeat(32),
    "2024-02-29T23:59:59-23:59",
  ];
  const names = [...lists.flatMap((name) => [name, `-${name}`]), ...singles];
  for (const value of [...texts, ...times, ...others]) {
    const parameters = new URLSearchParams(names.map((name) => [name, value]));
    const filter = toCallFilter(readFilter(parameters), new Date());
    const asked = mcptap.ask(
      "query($filter: CallFilter) { calls(filter: $filter, first: 1) { liveCursor } }",
      { filter },
    );
    await expect(asked, value).resolves.toHaveProperty("calls");
  }
});

test("a menu says that nothing matches what was typed, and not that there is nothing", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  for (const name of ["Server", "Method", "Outcome"]) {
    await page.getByRole("button", { name: new RegExp(`^${name}`) }).click();
    await page.getByRole("option").first().waitFor();
    await page.getByRole("searchbox", { name: `Find in ${name}` }).fill("qqqq");
    await page.getByText("Nothing matches qqqq.").waitFor();
    expect(await page.getByText("No values.").count()).toBe(0);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
  }
  await page.goto(`${mcptap.url}/overview?server=nope`);
  await page.getByText("No calls match these filters.").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a menu that could not be loaded does not also say that there is nothing", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query Facets") ? route.abort() : route.continue(),
  );
  await page.getByRole("button", { name: /^Tool/ }).click();
  await page.getByText("The counts could not be loaded.").waitFor();
  expect(await page.getByText(/No values|Nothing matches/).count()).toBe(0);
});

test("the chip of a session names it by what people know: its own id, or what makes it one", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "a", session: "1868a90c-2f5b-4b8d-9a34-5d2b1f4c7e10" },
    { tool: "b", server: "orders", client: "cursor" },
  ]);
  const { sessions } = await mcptap.ask("{ sessions { nodes { id wireId source } } }");
  const { nodes } = sessions as { nodes: { id: string; wireId: string | null; source: string }[] };
  const idOf = (own: boolean) =>
    encodeURIComponent(nodes.find(({ wireId }) => (wireId !== null) === own)?.id ?? "");
  expect(nodes.map(({ source }) => source).sort()).toEqual(["CLIENT", "WIRE"]);
  await page.goto(`${mcptap.url}/?session=${idOf(true)}`);
  await page.getByRole("button", { name: "Remove Session 1868a90c…7e10" }).waitFor();
  await rows(page).first().getByText("a", { exact: true }).waitFor();
  await page.goto(`${mcptap.url}/?session=${idOf(false)}`);
  await page.getByRole("button", { name: "Remove Session Client activity" }).waitFor();
  await page.goto(`${mcptap.url}/?session=no-such-session-is-stored`);
  await page.getByRole("button", { name: "Remove Session no-such-…ored" }).waitFor();
  expect(pages.complaints).toEqual([]);
});
