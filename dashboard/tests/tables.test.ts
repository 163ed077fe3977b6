import { expect, test } from "vitest";
import { axeSays, expectAddress, givenPages, openContext, overflow, rows, withKey } from "./pages";

const pages = givenPages();
const names = (table: string) =>
  pages.page.getByRole("table", { name: table }).locator("tbody tr td:first-child").allTextContents();

test("servers and tools are found by name, also those that are not loaded, and sorted by their figures", async () => {
  const { page, mcptap } = pages;
  const three = (index: number) => String(index).padStart(3, "0");
  await mcptap.reportAll([
    ...Array.from({ length: 450 }, (_, index) => ({ server: `server-${three(index)}`, agoMs: index })),
    ...Array.from({ length: 450 }, (_, index) => ({
      server: "many",
      tool: `tool_${three(index)}`,
      agoMs: index,
    })),
    ...Array.from({ length: 3 }, (_, index) => ({
      server: "many",
      tool: "tool_444",
      error: "no",
      agoMs: index,
    })),
  ]);
  for (const [path, table, field, last, first, sorted] of [
    ["/servers", "Servers", "Find a server", "server-449", "many", "name, calls, errors"],
    [
      "/servers/many?tab=tools",
      "Tools",
      "Find a tool",
      "tool_449",
      "tool_444",
      "name, calls, errors, p50, p95, p99",
    ],
  ] as const) {
    await page.goto(mcptap.url + path);
    await page.getByRole("table", { name: table }).waitFor();
    await page.getByRole("searchbox", { name: field }).fill("449");
    await expect.poll(() => names(table), { message: path }).toEqual([last]);
    await page.getByRole("searchbox", { name: field }).fill("nothing like it");
    await page.getByText(/^No (servers|tools) match\.$/).waitFor();
    await page.getByRole("button", { name: "Clear the search" }).click();
    const calls = page.getByRole("columnheader", { name: "Calls" });
    await calls.getByRole("button").click();
    await expect.poll(async () => (await names(table))[0], { message: path }).toBe(first);
    await expect.poll(() => calls.getAttribute("aria-sort")).toBe("descending");
    await calls.getByRole("button").click();
    await expect.poll(() => calls.getAttribute("aria-sort")).toBe("ascending");
    // the address keeps it
    await expectAddress(page, /sort=calls/);
    await page.reload();
    await page.getByRole("table", { name: table }).waitFor();
    await expect.poll(() => calls.getAttribute("aria-sort")).toBe("ascending");
    // and going back undoes it
    await page.goBack();
    await expect.poll(() => calls.getAttribute("aria-sort")).toBe("descending");
    await page.getByRole("searchbox", { name: field }).fill("449");
    await expectAddress(page, /find=449/);
    await page.reload();
    await expect.poll(() => names(table), { message: path, timeout: 20_000 }).toEqual([last]);
    // what is no order is said to be none
    await page.goto(`${mcptap.url}${path}${path.includes("?") ? "&" : "?"}sort=foo`);
    await page.getByText(`sort=foo (expected ${sorted}; prefix with - for descending)`).waitFor();
    // on a narrow screen, too
    await page.setViewportSize({ width: 390, height: 844 });
    await calls.getByRole("button").click();
    await expect.poll(async () => (await names(table))[0], { message: path }).toBe(first);
    const box = await calls.getByRole("button").boundingBox();
    expect(box && box.width > 20 && box.height > 10).toBe(true);
    await page.setViewportSize({ width: 1280, height: 900 });
  }
  await page.getByText("Failing: error rate ≥ 10%. Some errors: below 10%.").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("the list of a server does not name it in each row, and its tab is called as the list is", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(`${mcptap.url}/servers/weather`);
  await rows(page).first().waitFor();
  expect(await page.getByRole("columnheader").allTextContents()).not.toContain("Server");
  await page
    .getByRole("navigation", { name: "Server weather" })
    .getByRole("link", { name: "Calls", exact: true })
    .waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a call is named where it is open: in the drawer, its dialog, its page and the tab", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "older", agoMs: 2000 }, { tool: "newer" }]);
  await page.goto(mcptap.url);
  await rows(page).first().getByRole("link").click();
  await page.getByRole("dialog", { name: "Call: tools/call newer" }).waitFor();
  await page.getByRole("heading", { name: "tools/call newer" }).waitFor();
  await expect.poll(() => page.title()).toBe("tools/call newer · mcptap");
  await page.keyboard.press("j");
  await page.getByRole("dialog", { name: "Call: tools/call older" }).waitFor();
  await expect.poll(() => page.title()).toBe("tools/call older · mcptap");
  await page.getByRole("link", { name: "Open as page" }).click();
  await page.getByRole("heading", { level: 1, name: "tools/call older" }).waitFor();
  await page.goBack();
  await page.keyboard.press("Escape");
  await expect.poll(() => page.title()).toBe("Calls · mcptap");
  expect(pages.complaints).toEqual([]);
});

test("what opens keeps to a narrow window", async () => {
  await openContext(pages, { width: 320 });
  const { page, mcptap } = pages;
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Settings" }).click();
  const dialog = page.getByRole("dialog", { name: "Settings" });
  const beyond = await dialog.evaluate((menu) => {
    const edge = menu.getBoundingClientRect().right - Number.parseFloat(getComputedStyle(menu).paddingRight);
    return [...menu.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > edge + 1,
    ).length;
  });
  expect(beyond).toBe(0);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
});

test("a key that only administers reads how to set a server up", async () => {
  const { page, mcptap } = pages;
  await withKey(pages, await mcptap.createKey("root", "admin"));
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("Your key cannot read calls").waitFor();
  await page.getByRole("button", { name: "OpenTelemetry Collector" }).click();
  await page.getByText("otlp_http/mcptap:").first().waitFor();
  await page.goto(mcptap.url);
  await page.getByRole("main").getByRole("link", { name: "Setup" }).click();
  await page.getByRole("heading", { name: "Setup" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("what the list was searched for is found in the call that was opened", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({
    tool: "track",
    request: '{"params":{"arguments":{"number":"42","carrier":"pigeon"}}}',
    response: '{"content":[{"type":"text","text":"on its way"}]}',
  });
  await page.goto(`${mcptap.url}/?q=carrier`);
  await rows(page).first().getByRole("link").click();
  const request = page.getByRole("dialog").getByRole("region", { name: "Request" });
  await request.locator(".line.hit").getByText("pigeon").waitFor();
  expect(await request.getByRole("searchbox").inputValue()).toBe("carrier");
  // where the word is not, nothing is searched for
  const response = page.getByRole("dialog").getByRole("region", { name: "Response" });
  await response.getByText("on its way").waitFor();
  expect(await response.getByRole("searchbox").inputValue()).toBe("");
  // words that stand apart are found each
  await page.goto(`${mcptap.url}/?q=pigeon+42`);
  await rows(page).first().getByRole("link").click();
  await expect.poll(() => request.locator(".line.hit").count()).toBe(2);
  expect(pages.complaints).toEqual([]);
});

test("more servers that do not come say why, and a click with Control opens a call in a tab of its own", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(Array.from({ length: 210 }, (_, index) => ({ tool: "a", server: `s-${index}` })));
  await page.goto(`${mcptap.url}/servers`);
  await page.getByRole("table", { name: "Servers" }).waitFor();
  await page.route("**/graphql", (route) =>
    route.fulfill({ status: 503, body: '{"errors":[{"message":"the memory budget is full"}]}' }),
  );
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByText("Could not load more servers: the memory budget is full").waitFor();
  await page.unroute("**/graphql");

  await page.goto(mcptap.url);
  const row = rows(page).first();
  const opens = pages.context.waitForEvent("page");
  await row.locator(".cell.time").click({ modifiers: ["Control"] });
  const href = await row.getByRole("link").getAttribute("href");
  await (await opens).waitForURL(`${mcptap.url}${href}`);
  await expectAddress(page, /\/$/);
});

test("at 320 pixels the links of a table are as far apart as fingers need", async () => {
  const { mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 32 }, (_, index) => ({
      ...{ tool: ["forecast", "radar"][index % 2] ?? "", session: `s-${index % 3}`, durationMs: 300 + index },
      ...(index % 5 < 2 ? { error: "no" } : {}),
    })),
  );
  await openContext(pages, { width: 320 });
  const { page } = pages;
  for (const [address, table] of [
    ["/servers/weather?tab=tools", "Tools"],
    ["/servers", "Servers"],
    ["/sessions", "Sessions"],
  ] as const) {
    await page.goto(mcptap.url + address);
    await page.getByRole("table", { name: table }).getByRole("link").first().waitFor();
    expect(await axeSays(page), address).toEqual([]);
  }
  expect(pages.complaints).toEqual([]);
});

test("a call that is in no session is no reason to say that none is stored", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "alone" });
  await page.goto(`${mcptap.url}/sessions`);
  await page
    .getByText("Calls with a session ID, connection, trace or client in common appear here.")
    .waitFor();
  expect(await page.getByText("yet").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});
