import { expect, test } from "vitest";
import { givenPages, rows, withoutLostConnections } from "./pages";

const pages = givenPages();

test("numbers that are old say how old they are and why, on every page, until they are not", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", session: "s-1" });
  const { calls } = await mcptap.ask("{ calls { nodes { id session { id } } } }");
  const [call] = (calls as { nodes: { id: string; session: { id: string } }[] }).nodes;
  await page.clock.install();
  const old = page.locator(".outdated");
  for (const [address, shows] of [
    ["/overview", page.getByRole("region", { name: "Top tools" }).getByText("forecast")],
    ["/sessions", page.getByRole("row", { name: /weather/ })],
    [`/sessions/${encodeURIComponent(call?.session.id ?? "")}`, page.getByText("forecast")],
    ["/servers", page.getByRole("row", { name: /weather/ })],
    ["/servers/weather?tab=tools", page.getByRole("row", { name: /forecast/ })],
  ] as const) {
    await page.goto(mcptap.url + address);
    await shows.first().waitFor();
    expect(await old.count(), address).toBe(0);
    await page.route("**/graphql", (route) => route.abort());
    await expect
      .poll(async () => {
        await page.clock.runFor(16_000);
        return old.count();
      })
      .toBe(1);
    await old.getByText("Not up to date. mcptap does not answer. Data as of").waitFor();
    expect(await old.textContent(), address).toMatch(/as of \d\d:\d\d:\d\d \(\d+ s ago\)/);
    expect(await shows.first().isVisible(), address).toBe(true);
    await page.unroute("**/graphql");
    await old.getByRole("button", { name: "Try again" }).click();
    await old.waitFor({ state: "detached" });
  }
  // what was answered for other filters is not what these have
  await page.goto(`${mcptap.url}/sessions`);
  await page.getByRole("row", { name: /weather/ }).waitFor();
  await page.route("**/graphql", (route) => route.abort());
  await page.getByRole("searchbox", { name: "Search" }).fill("radar");
  await page.clock.runFor(1_000);
  await page.getByRole("heading", { name: "mcptap does not answer" }).waitFor();
  expect(await page.getByRole("row", { name: /weather/ }).count()).toBe(0);
  expect(withoutLostConnections(pages.complaints).filter((words) => !words.includes("ERR_FAILED"))).toEqual(
    [],
  );
});

for (const live of ["", "?live=1"])
  test(`calls stay where Refresh is not answered, with how old they are and why${live && ", also with Live on"}`, async () => {
    const { page, mcptap } = pages;
    await mcptap.reportAll(["a", "b", "c"].map((tool) => ({ tool })));
    await page.goto(`${mcptap.url}/${live}`);
    await rows(page).nth(2).waitFor();
    if (live) await page.locator(".live-words").getByText("Live", { exact: true }).waitFor();
    await mcptap.terminate();
    await page.getByRole("button", { name: "Refresh" }).click();
    const old = page.locator(".outdated");
    await old.getByText("Not up to date. mcptap does not answer. Data as of").waitFor();
    expect(await rows(page).count()).toBe(3);
    expect(await page.getByRole("heading", { name: "mcptap does not answer" }).count()).toBe(0);
    // those of another question are none of this
    await page.getByRole("searchbox", { name: "Search" }).fill("radar");
    await page.getByRole("heading", { name: "mcptap does not answer" }).waitFor();
    expect(await rows(page).count()).toBe(0);
    await page.getByRole("button", { name: "Clear the search" }).click();
    await mcptap.launch();
    await rows(page).nth(2).waitFor();
    await page.getByRole("button", { name: "Refresh" }).click();
    await old.waitFor({ state: "detached" });
    expect(withoutLostConnections(pages.complaints)).toEqual([]);
  });

test("sessions and servers refresh themselves, with every page that is loaded", async () => {
  const { page, mcptap } = pages;
  const sessions = (count: number, name: string) =>
    Array.from({ length: count }, (_, index) => ({
      tool: "x",
      session: `${name}-${index}`,
      server: "weather",
      agoMs: index * 10,
    }));
  await mcptap.reportAll(sessions(60, "old"));
  await page.clock.install();
  await page.goto(`${mcptap.url}/sessions`);
  const lines = page.locator("tbody tr");
  await lines.nth(49).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await lines.nth(59).waitFor();
  await mcptap.reportAll(sessions(2, "new"));
  await page.clock.runFor(16_000);
  await expect.poll(() => lines.count()).toBe(62);

  await page.goto(`${mcptap.url}/servers`);
  await page.getByRole("row", { name: /weather/ }).waitFor();
  await mcptap.report({ server: "orders", tool: "x" });
  await page.clock.runFor(16_000);
  await page.getByRole("row", { name: /orders/ }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("later pages of a session stay when it is refreshed", async () => {
  const { page, mcptap } = pages;
  const session = "s-1";
  await mcptap.reportAll(
    Array.from({ length: 230 }, (_, index) => ({ tool: `tool_${index}`, session, agoMs: 60_000 - index })),
  );
  const { sessions } = await mcptap.ask("{ sessions { nodes { id } } }");
  const [{ id } = { id: "" }] = (sessions as { nodes: { id: string }[] }).nodes;
  await page.clock.install();
  await page.goto(`${mcptap.url}/sessions/${encodeURIComponent(id)}`);
  const moments = page.locator(".moment");
  await moments.nth(199).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await moments.nth(229).waitFor();
  await mcptap.report({ tool: "latest", session });
  const asked = page.waitForResponse((answer) =>
    Boolean(answer.request().postData()?.includes("query SessionDetail")),
  );
  await page.clock.runFor(16_000);
  await asked;
  await expect.poll(() => moments.count()).toBe(231);
  expect(pages.complaints).toEqual([]);
});

test("a list that ends now lets calls go when they leave its range, while Live is on", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "leaving", agoMs: 15 * 60_000 - 15_000 },
    { tool: "staying", agoMs: 60_000 },
  ]);
  await page.clock.install();
  await page.goto(`${mcptap.url}/?range=15m&live=1`);
  await rows(page).nth(1).waitFor();
  await page.getByText("2 calls", { exact: true }).waitFor();
  // the clock of mcptap decides, so it is waited for
  await expect
    .poll(() => rows(page).allTextContents(), { timeout: 30_000 })
    .toEqual([expect.stringContaining("staying")]);
  await page.getByRole("switch", { name: "Live" }).focus();
  await page.keyboard.press("Space");
  await page.clock.runFor(20 * 60_000);
  expect(await rows(page).count()).toBe(1);
  expect(pages.complaints).toEqual([]);
});

test("servers and tools come a page at a time, and say where they are cut", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 230 }, (_, index) => ({ server: `server-${1000 + index}`, tool: "x" })),
  );
  await page.goto(`${mcptap.url}/servers`);
  await page.getByText("First 200 servers").waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByText("230 servers", { exact: true }).waitFor();
  await page.getByRole("link", { name: "server-1229" }).waitFor();
  expect(await page.getByRole("button", { name: "Load more" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a list that nobody asks for again says of when it is", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.clock.install();
  await page.goto(mcptap.url);
  await page.getByText("1 call", { exact: true }).waitFor();
  expect(await page.getByText("as of").count()).toBe(0);
  await page.clock.runFor(62_000);
  await page.getByText(/^as of \d\d:\d\d:\d\d \(1 min ago\)$/).waitFor();
  await page.clock.fastForward("26:00:00");
  await page.getByText(/^as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(1 day ago\)$/).waitFor();
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText("as of").waitFor({ state: "detached" });
  expect(pages.complaints).toEqual([]);
});
