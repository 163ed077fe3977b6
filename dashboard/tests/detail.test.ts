import { expect, test } from "vitest";
import { axeSays, expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();
const dialog = () => pages.page.getByRole("dialog", { name: "Call" });

test("a row opens in a drawer with every field, and at an address of its own", async () => {
  const { page, mcptap } = pages;
  await pages.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await mcptap.report({
    tool: "forecast",
    status: 500,
    session: "685e8ec7-fc20-4daa-8d66-40b0ec0eb150",
    client: "claude-code",
    ip: "2a02:898:0:20::1",
    country: "NL",
    authorization: "Bearer abcdefghijklmnop",
    error: "no such city",
    stack: "Error: no such city\n    at forecast (weather.js:7:9)",
    request:
      '{"method":"tools/call","params":{"name":"forecast","arguments":{"city":"Utrecht","big":12345678901234567890}}}',
    response: '{"content":[{"type":"text","text":"{\\"celsius\\":12}"}],"isError":true}',
    logs: [
      { severity: "INFO", body: "looking up Utrecht" },
      { severity: "ERROR", body: "not on the map" },
    ],
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  await expectAddress(page, /\?call=/);
  await dialog().getByText("looking up Utrecht").waitFor();
  const field = (label: string) =>
    dialog()
      .locator("dl > div")
      .filter({ has: page.getByText(label, { exact: true }) })
      .locator("dd");
  expect(await field("Status").textContent()).toMatch(/500.*Tool error/);
  expect(await field("Method").textContent()).toBe("tools/call");
  expect(await field("Tool").textContent()).toBe("forecast");
  expect(await field("Server").textContent()).toContain("weather");
  expect(await field("Session").textContent()).toContain("685e8ec7…b150");
  expect(await field("Country").textContent()).toMatch(/NL.*Netherlands/);
  expect(await field("IP address").textContent()).toBe("2a02:898:0:20::1");
  expect(await field("Authorization").textContent()).toBe("Bearer abc…");
  expect(await field("Time").textContent()).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}/);
  expect(await field("Duration").textContent()).toBe("42 ms");

  const error = dialog().getByRole("region", { name: "Error" });
  await error.getByText("weather.js:7:9").waitFor();
  const lines = dialog().getByRole("region", { name: "Console output" }).getByRole("listitem");
  expect(await lines.allTextContents()).toEqual([
    expect.stringMatching(/INFO.*looking up Utrecht/),
    expect.stringMatching(/ERROR.*not on the map/),
  ]);

  const request = dialog().getByRole("region", { name: "Request" });
  await request.getByText("12345678901234567890").waitFor();
  await request.getByRole("button", { name: "Copy as JSON-RPC" }).click();
  await page.getByText("Copied").first().waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toMatch(/^\{"jsonrpc":"2\.0","id":.*12345678901234567890/);
  await request.getByRole("button", { name: "Copy as curl" }).click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith("curl -sS"));

  await dialog().getByRole("link", { name: "Open as page" }).click();
  await expectAddress(page, /\/calls\/[^/?]+$/);
  await page.reload();
  await page.getByText("looking up Utrecht").waitFor();
  await page
    .getByRole("region", { name: "Fields" })
    .getByRole("link", { name: "open", exact: true })
    .nth(1)
    .click();
  await expectAddress(page, /\/sessions\/[^/?]+$/);
  expect(pages.complaints).toEqual([]);
});

test("JSON folds, is searched, and shows JSON inside of texts; raw shows it as it came", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({
    tool: "stats",
    response:
      '{"content":[{"type":"text","text":"{\\"stars\\":3421,\\"language\\":\\"Python\\"}"}],  "ratio":1.0}',
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const response = dialog().getByRole("region", { name: "Response" });
  await response.getByRole("button", { name: "Expand text" }).click();
  await response.getByText("3421").waitFor();
  await response.getByRole("button", { name: "Collapse content" }).click();
  expect(await response.getByText("3421").count()).toBe(0);
  await response.getByRole("searchbox").fill("pyth");
  await response.getByText("1 found").waitFor();
  await response.locator(".hit").getByText("Python").waitFor();
  await response.getByRole("button", { name: "Raw" }).click();
  expect(await response.locator("pre").allTextContents()).toEqual([
    '{"content":[{"type":"text","text":"{\\"stars\\":3421,\\"language\\":\\"Python\\"}"}],  "ratio":1.0}',
  ]);
  expect(pages.complaints).toEqual([]);
});

test("truncated, redacted, not captured and empty are four sights", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    {
      tool: "cut",
      request: '{"method":"tools/call","params":{"a":"bcd',
      response: '{"content":[{"te',
      responseSize: 5_000_000,
      agoMs: 40,
    },
    { tool: "secret", response: '{"password":"hunter2","rows":[]}', agoMs: 30 },
    { tool: "bare", agoMs: 20 },
    { tool: "empty", response: "{}", agoMs: 10 },
  ]);
  await page.goto(mcptap.url);
  const seen = new Map<string, string>();
  for (const tool of ["cut", "secret", "bare", "empty"]) {
    await rows(page).filter({ hasText: tool }).click();
    await dialog().getByRole("region", { name: "Response" }).waitFor();
    const response = dialog().getByRole("region", { name: "Response" });
    const sight = response.locator(".sight").first();
    await sight.waitFor();
    seen.set(tool, `${await sight.getAttribute("class")}: ${await sight.textContent()}`);
    // what nobody captured, or only in part, is not there to be copied
    const copy = dialog()
      .getByRole("region", { name: "Request" })
      .getByRole("button", { name: "Copy as curl" });
    expect(await copy.count(), tool).toBe(0);
    if (tool === "cut") await response.getByRole("button", { name: "Load what was kept" }).click();
    if (tool === "cut") await response.getByText("truncated").first().waitFor();
    if (tool === "secret") expect(await response.textContent()).not.toContain("hunter2");
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
  }
  expect(seen.get("cut")).toMatch(/cut: Truncated\. The response had 5\.0 MB/);
  expect(seen.get("secret")).toMatch(/redacted: Redacted\./);
  expect(seen.get("bare")).toMatch(/missing: Not captured\./);
  expect(seen.get("empty")).toMatch(/empty: Empty\./);
  expect(pages.complaints).toEqual([]);
});

test("a large body is loaded on demand, and only the lines in sight are in the page", async () => {
  const { page, mcptap } = pages;
  const items = Array.from({ length: 20_000 }, (_, index) => ({ id: index, name: `item ${index}` }));
  await mcptap.report({ tool: "dump", response: JSON.stringify({ items }) });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const response = dialog().getByRole("region", { name: "Response" });
  await response.getByRole("button", { name: /^Load \d+\.\d kB$/ }).click();
  await response.getByText("items:").waitFor();
  expect(await response.locator(".line").count()).toBeLessThan(150);
  await response.getByRole("searchbox").fill("item 19999");
  await response.getByText("1 found").waitFor();
  await response.getByRole("button", { name: "Raw" }).click();
  expect(await response.locator("pre").count()).toBeLessThan(150);
  expect(pages.complaints).toEqual([]);
});

test("a body whose call is gone is said to be stored no longer, and is not copied as nothing", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "small", response: '{"a":1}', agoMs: 10 },
    { tool: "large", response: JSON.stringify({ text: "x".repeat(150_000) }) },
  ]);
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query CallBody")
      ? route.fulfill({ json: { data: { call: null } } })
      : route.fallback(),
  );
  await page.goto(mcptap.url);
  for (const tool of ["small", "large"]) {
    await rows(page).filter({ hasText: tool }).click();
    const response = dialog().getByRole("region", { name: "Response" });
    await response.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Not copied: the response is no longer stored").last().waitFor();
    if (tool === "large") await response.getByRole("button", { name: /^Load / }).click();
    await response.getByText("No longer stored.").waitFor();
    expect(await response.getByText("Empty.").count()).toBe(0);
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
  }
  expect(pages.complaints).toEqual([]);
});

test("j and k walk from call to call, in the list, in the drawer and on the page", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 12 }, (_, index) => ({ tool: `tool_${index}`, agoMs: 1200 - index * 100 })),
  );
  await page.goto(mcptap.url);
  await rows(page).nth(9).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.waitForFunction(() =>
    document.activeElement?.closest("[role=row]")?.textContent?.includes("tool_10"),
  );
  await page.keyboard.press("Enter");
  const tool = () =>
    dialog()
      .locator("dl")
      .getByText(/^tool_\d+$/);
  await dialog().locator("dl").getByText("tool_10", { exact: true }).waitFor();
  await page.keyboard.press("j");
  await dialog().locator("dl").getByText("tool_9", { exact: true }).waitFor();
  await page.keyboard.press("k");
  await page.keyboard.press("k");
  await dialog().locator("dl").getByText("tool_11", { exact: true }).waitFor();
  expect(await dialog().getByRole("button", { name: "Previous call (newer)" }).isDisabled()).toBe(true);
  expect(await tool().count()).toBe(1);
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await expectAddress(page, /\/$/);

  await rows(page).nth(5).getByRole("link").click();
  await dialog().getByRole("link", { name: "Open as page" }).click();
  await page.getByRole("region", { name: "Fields" }).getByText("tool_6", { exact: true }).waitFor();
  await page.getByRole("link", { name: /Older/ }).waitFor();
  await page.keyboard.press("j");
  await page.getByRole("region", { name: "Fields" }).getByText("tool_5", { exact: true }).waitFor();
  await page.getByRole("link", { name: /Newer/ }).waitFor();
  await page.keyboard.press("k");
  await page.getByRole("region", { name: "Fields" }).getByText("tool_6", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("console output of a pipe is one row a line, read by keyboard too", async () => {
  const { page, mcptap } = pages;
  const attributes = { stream: "stderr" };
  await mcptap.report({
    tool: "boom",
    logs: [
      ...Array.from({ length: 60 }, (_, index) => ({ severity: "INFO", body: `frame ${index}`, attributes })),
      { severity: "WARN", body: "careful", attributes: { logger: "shop" } },
    ],
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const output = dialog().getByRole("region", { name: "Console output" });
  await output.getByText("frame 59").waitFor();
  const lines = output.getByRole("listitem");
  expect(await lines.first().textContent()).toMatch(/\d\d:\d\d:\d\d\.\d{3}stderrframe 0$/);
  expect(await lines.last().textContent()).toMatch(/WARNcareful \{"logger":"shop"\}$/);
  expect(await axeSays(page, false)).toEqual([]);
  expect(pages.complaints).toEqual([]);
});

test("a call over a pipe is not offered as a command of HTTP", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "piped", transport: "pipe", request: '{"method":"tools/call"}' });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const request = dialog().getByRole("region", { name: "Request" });
  await request.getByRole("button", { name: "Copy as JSON-RPC" }).waitFor();
  expect(await request.getByRole("button", { name: "Copy as curl" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a body that could not be loaded is loaded when it is tried again", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", response: '{"celsius":12}' });
  let failed = 0;
  await page.route("**/graphql", async (route) => {
    if (failed === 0 && route.request().postData()?.includes("query CallBody")) {
      failed++;
      await route.fulfill({ json: { errors: [{ message: "broken" }] } });
    } else await route.continue();
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const response = dialog().getByRole("region", { name: "Response" });
  await response.getByText("Not loaded.").waitFor();
  await response.getByRole("button", { name: "Try again" }).click();
  await response.getByText("12", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a request of which only the beginning was kept is not offered for copying as another", async () => {
  const { page, mcptap } = pages;
  const copies = page.getByRole("button", { name: /Copy as/ });
  await mcptap.reportAll([
    { tool: "whole", status: 200, request: '{"arguments":{"city":"Utrecht"}}' },
    { tool: "cut", status: 200, request: `{"arguments":{"city":"${"x".repeat(3_000_000)}"}}` },
    { tool: "unseen", status: 200 },
  ]);
  for (const [tool, offered] of [
    ["whole", 2],
    ["cut", 0],
    ["unseen", 0],
  ] as const) {
    await page.goto(`${mcptap.url}/?tool=${tool}`);
    await rows(page).first().click();
    await dialog().getByRole("region", { name: "Request" }).waitFor();
    if (tool === "cut") await dialog().getByText("Truncated.").waitFor();
    expect(await copies.count(), tool).toBe(offered);
  }
  expect(pages.complaints).toEqual([]);
});
