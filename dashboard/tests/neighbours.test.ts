import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();
const dialog = () => pages.page.getByRole("dialog", { name: "Call" });
const tool = () => pages.page.locator(".fields-list .code").filter({ hasText: /^tool_\d+$/ });
const shows = (name: string) => expect.poll(() => tool().allTextContents()).toEqual([name]);

async function idOf(name: string): Promise<string> {
  const { calls } = await pages.mcptap.ask(`{ calls(filter: { tools: ["${name}"] }) { nodes { id } } }`);
  return (calls as { nodes: { id: string }[] }).nodes[0]?.id ?? "";
}

/** Twenty calls, the latest first, and between them others that are no tool's. */
const mixed = () =>
  Array.from({ length: 20 }, (_, index) => [
    { tool: `tool_${index}`, agoMs: 60_000 + index * 100, durationMs: 1 },
    { method: "ping", agoMs: 60_050 + index * 100, durationMs: 1 },
  ]).flat();

test("next and previous of a shared link go on from its call, in the list that the link names", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(mixed());
  const id = encodeURIComponent(await idOf("tool_15"));
  await page.goto(`${mcptap.url}/?method=tools%2Fcall&call=${id}`);
  await shows("tool_15");
  const next = dialog().getByRole("button", { name: "Next call (older)" });
  await expect.poll(() => next.isEnabled()).toBe(true);
  await page.keyboard.press("j");
  await shows("tool_16");
  await expect.poll(() => next.isEnabled()).toBe(true);
  await page.keyboard.press("k");
  await shows("tool_15");
  expect(page.url()).toContain("method=tools%2Fcall");
  expect(pages.complaints).toEqual([]);
});

test("a call as a page keeps the list that it was opened from", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(mixed());
  await page.goto(`${mcptap.url}/?method=tools%2Fcall&live=1`);
  await rows(page).getByText("tool_4", { exact: true }).click();
  await dialog().getByRole("link", { name: "Open as page" }).click();
  await expectAddress(page, /\/calls\/.*method=tools%2Fcall/);
  await shows("tool_4");
  await page.getByRole("link", { name: /Older/ }).click();
  await shows("tool_5");
  await page.getByRole("link", { name: /Newer/ }).waitFor();
  await page.keyboard.press("k");
  await shows("tool_4");
  await page.reload();
  await page.getByRole("link", { name: /Newer/ }).click();
  await shows("tool_3");
  await page.getByRole("link", { name: "Back to the list" }).click();
  await expectAddress(page, /\/\?(?=.*method=tools%2Fcall)(?=.*live=1)/);
  await rows(page).getByText("tool_4", { exact: true }).waitFor();
  expect(await rows(page).getByText("ping").count()).toBe(0);

  // from a server's page it is the list of that server
  await page.goto(`${mcptap.url}/servers/weather?method=tools%2Fcall`);
  const href = await rows(page).first().getByRole("link").getAttribute("href");
  expect(href).toMatch(/^\/calls\/[^?]+\?(?=.*server=weather)(?=.*method=tools%2Fcall)/);
  expect(pages.complaints).toEqual([]);
});

test("no call is skipped where several began at the same moment", async () => {
  const { page, mcptap } = pages;
  const now = Date.now();
  // biome-ignore lint/complexity/useLiteralKeys: the ports are nobody else's business
  const traces = `http://127.0.0.1:${mcptap["ports"].http}/v1/traces`;
  const at = `${BigInt(now - 60_000) * 1_000_000n + 123n}`;
  const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } });
  const spans = Array.from({ length: 130 }, (_, index) => ({
    traceId: (index + 1).toString(16).padStart(32, "0"),
    spanId: (index + 1).toString(16).padStart(16, "0"),
    name: "tools/call",
    kind: 2,
    startTimeUnixNano: at,
    endTimeUnixNano: at,
    attributes: [attribute("mcp.method.name", "tools/call"), attribute("gen_ai.tool.name", `tool_${index}`)],
  }));
  const scopeSpans = [{ scope: { name: "test" }, spans }];
  const body = JSON.stringify({ resourceSpans: [{ resource: { attributes: [] }, scopeSpans }] });
  const headers = { "content-type": "application/json" };
  expect((await fetch(traces, { method: "POST", headers, body })).status).toBe(200);
  const { calls } = await mcptap.ask("{ calls(first: 200) { nodes { id tool } } }");
  const order = (calls as { nodes: { id: string; tool: string }[] }).nodes;
  expect(order.length).toBe(130);
  for (const place of [10, 64, 128]) {
    const [newer, one, older] = order.slice(place - 1, place + 2);
    await page.goto(`${mcptap.url}/calls/${encodeURIComponent(one?.id ?? "")}`);
    await shows(one?.tool ?? "");
    await page.getByRole("link", { name: /Older/ }).click();
    await shows(older?.tool ?? "");
    await page.getByRole("link", { name: /Newer/ }).click();
    await shows(one?.tool ?? "");
    await page.getByRole("link", { name: /Newer/ }).click();
    await shows(newer?.tool ?? "");
  }
  expect(pages.complaints).toEqual([]);
});

test("a call of a session that is not loaded yet has its neighbours there", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 230 }, (_, index) => ({
      ...{ tool: `tool_${index}`, session: "s-1", agoMs: 60_000 - index, durationMs: 0.5 },
    })),
  );
  const { sessions } = await mcptap.ask("{ sessions { nodes { id } } }");
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;
  const id = encodeURIComponent(await idOf("tool_220"));
  await page.goto(`${mcptap.url}/sessions/${encodeURIComponent(session?.id ?? "")}?call=${id}`);
  await shows("tool_220");
  await expect.poll(() => dialog().getByRole("button", { name: "Next call (older)" }).isEnabled()).toBe(true);
  await page.keyboard.press("j");
  await shows("tool_221");
  expect(pages.complaints).toEqual([]);
});

test("steps that are asked for before the neighbours are known are made when they are", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(mixed());
  let letGo = () => {};
  let held = Promise.resolve();
  const hold = () => {
    held = new Promise((resolve) => {
      letGo = resolve;
    });
  };
  await page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes("query CallTime")) await held;
    await route.continue();
  });
  await page.goto(`${mcptap.url}/?method=tools%2Fcall`);
  await rows(page).getByText("tool_4", { exact: true }).click();
  hold();
  await dialog().getByRole("link", { name: "Open as page" }).click();
  await expectAddress(page, /\/calls\/.*method=tools%2Fcall/);
  for (const key of "jj") await page.keyboard.press(key);
  await page.getByRole("heading", { name: "tools/call tool_4", level: 1 }).waitFor();
  letGo();
  await shows("tool_6");
  // and a call of a shared link beside its list
  hold();
  await page.goto(`${mcptap.url}/?method=tools%2Fcall&call=${encodeURIComponent(await idOf("tool_15"))}`);
  await shows("tool_15");
  for (const key of "jjk") await page.keyboard.press(key);
  letGo();
  await shows("tool_16");
  expect(pages.complaints).toEqual([]);
});

test("a session's drawer leaves the focus at the call that it showed last", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    [0, 1, 2].map((index) => ({
      tool: `tool_${index}`,
      session: "s",
      client: "cursor",
      agoMs: 9000 - index,
    })),
  );
  const { sessions } = await mcptap.ask("{ sessions(first: 1) { nodes { id } } }");
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;
  await page.goto(`${mcptap.url}/sessions/${encodeURIComponent(session?.id ?? "")}`);
  await page.getByRole("heading", { name: "Session of cursor with weather", level: 1 }).waitFor();
  const lines = page.locator(".moment");
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  await lines.first().focus();
  await page.keyboard.press("Enter");
  await shows("tool_0");
  await page.keyboard.press("j");
  await shows("tool_1");
  await page.keyboard.press("Escape");
  await expect.poll(focused).toContain("tool_1");
  // however it is closed
  await page.keyboard.press("Enter");
  await shows("tool_1");
  await page.keyboard.press("j");
  await shows("tool_2");
  await page.goBack();
  await dialog().waitFor({ state: "detached" });
  await expect.poll(focused).toContain("tool_2");
  expect(pages.complaints).toEqual([]);
});
