import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();

test("going back finds the loaded rows and the place in the list again", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 60 }, (_, index) => ({ tool: `tool_${index}`, agoMs: index * 100 })),
  );
  const table = page.getByRole("table", { name: "Calls" });
  const scroller = page.locator(".table-scroll");
  const top = () => scroller.evaluate((element) => element.scrollTop);
  await page.goto(mcptap.url);
  const height = () => table.evaluate((element) => element.clientHeight);
  for (let loaded = 1; loaded <= 5; loaded++) {
    await expect.poll(async () => Math.floor((await height()) / 380)).toBe(loaded);
    await page
      .getByRole("button", { name: "Load more" })
      .evaluate((button) => (button as HTMLElement).click());
  }
  await expect.poll(async () => Math.floor((await height()) / 380)).toBe(6);
  expect(await table.getAttribute("aria-rowcount")).toBe("61");
  await scroller.evaluate((element) => element.scrollTo({ top: 900 }));
  await rows(page).getByText("tool_30", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await page.goBack();
  await rows(page).getByText("tool_30", { exact: true }).waitFor();
  expect(await table.getAttribute("aria-rowcount")).toBe("61");
  await expect.poll(top).toBe(900);

  // another filter, and back
  await page.getByRole("button", { name: /^Tool/ }).click();
  await page.getByRole("option", { name: "tool_7", exact: false }).first().click();
  await page.keyboard.press("Escape");
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("2");
  await page.goBack();
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("61");

  // what is asked for anew is new
  await mcptap.report({ tool: "fresh" });
  await page.getByRole("button", { name: "Refresh" }).click();
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("62");
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("link", { name: "Calls" }).click();
  await rows(page).getByText("fresh").waitFor();
  expect(await height()).toBeLessThan(500);
  expect(pages.complaints).toEqual([]);
});

test("going back with Live on brings what came meanwhile, and leaves the reader where they were", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 60 }, (_, index) => ({ tool: `tool_${index}`, agoMs: index * 100 })),
  );
  await page.addInitScript(() => localStorage.setItem("mcptap.settings", '{"pageSize":50}'));
  await page.goto(`${mcptap.url}/?live=1`);
  await rows(page).first().waitFor();
  await page.locator(".table-scroll").evaluate((element) => element.scrollTo({ top: 600 }));
  await rows(page).getByText("tool_20", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Servers" }).click();
  await page.getByRole("row", { name: /weather/ }).waitFor();
  await mcptap.report({ tool: "meanwhile" });
  await page.goBack();
  await page.getByRole("button", { name: "1 new" }).click();
  await rows(page).getByText("meanwhile").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("going back to sessions finds their later pages again", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 60 }, (_, index) => ({ tool: "x", session: `s-${index}`, agoMs: index * 1000 })),
  );
  await page.goto(`${mcptap.url}/sessions`);
  const lines = page.locator("tbody tr");
  await lines.nth(49).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await lines.nth(59).waitFor();
  const top = () => page.locator("#main").evaluate((element) => element.scrollTop);
  await lines.nth(59).scrollIntoViewIfNeeded();
  const before = await top();
  await lines.nth(59).getByRole("link").first().click();
  await expectAddress(page, /\/sessions\/./);
  await page.getByText("Calls in order").or(page.locator(".moment")).first().waitFor();
  await page.goBack();
  await lines.nth(59).waitFor();
  await expect.poll(top).toBe(before);
  expect(pages.complaints).toEqual([]);
});

test("going back finds the focus where it was", { timeout: 120_000 }, async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 230 }, (_, index) => ({
      server: `server-${1000 + index}`,
      session: `s-${index}`,
      tool: `tool_${index}`,
      agoMs: index * 10,
    })),
  );
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("href") ?? "nothing");
  for (const [path, name] of [
    ["/servers", "server-1225"],
    ["/sessions", "s-72"],
    ["/overview", /^tool_/],
    ["/", /tools\/call tool_9/],
  ] as const) {
    await page.goto(mcptap.url + path);
    const main = page.getByRole("main");
    if (path === "/servers" || path === "/sessions")
      await main.getByRole("button", { name: "Load more" }).click();
    const link = main.getByRole("link", { name, exact: true }).first();
    await link.focus();
    const at = await focused();
    expect(at, path).not.toBe("nothing");
    // away by the keyboard, as a reader goes
    await page.keyboard.press("Enter");
    if (path === "/") {
      await page.getByRole("link", { name: "Open as page" }).click();
      await expectAddress(page, /\/calls\//);
      await page.goBack();
      await page.getByRole("dialog").waitFor();
      await page.goBack();
    } else {
      await page.waitForURL((url) => url.pathname !== path);
      await expect.poll(focused, { message: path }).not.toBe(at);
      await page.goBack();
    }
    await page.waitForURL((url) => url.pathname === path && !url.searchParams.has("call"));
    await expect.poll(focused, { message: path }).toBe(at);
  }
  // who goes on before the list is there is not called back
  await page.goto(`${mcptap.url}/servers`);
  await page.getByRole("main").getByRole("link", { name: "server-1005" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/server-1005/);
  await page.getByRole("heading", { name: "server-1005" }).waitFor();
  await page.route("**/graphql", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await route.continue();
  });
  await page.goBack();
  await page.waitForURL(/\/servers$/);
  await page.keyboard.press("Tab");
  const chosen = await focused();
  await page.getByRole("table", { name: "Servers" }).waitFor();
  await page.waitForLoadState("networkidle");
  expect(await focused()).toBe(chosen);
  expect(pages.complaints).toEqual([]);
});

test("a list that is come back to while mcptap is away says how old it is and why", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await rows(page).getByText("forecast").waitFor();
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await page.route("**/graphql", (route) => route.abort());
  await page.goBack();
  await rows(page).getByText("forecast").waitFor();
  await page.getByText("Not up to date. mcptap does not answer. Data as of").waitFor();
  // and is as good as new when it answers again
  await page.unroute("**/graphql");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("1 call", { exact: true }).waitFor();
  await page.getByText("Not up to date.").waitFor({ state: "detached" });
});

test("Live can be turned off before the first call", async () => {
  const { page, mcptap } = pages;
  await page.goto(mcptap.url);
  const live = page.getByRole("switch", { name: "Live" });
  await page.getByText("No calls yet").waitFor();
  await expectAddress(page, /live=1/);
  await page.keyboard.press("l");
  await page.getByText("Live is off").waitFor();
  await page.reload();
  await page.getByText("No calls yet").waitFor();
  expect(await live.count()).toBe(1);
  await page.keyboard.press("l");
  await page.getByText("Turn it on to see the first call as it arrives.").waitFor();
  expect(new URL(page.url()).search).toBe("");
});
