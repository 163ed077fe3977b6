import { expect, test } from "vitest";
import { givenPages, rows } from "./pages";

const pages = givenPages();
const says = (words: string) => pages.page.locator(".live").getByText(words, { exact: true }).waitFor();
const total = () => pages.page.locator(".page-head [role=status]").first();

test("calls that end come to the lists that they are of now, leave the others, and are counted", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  const running = await pages.context.newPage();
  await page.goto(`${mcptap.url}/?outcome=TOOL_ERROR&live=1`);
  await running.goto(`${mcptap.url}/?outcome=RUNNING&live=1`);
  await says("Live");
  const spans = [];
  for (const tool of ["a", "b", "c"]) spans.push({ tool, span: await mcptap.announce({ tool }) });
  await expect.poll(() => rows(running).count()).toBe(3);
  await running.getByText("3 calls", { exact: true }).waitFor();
  for (const call of spans.slice(0, 2)) await mcptap.report({ ...call, error: "no" });
  await page.getByText("2 calls", { exact: true }).waitFor();
  expect(await rows(page).count()).toBe(2);
  await running.getByText("1 call", { exact: true }).waitFor();
  await expect.poll(() => rows(running).allTextContents()).toEqual([expect.stringContaining("Running")]);
  expect(pages.complaints).toEqual([]);
});

test("a number of calls is what the API counts: after going back, while a count is slow, and after a deletion", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(["a", "b", "c"].map((tool) => ({ tool })));
  await page.addInitScript(() => localStorage.setItem("mcptap.settings", '{"pageSize":50}'));
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByText("3 calls", { exact: true }).waitFor();
  await says("Live");
  await page.getByRole("link", { name: "Servers" }).click();
  await page.getByRole("table", { name: "Servers" }).waitFor();
  await mcptap.reportAll(Array.from({ length: 20 }, () => ({ tool: "missed" })));
  await page.goBack();
  await says("Live");
  await expect.poll(() => rows(page).count()).toBe(23);
  await page.getByText("23 calls", { exact: true }).waitFor();

  // counted before the last calls came, and told after
  await page.goto(`${mcptap.url}/overview`);
  let told: (() => void) | undefined;
  await page.route("**/graphql", async (route) => {
    if (told || !route.request().postData()?.includes("query CallCount")) return route.continue();
    const response = await route.fetch();
    await new Promise<void>((resolve) => {
      told = resolve;
    });
    await route.fulfill({ response });
  });
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  await expect.poll(() => told).toBeDefined();
  await mcptap.report({ tool: "meanwhile" });
  await rows(page).getByText("meanwhile").waitFor();
  told?.();
  await page.getByText("24 calls", { exact: true }).waitFor();

  await mcptap.ask('mutation { deleteCalls(filter: { tools: ["missed", "a"] }) { __typename } }');
  await page.getByText("3 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(3);
  await page.getByText("All stored calls are shown.").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("more calls than wait above the list are counted when they are shown", async () => {
  const { page, mcptap } = pages;
  const many = (count: number, tool: string) =>
    mcptap.reportAll(Array.from({ length: count }, () => ({ tool })));
  await many(60, "old");
  await page.addInitScript(() => localStorage.setItem("mcptap.settings", '{"pageSize":50}'));
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  await rows(page).first().waitFor();
  const table = page.getByRole("table", { name: "Calls" });
  // more than are loaded, and as many as are known
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("61");
  await page.locator(".table-scroll").evaluate((element) => element.scrollTo({ top: 1_000 }));
  await page.locator('[aria-rowindex="30"]').waitFor();
  for (let batch = 0; batch < 5; batch++) await many(500, "new");
  await page.getByRole("button", { name: "2,500 new" }).click({ timeout: 60_000 });
  await page.getByText("2,560 calls", { exact: true }).waitFor();
  await mcptap.report({ tool: "last" });
  await page.getByText("2,561 calls", { exact: true }).waitFor();
  await rows(page).getByText("last").waitFor();
  expect(await total().textContent()).toBe("2,561 calls");
  expect(pages.complaints).toEqual([]);
});

test("while the number of all rows is not known the table does not name one", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(Array.from({ length: 12 }, () => ({ tool: "x" })));
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query CallCount") ? undefined : route.continue(),
  );
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  const table = page.getByRole("table", { name: "Calls" });
  expect(await table.getAttribute("aria-rowcount")).toBe("-1");
  await page.getByRole("button", { name: "Load more" }).click();
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("13");
  expect(pages.complaints).toEqual([]);
});

test("a range ends now in the list as in the overview, and with Live the list goes on past that", async () => {
  const { page, mcptap } = pages;
  // the clock of its sender is ahead
  await mcptap.reportAll([{ tool: "a" }, { tool: "b" }, { tool: "ahead", agoMs: -2 * 3_600_000 }]);
  await page.goto(`${mcptap.url}/?range=1h`);
  await page.getByText("2 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(2);
  await page.goto(`${mcptap.url}/overview?range=1h`);
  const calls = page.locator(".figure").first();
  await expect.poll(() => calls.textContent()).toBe("Calls2");
  await calls.click();
  await page.getByText("2 calls", { exact: true }).waitFor();
  await page.keyboard.press("l");
  await says("Live");
  await page.getByText("3 calls", { exact: true }).waitFor();
  await rows(page).getByText("ahead").waitFor();
  await page.keyboard.press("l");
  await says("Paused");
  // it is what was shown
  await page.getByText("3 calls", { exact: true }).waitFor();
  await page.keyboard.press("r");
  await page.getByText("2 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(2);
  expect(pages.complaints).toEqual([]);
});
