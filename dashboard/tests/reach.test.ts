import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();

test("whatever columns are shown, each call is opened by its link", async () => {
  const { page, mcptap } = pages;
  // without a session, a client or an address
  await mcptap.report({ tool: "forecast" });
  for (const columns of [
    ...["status", "method", "target", "server", "ip", "client", "session", "duration", "time"],
    "target,duration",
  ]) {
    await page.goto(`${mcptap.url}/?columns=${columns}`);
    const link = rows(page)
      .first()
      .getByRole("link", { name: /tools\/call forecast/ });
    await link.focus();
    const box = await link.boundingBox();
    expect(box && box.width > 4 && box.height > 4, columns).toBe(true);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Call: tools/call forecast" }).waitFor();
  }
  // and by a click with Control in a tab of its own
  await page.goto(`${mcptap.url}/?columns=target,duration`);
  const opens = pages.context.waitForEvent("page");
  await rows(page)
    .first()
    .locator(".cell.duration")
    .click({ modifiers: ["Control"] });
  expect((await opens).url()).toContain("/calls/");
  expect(pages.complaints).toEqual([]);
});

test("the link to the content leads to it, and not to what had the focus before", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Refresh" }).focus();
  await page.getByRole("link", { name: "Skip to the content" }).focus();
  await page.keyboard.press("Enter");
  await expectAddress(page, /#main$/);
  await page.evaluate(async () => {
    for (let frame = 0; frame < 10; frame++) await new Promise((next) => requestAnimationFrame(next));
  });
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
  expect(pages.complaints).toEqual([]);
});

test("keys of a page do nothing behind a dialog", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.keyboard.press("?");
  const shortcuts = page.getByRole("dialog", { name: "Keyboard", exact: true });
  await shortcuts.waitFor();
  for (const key of ["l", "j", "/", "g", "s"]) await page.keyboard.press(key);
  await page.keyboard.press("Escape");
  await shortcuts.waitFor({ state: "detached" });
  expect(new URL(page.url()).pathname + new URL(page.url()).search).toBe("/");
  expect(await page.locator(".row.selected").count()).toBe(0);
  await page.keyboard.press("l");
  await expectAddress(page, /live=1/);
  // those of the drawer count in it, but not behind what is open over it
  await rows(page).first().click();
  await page.getByRole("dialog", { name: "Call: tools/call forecast" }).waitFor();
  await page.keyboard.press("?");
  await shortcuts.waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.keyboard.press("Escape");
  await shortcuts.waitFor({ state: "detached" });
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await expectAddress(page, /\/sessions$/);
  expect(pages.complaints).toEqual([]);
});

test("the table of a chart has all that the chart shows", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([100, 200, 300].map((durationMs) => ({ tool: "a", durationMs, agoMs: 1000 })));
  await page.goto(`${mcptap.url}/overview`);
  await page.getByText("Show as table").click();
  const table = page.locator("details table");
  expect(await table.getByRole("columnheader").allTextContents()).toEqual([
    ...["From", "Calls", "Errors", "p50", "p95", "p99"],
  ]);
  const [row] = await table.locator("tbody tr").all();
  for (const at of [3, 4, 5]) expect(await row?.locator("td").nth(at).textContent()).toMatch(/ms$/);
  expect(pages.complaints).toEqual([]);
});

test("what is said to screen readers holds no time that goes on", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("No calls yet").waitFor();
  await mcptap.report({ tool: "forecast" });
  await page.getByText("It works: a call has arrived.").waitFor();
  await page.locator(".set-up-state time").waitFor();
  expect(await page.locator("[role=status] time, [aria-live] time").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a number that grows is not said with every call", async () => {
  const { page, mcptap } = pages;
  await page.clock.install();
  await mcptap.report({ tool: "a" });
  await page.goto(`${mcptap.url}/?live=1`);
  const total = page.locator(".page-head [role=status]").filter({ hasText: /call/ });
  const shown = async () => [await total.textContent(), await total.getAttribute("aria-live")];
  await expect.poll(async () => (await shown())[0]).toBe("1 call");
  await page.getByText("Live", { exact: true }).last().waitFor();
  await page.clock.runFor(1_000);
  for (const words of ["2 calls", "3 calls"]) {
    await mcptap.report({ tool: "a" });
    await expect.poll(shown).toEqual([words, "off"]);
  }
  await page.clock.runFor(15_000);
  await expect.poll(shown).toEqual(["3 calls", "polite"]);
  expect(pages.complaints).toEqual([]);
});

test("counts that are not known are not shown as zero", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "a", server: "many" },
    { tool: "a", server: "few" },
  ]);
  // as with more servers than a menu has: the last of them is not in it
  await page.route("**/graphql", async (route) => {
    if (!route.request().postData()?.includes("query Facets")) return route.fallback();
    const answer = await route.fetch();
    const { data } = await answer.json();
    if (data.facets.servers) {
      data.facets.servers = data.facets.servers.filter(({ value }: { value: string }) => value === "many");
      data.facets.more.servers = true;
    }
    await route.fulfill({ response: answer, json: { data } });
  });
  await page.goto(`${mcptap.url}/?server=few`);
  await page.getByRole("button", { name: "Server 1", exact: true }).click();
  await page.getByText("Top 1 by calls; there are more.").waitFor();
  expect(await page.getByRole("option", { name: /many/ }).textContent()).toBe("many1");
  expect(await page.getByRole("option", { name: /few/ }).textContent()).toBe("few");

  await page.goto(`${mcptap.url}/servers`);
  await page.getByText("Counts are shown for the top 1 servers by calls and by errors.").waitFor();
  const cells = page.getByRole("row", { name: /few/ }).getByRole("cell");
  expect((await cells.allTextContents()).slice(1, 3)).toEqual(["–", "–"]);
  expect(pages.complaints).toEqual([]);
});
