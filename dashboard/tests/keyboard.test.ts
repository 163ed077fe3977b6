import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();
const dialog = () => pages.page.getByRole("dialog", { name: "Call" });
const focused = () =>
  pages.page.evaluate(() => {
    const at = document.activeElement;
    const row = at?.closest("[role=row], .moment");
    return row?.textContent ?? at?.tagName ?? "";
  });

test("Enter does what the element with the focus is for, also after a call was open", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "older", agoMs: 2000 }, { tool: "newer" }]);
  await page.goto(mcptap.url);
  await rows(page).nth(1).waitFor();
  await page.keyboard.press("j");
  await expect.poll(focused).toContain("newer");
  await page.keyboard.press("Enter");
  await dialog().locator("dl").getByText("newer").waitFor();
  await page.keyboard.press("j");
  await dialog().locator("dl").getByText("older").waitFor();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  // one step of the history for the drawer, and none for a page that nobody asked for
  await expectAddress(page, /\/$/);
  await expect.poll(focused).toContain("older");

  await page.getByRole("link", { name: "Sessions" }).focus();
  await page.keyboard.press("Enter");
  await expectAddress(page, /\/sessions$/);
  await page.goto(`${mcptap.url}/servers/weather`);
  await rows(page).nth(1).waitFor();
  await page.keyboard.press("j");
  await expect.poll(focused).toContain("newer");
  await page.getByRole("link", { name: "Tools", exact: true }).focus();
  await page.keyboard.press("Enter");
  await expectAddress(page, /tab=tools$/);
  expect(pages.complaints).toEqual([]);
});

test("a call opens beside the list in one step of the history", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(`${mcptap.url}/sessions`);
  await page.getByRole("link", { name: "Calls" }).click();
  await rows(page).first().getByRole("link").click();
  await dialog().waitFor();
  await page.goBack();
  await dialog().waitFor({ state: "detached" });
  await expectAddress(page, /\/$/);
  expect(pages.complaints).toEqual([]);
});

test("the mark follows the focus: j goes on from the row that Tab came to", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 5 }, (_, index) => ({ tool: `tool_${index}`, agoMs: index * 100 })),
  );
  await page.goto(mcptap.url);
  await rows(page).nth(4).waitFor();
  await rows(page).nth(2).getByRole("link").focus();
  await page.keyboard.press("j");
  await expect.poll(focused).toContain("tool_3");
  expect(pages.complaints).toEqual([]);
});

test("Enter leaves the search for what it found, and Escape leaves an empty one", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "forecast" }, { tool: "radar" }]);
  await page.goto(mcptap.url);
  await rows(page).nth(1).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("radar");
  await page.keyboard.press("Enter");
  await expectAddress(page, /\?q=radar$/);
  await page.getByText("1 call", { exact: true }).waitFor();
  await expect.poll(focused).toContain("radar");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Call" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Call" }).waitFor({ state: "detached" });
  await expect.poll(focused).toContain("radar");
  // asked for again it is there at once; without a call the focus is still on the page
  await page.keyboard.press("/");
  await page.keyboard.press("Enter");
  await expect.poll(focused).toContain("radar");
  await page.keyboard.press("/");
  await page.keyboard.type(" nothing");
  await page.keyboard.press("Enter");
  await page.getByText("No calls match").waitFor();
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("main");
  await page.keyboard.press("/");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.getByText("2 calls", { exact: true }).waitFor();
  expect(await focused()).toBe("BODY");
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await expectAddress(page, /\/sessions$/);
  expect(pages.complaints).toEqual([]);
});

test("in a session j and k go from call to call, and Enter opens one", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "first", session: "s-1", agoMs: 2000 },
    { tool: "second", session: "s-1", agoMs: 1000 },
  ]);
  await page.goto(`${mcptap.url}/sessions`);
  await page
    .getByRole("row", { name: /weather/ })
    .getByRole("link")
    .first()
    .click();
  await page.getByRole("listitem").nth(1).waitFor();
  await page.keyboard.press("j");
  await expect.poll(focused).toContain("first");
  await page.keyboard.press("j");
  await expect.poll(focused).toContain("second");
  await page.keyboard.press("k");
  await expect.poll(focused).toContain("first");
  await page.keyboard.press("Enter");
  await dialog().locator("dl").getByText("first").waitFor();
  await page.keyboard.press("j");
  await dialog().locator("dl").getByText("second").waitFor();
  expect(pages.complaints).toEqual([]);
});
