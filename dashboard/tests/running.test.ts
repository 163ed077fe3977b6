import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { givenPages, rows, withoutLostConnections } from "./pages";

const pages = givenPages();
const dialog = () => pages.page.getByRole("dialog", { name: "Call" });
const slow = { tool: "slow", session: "s-1", durationMs: 5000, request: '{"method":"tools/call"}' };

/** The status in the list of a call's fields. */
const status = (page: Page) =>
  page
    .getByRole("region", { name: "Fields" })
    .locator("dl > div")
    .filter({ has: page.getByText("Status", { exact: true }) })
    .locator("dd");

test("a call that runs shows its end, its answer and its output wherever it is open", async () => {
  const { page, mcptap, context } = pages;
  const span = await mcptap.announce(slow);
  await page.goto(mcptap.url);
  await rows(page).getByText("Running").waitFor();
  await rows(page).first().click();
  await dialog().getByText("No response yet.").waitFor();
  await dialog().getByText("No log lines yet").waitFor();
  const id = new URL(page.url()).searchParams.get("call") ?? "";

  const alone = await context.newPage();
  await alone.goto(`${mcptap.url}/calls/${encodeURIComponent(id)}`);
  await status(alone).getByText("Running").waitFor();
  const { call } = await mcptap.ask("query ($id: ID!) { call(id: $id) { session { id } } }", { id });
  const session = await context.newPage();
  const { id: sessionId } = (call as { session: { id: string } }).session;
  await session.goto(`${mcptap.url}/sessions/${encodeURIComponent(sessionId)}`);
  await session.getByRole("listitem").getByText("Running").waitFor();

  const logs = [{ severity: "INFO", body: "done at last" }];
  await mcptap.report({ ...slow, span, response: '{"content":["it was slow"]}', logs });
  for (const opened of [page, alone]) {
    await opened.bringToFront();
    await status(opened).getByText("OK").waitFor();
    await opened.getByRole("region", { name: "Response" }).getByText("it was slow").waitFor();
    await opened.getByRole("region", { name: "Console output" }).getByText("done at last").waitFor();
  }
  await session.bringToFront();
  await session.getByRole("listitem").getByText("OK").waitFor();
  // the list behind the drawer, although Live is off
  await page.bringToFront();
  await page.keyboard.press("Escape");
  await rows(page).getByText("OK").waitFor();
  expect(await rows(page).getByText("Running").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a call that runs is asked for once: where it is open, or by the list behind it", async () => {
  const { page, mcptap } = pages;
  const span = await mcptap.announce(slow);
  const asked = { detail: 0, list: 0 };
  await page.route("**/graphql", async (route) => {
    const text = route.request().postData() ?? "";
    if (text.includes("query CallDetail")) asked.detail++;
    if (text.includes("query RunningCalls")) asked.list++;
    await route.continue();
  });
  const { sessions } = await mcptap.ask("{ sessions { nodes { id } } }");
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;
  for (const [address, line] of [
    [
      `/sessions/${encodeURIComponent(session?.id ?? "")}`,
      page.getByRole("listitem").filter({ hasText: "slow" }),
    ],
    ["/", rows(page).first()],
  ] as const) {
    await page.goto(`${mcptap.url}${address}`);
    await line.getByText("Running").waitFor();
    await expect.poll(() => asked.list, { timeout: 15_000 }).toBeGreaterThan(0);
    await line.click();
    await dialog().getByText("Sender last seen").waitFor();
    const before = { ...asked };
    await expect.poll(() => asked.detail, { timeout: 30_000 }).toBeGreaterThan(before.detail + 3);
    expect(asked.list, address).toBe(before.list);
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await expect.poll(() => asked.list, { timeout: 15_000 }).toBeGreaterThan(before.list);
  }
  // what the open call finds, the list behind it shows
  await rows(page).first().click();
  await dialog().getByText("Sender last seen").waitFor();
  await mcptap.report({ ...slow, span });
  await status(page).getByText("OK").waitFor();
  expect(await dialog().getByText("Sender last seen").count()).toBe(0);
  await rows(page).getByText("OK").waitFor({ state: "attached" });
  expect(pages.complaints).toEqual([]);
});

test("r asks again for the call that is open, in the drawer and on its page", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  let asked = 0;
  await page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes("query CallDetail")) asked++;
    await route.continue();
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  await status(page).getByText("OK").waitFor();
  await page.keyboard.press("r");
  await expect.poll(() => asked).toBe(2);
  await dialog().getByRole("link", { name: "Open as page" }).click();
  await page.waitForURL(/\/calls\//);
  await status(page).getByText("OK").waitFor();
  const before = asked;
  await page.keyboard.press("r");
  await expect.poll(() => asked).toBeGreaterThan(before);
  expect(pages.complaints).toEqual([]);
});

test("a call that was lost says what that is, and that no answer was seen", async () => {
  const { page, mcptap } = pages;
  await mcptap.announce(slow);
  await page.route("**/graphql", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replaceAll('"RUNNING"', '"LOST"') });
  });
  await page.goto(mcptap.url);
  await rows(page).first().click();
  await dialog().getByText("No response recorded.").waitFor();
  await dialog()
    .getByRole("region", { name: "Fields" })
    .getByText("its process sent no heartbeat for a minute")
    .waitFor();
  // nobody knows which of the two it was, and it is said alike wherever it is said
  const response = await dialog().getByRole("region", { name: "Response" }).textContent();
  expect(response).toContain("or reported the call as ended and the result never arrived");
  expect(response).not.toContain("Not captured");
  expect(pages.complaints).toEqual([]);
});

test("how long a call has run is never cut, and its bar is as long", async () => {
  const { page, mcptap } = pages;
  await mcptap.announce({ ...slow, agoMs: 3 * 60_000 });
  await mcptap.report({ tool: "quick", session: "s-1", agoMs: 3 * 60_000 + 6000 });
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(mcptap.url);
  const cell = rows(page).filter({ hasText: "slow" }).locator(".cell.duration .text");
  await cell.getByText(/^3 min \d+ s…$/).waitFor();
  expect(await cell.evaluate((text) => text.scrollWidth - text.clientWidth)).toBe(0);
  const { sessions } = await mcptap.ask("{ sessions { nodes { id } } }");
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;
  await page.goto(`${mcptap.url}/sessions/${encodeURIComponent(session?.id ?? "")}`);
  const line = page.getByRole("listitem").filter({ hasText: "slow" });
  await line.waitFor();
  const share = await line
    .locator(".track")
    .evaluate((track) => (track.firstElementChild?.clientWidth ?? 0) / track.clientWidth);
  expect(share).toBeGreaterThan(0.5);
  const lines = await line.locator(".number").evaluate((cell) => cell.getClientRects().length);
  const height = await line.locator(".number").evaluate((cell) => cell.clientHeight);
  expect([lines, height < 30]).toEqual([1, true]);
  expect(pages.complaints).toEqual([]);
});

test("while nobody answers nothing counts on, and it does when mcptap is back", async () => {
  const { page, mcptap } = pages;
  await mcptap.announce(slow);
  await page.goto(mcptap.url);
  const cell = rows(page).first().locator(".cell.duration");
  await cell.getByText(/ s…$/).waitFor();
  await mcptap.terminate();
  await cell.getByText("–", { exact: true }).waitFor();
  await mcptap.launch();
  await cell.getByText(/ s…$/).waitFor();
  expect(withoutLostConnections(pages.complaints)).toEqual([]);
});
