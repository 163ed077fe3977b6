import type { Route } from "playwright-core";
import { expect, test } from "vitest";
import { givenPages, rows } from "./pages";

const pages = givenPages();

interface Question {
  query: string;
  variables: { first?: number; after?: string | null };
}

const questionOf = (route: Route) => route.request().postDataJSON() as Question;

/** Answers the questions of this name in another way as long as that gives true. Tells how often they were asked. */
async function intercept(name: string, answer: (route: Route, asked: number) => Promise<boolean> | boolean) {
  let asked = 0;
  await pages.page.route("**/graphql", async (route) => {
    if (!questionOf(route).query.includes(`query ${name}`)) return route.fallback();
    asked++;
    if (!(await answer(route, asked))) await route.fallback();
  });
  return () => asked;
}

const fail = async (route: Route) => {
  await route.abort();
  return true;
};

/** A list of so many servers, in pages as they are asked for. */
function serversPage({ variables: { first = 0, after } }: Question, all: number) {
  const from = Number(after ?? 0);
  const to = Math.min(all, from + first);
  const at = "2026-01-01T00:00:00Z";
  const nodes = Array.from({ length: to - from }, (_, index) => ({
    ...{ id: String(from + index), name: `srv-${from + index}`, firstSeenAt: at, lastSeenAt: at },
  }));
  return { data: { servers: { nodes, pageInfo: { hasNextPage: to < all, endCursor: String(to) } } } };
}

const found = () =>
  pages.page.getByRole("table", { name: "Servers" }).locator("tbody tr td:first-child").allTextContents();

test("a search goes through a long list whose pages take longer than the list is left alone for", async () => {
  const { page, mcptap } = pages;
  await page.clock.install();
  const asked: (string | null | undefined)[] = [];
  await intercept("Servers", async (route) => {
    asked.push(questionOf(route).variables.after);
    await page.clock.runFor(10_000);
    await route.fulfill({ json: serversPage(questionOf(route), 1_000) });
    return true;
  });
  await page.goto(`${mcptap.url}/servers?find=srv-999`);
  await expect.poll(found).toEqual(["srv-999"]);
  expect(asked.slice(0, 5)).toEqual([undefined, "200", "400", "600", "800"]);
  expect(pages.complaints).toEqual([]);
});

test("a page that does not come leaves a search incomplete, which is said until it comes", async () => {
  const { page, mcptap } = pages;
  let fails = true;
  await intercept("Servers", async (route) => {
    if (questionOf(route).variables.after === "200" && fails) return fail(route);
    await route.fulfill({ json: serversPage(questionOf(route), 1_000) });
    return true;
  });
  await page.goto(`${mcptap.url}/servers?find=srv-999`);
  const said = page.getByText(
    "Results are incomplete. The rest of the list could not be loaded: mcptap does",
  );
  await said.waitFor();
  await page.getByRole("button", { name: "Try again" }).click();
  await said.waitFor();
  fails = false;
  await expect.poll(found, { timeout: 15_000 }).toEqual(["srv-999"]);
  expect(await said.count()).toBe(0);
});

test("next and previous work again after the calls beside one could not be asked for", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "older", agoMs: 2000 }, { tool: "newer" }]);
  const { calls } = await mcptap.ask("{ calls(first: 1) { nodes { id } } }");
  const id = (calls as { nodes: { id: string }[] }).nodes[0]?.id ?? "";
  const asked = await intercept("CallTime", (route, times) => times < 2 && fail(route));
  await page.goto(`${mcptap.url}/calls/${encodeURIComponent(id)}`);
  await page.getByRole("link", { name: /Older/ }).click();
  await page.getByRole("heading", { name: "tools/call older" }).waitFor();
  expect(asked()).toBeGreaterThan(1);
});

test("a call that cannot be loaded leaves the focus where it is, however often it is asked for", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "older", agoMs: 2000 }, { tool: "newer" }]);
  await page.clock.install();
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const dialog = page.getByRole("dialog", { name: "Call" });
  await dialog.getByRole("region", { name: "Fields" }).waitFor();
  let away = true;
  const asked = await intercept("CallDetail", (route) => away && fail(route));
  await page.keyboard.press("j");
  const again = dialog.getByRole("button", { name: "Try again" });
  await again.focus();
  // the same button, and not another of the same name
  await again.evaluate((button) => button.setAttribute("data-same", ""));
  for (const times of [2, 3]) {
    await page.clock.runFor(5_000);
    await expect.poll(asked).toBeGreaterThanOrEqual(times);
    await page.clock.runFor(1_000);
    expect(await page.evaluate(() => document.activeElement?.hasAttribute("data-same"))).toBe(true);
  }
  away = false;
  await page.clock.runFor(5_000);
  await dialog.getByRole("region", { name: "Fields" }).getByText("older").first().waitFor();
});

test("a country that comes when no script can be loaded any more has its flag", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "a", ip: "192.0.2.1" });
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByText("Live", { exact: true }).last().waitFor();
  await page.route("**/assets/*.js", (route) => route.abort());
  await mcptap.report({ tool: "b", ip: "192.0.2.2", country: "BE" });
  await rows(page).locator("img.flag").waitFor();
});
