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
  for (const loaded of [11, 21, 31, 41, 51]) {
    await expect.poll(() => table.getAttribute("aria-rowcount")).toBe(String(loaded));
    await page
      .getByRole("button", { name: "Load more" })
      .evaluate((button) => (button as HTMLElement).click());
  }
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("61");
  await scroller.evaluate((element) => element.scrollTo({ top: 900 }));
  await rows(page).getByText("tool_30", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  await page.goBack();
  await rows(page).getByText("tool_30", { exact: true }).waitFor();
  expect(await table.getAttribute("aria-rowcount")).toBe("61");
  expect(await top()).toBe(900);

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
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("11");
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("link", { name: "Calls" }).click();
  await rows(page).getByText("fresh").waitFor();
  expect(await table.getAttribute("aria-rowcount")).toBe("11");
  expect(pages.complaints).toEqual([]);
});

test("going back with Live on brings what came meanwhile, and leaves the reader where they were", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 60 }, (_, index) => ({ tool: `tool_${index}`, agoMs: index * 100 })),
  );
  await page.addInitScript(() => localStorage.setItem("mcptap.settings", '{"pageSize":50}'));
  await page.goto(`${mcptap.url}/?live=1`);
  await page.locator('[aria-rowcount="51"]').waitFor();
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
