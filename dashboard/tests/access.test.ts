import { expect, test } from "vitest";
import { axeSays, givenPages, openContext, overflow, rows } from "./pages";

const pages = givenPages();

async function report(): Promise<{ call: string; session: string }> {
  const { mcptap } = pages;
  await mcptap.reportAll([
    {
      tool: "forecast",
      status: 200,
      client: "claude-code",
      session: "s-1",
      country: "NL",
      ip: "2a02:898::1",
      agoMs: 5000,
    },
    {
      tool: "radar",
      status: 500,
      error: "no radar",
      session: "s-1",
      stack: "Error: no radar\n  at radar",
      request: '{"method":"tools/call","params":{"name":"radar"}}',
      response: '{"isError":true}',
      logs: [{ severity: "WARN", body: "no radar there" }],
    },
    { method: "initialize", session: "s-1", agoMs: 9000 },
  ]);
  const answer = await fetch(`${mcptap.url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ calls(first: 1) { nodes { id session { id } } } }" }),
  });
  const { data } = await answer.json();
  return { call: data.calls.nodes[0].id, session: data.calls.nodes[0].session.id };
}

test.each(["light", "dark"] as const)("no page has anything that axe objects to, %s", async (colorScheme) => {
  const { call, session } = await report();
  for (const width of [1280, 390]) {
    await openContext(pages, { width, colorScheme });
    const { page, mcptap } = pages;
    for (const [path, shows] of [
      ["/?outcome=TOOL_ERROR", "no radar"],
      [`/?call=${call}`, "no radar there"],
      [`/calls/${call}`, "no radar there"],
      ["/sessions", "Mcp-Session-Id"],
      [`/sessions/${session}`, "initialize"],
      ["/overview", "Most failing tools"],
      ["/servers", "weather"],
      ["/servers/weather", "3 calls"],
      ["/servers/weather?tab=tools", "Failing"],
      ["/setup", "Waiting for a call"],
      ["/keys", "No keys yet"],
      ["/?tool=nosuch", "No calls match"],
    ] as const) {
      await page.goto(`${mcptap.url}${path}`);
      await page.getByText(shows).first().waitFor();
      await page.waitForLoadState("networkidle").catch(() => undefined);
      expect(await axeSays(page), `${path} at ${width}`).toEqual([]);
      expect(await overflow(page), `${path} at ${width}`).toBeLessThanOrEqual(0);
    }
    expect(pages.complaints).toEqual([]);
  }
});

test.each(["light", "dark"] as const)("what opens is fine with axe too, %s", async (colorScheme) => {
  await report();
  await openContext(pages, { colorScheme });
  const { page, mcptap } = pages;
  await page.goto(mcptap.url);
  await page.getByText("3 calls", { exact: true }).waitFor();
  for (const name of [
    /^Server/,
    /^Time/,
    /^Duration/,
    /^Session/,
    /^Views/,
    /^Columns/,
    /^Settings/,
    /^Keyboard shortcuts/,
  ]) {
    await page.getByRole("button", { name }).click();
    await page.getByRole("dialog").waitFor();
    if (String(name) === String(/^Time/)) await page.getByRole("button", { name: "Apply" }).waitFor();
    // what pops up lies beside the landmarks
    expect(await axeSays(page, false), String(name)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  expect(pages.complaints).toEqual([]);
});

test("the keyboard goes everywhere, and keys can be turned off", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Go to Sessions").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  for (const [letter, path] of [
    ["s", "/sessions"],
    ["o", "/overview"],
    ["v", "/servers"],
    ["u", "/setup"],
    ["k", "/keys"],
    ["c", "/"],
  ] as const) {
    await page.keyboard.press("g");
    await page.keyboard.press(letter);
    await page.waitForURL(`${mcptap.url}${path}`);
  }
  await rows(page).first().waitFor();
  await page.keyboard.press("Shift+L");
  await expect.poll(() => page.getByRole("switch", { name: "Live" }).isChecked()).toBe(true);
  await page.keyboard.press("l");
  await expect.poll(() => page.getByRole("switch", { name: "Live" }).isChecked()).toBe(false);

  // typing is typing
  await page.keyboard.press("/");
  await page.keyboard.type("jl?");
  expect(await page.getByRole("searchbox", { name: "Search" }).inputValue()).toBe("jl?");
  expect(await page.getByRole("dialog").count()).toBe(0);

  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByText("Single-key shortcuts").click();
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  expect(await page.getByRole("dialog", { name: "Keyboard" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("the theme can be chosen, and stays", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/setup`);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Dark" }).click();
  await page.waitForFunction((before) => getComputedStyle(document.body).backgroundColor !== before, light);
  const dark = await ground();
  await page.reload();
  await page.getByRole("heading", { name: "Setup" }).waitFor();
  expect(await ground()).toBe(dark);
  expect(pages.complaints).toEqual([]);
});

test("axe has nothing against what tells of wrong input, and against the help of Setup", async () => {
  const { mcptap } = pages;
  await mcptap.announce({ tool: "slow", session: "s-1" });
  for (const colorScheme of ["light", "dark"] as const) {
    await openContext(pages, { colorScheme });
    const { page } = pages;
    await page.goto(`${mcptap.url}/setup`);
    await page.getByText("No data?").click();
    await page.getByText("Exports refused", { exact: true }).waitFor();
    expect(await axeSays(page)).toEqual([]);
    await page.goto(`${mcptap.url}/?q=((&min=5&max=2&status=abc`);
    await page.getByText("Ignored in the address").waitFor();
    expect(await axeSays(page)).toEqual([]);
    await page.goto(mcptap.url);
    await page.getByRole("button", { name: "Duration" }).click();
    await page.getByLabel("At least (ms)").fill("abc");
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("Write a number").waitFor();
    expect(await axeSays(page, false)).toEqual([]);
  }
});
