import { expect, test } from "vitest";
import { axeSays, expectAddress, givenPages, openContext, overflow } from "./pages";

const pages = givenPages();

test("Setup leads to the documentation of each kind of server, at its place", {
  timeout: 120_000,
}, async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/setup`);
  const kinds = page.getByRole("group", { name: "Kind of server" }).getByRole("button");
  await kinds.first().waitFor();
  const names = await kinds.allTextContents();
  expect(names.length).toBeGreaterThan(8);
  for (const name of names) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.getByRole("link", { name: "Read more in the documentation" }).click();
    await expectAddress(page, /\/docs\/instrumenting/);
    await page.getByRole("heading", { name: "How to get a server into the log" }).waitFor();
    const anchor = decodeURIComponent(new URL(page.url()).hash.slice(1));
    if (anchor) {
      const heading = page.locator(`[id="${anchor}"]`);
      await expect.poll(() => heading.count(), { message: name }).toBe(1);
      await expect
        .poll(() => heading.evaluate((found) => found.getBoundingClientRect().top < innerHeight), {
          message: name,
        })
        .toBe(true);
    }
    await page.goBack();
    await kinds.first().waitFor();
  }
  await page.getByText("No data?").click();
  await page.getByRole("link", { name: "More in the documentation", exact: true }).click();
  await page.getByRole("heading", { name: "When nothing shows up" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a place that means nothing leads to the document's beginning", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/docs/readme#%E0%A4%A`);
  await page.locator("article h1").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("no link of a document leads to nothing, and each can be read on any window", {
  timeout: 120_000,
}, async () => {
  const { mcptap } = pages;
  const found = new Map<string, string[]>();
  const links: { from: string; to: string }[] = [];
  for (const [width, colorScheme] of [
    [1280, "light"],
    [390, "dark"],
  ] as const) {
    await openContext(pages, { width, colorScheme });
    const { page } = pages;
    await page.goto(`${mcptap.url}/docs`);
    await expectAddress(page, /\/docs\/readme$/);
    await page.locator("article").waitFor();
    const list = page.getByRole("navigation", { name: "Documentation" }).getByRole("link");
    const names = await list.allTextContents();
    expect(names.length).toBe(8);
    for (const name of names) {
      await list.getByText(name, { exact: true }).click();
      await page.locator(".doc-list [aria-current]").getByText(name, { exact: true }).waitFor();
      await page.locator("article h1").waitFor();
      expect(await page.title(), name).toMatch(/ · mcptap$/);
      expect(await overflow(page), name).toBe(0);
      expect(await axeSays(page), name).toEqual([]);
      const path = new URL(page.url()).pathname;
      const ids = await page.locator("article [id]").evaluateAll((all) => all.map(({ id }) => id));
      found.set(path, ids);
      const targets = await page
        .locator("article a")
        .evaluateAll((all) => all.map((link) => (link as HTMLAnchorElement).href));
      links.push(...targets.map((to) => ({ from: path, to })));
    }
    expect(pages.complaints).toEqual([]);
  }
  const own = links.filter(({ to }) => to.startsWith(mcptap.url));
  expect(own.length).toBeGreaterThan(20);
  const dead = own.filter(({ to }) => {
    const { pathname, hash } = new URL(to);
    const anchors = found.get(pathname);
    return !anchors || (hash && !anchors.includes(decodeURIComponent(hash.slice(1))));
  });
  expect(dead).toEqual([]);
});

test("a document that there is not is told to be none", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/docs/nothing`);
  await page.getByRole("heading", { name: "There is no such document" }).waitFor();
  await page.getByRole("link", { name: "API", exact: true }).click();
  await page.locator("article h1").waitFor();
  expect(pages.complaints.filter((text) => !text.includes("status of 404"))).toEqual([]);
});
