import type { Route } from "playwright-core";
import { expect, test } from "vitest";
import { givenPages } from "./pages";

const pages = givenPages();

const figure = (label: string) => pages.page.locator(".figure").filter({ hasText: label }).locator("strong");

interface Question {
  query: string;
  variables: { filter?: { from?: string; to?: string } };
}

test("all figures of the overview are of one time range, which it tells", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "a", agoMs: 2000 },
    { tool: "b", error: "no", agoMs: 1000 },
  ]);
  const asked: Question[] = [];
  let letGo = () => {};
  let held: Promise<void> | undefined;
  await page.route("**/graphql", async (route: Route) => {
    const question = route.request().postDataJSON() as Question;
    if (/query (Stats|Facets|ToolRankings)\b/.test(question.query)) asked.push(question);
    if (question.query.includes("query ToolRankings")) await held;
    const response = await route.fetch();
    // the clock of the page goes on by itself here: mcptap tells no other
    const { date: _, ...headers } = response.headers();
    await route.fulfill({ response, headers });
  });
  await page.clock.install();
  for (const [query, words] of [
    ["", /^Data through \d\d-\d\d \d\d:\d\d:\d\d · auto-refresh 15 s$/],
    ["?range=1h", /^\d\d-\d\d \d\d:\d\d:\d\d – \d\d-\d\d \d\d:\d\d:\d\d · auto-refresh 15 s$/],
  ] as const) {
    asked.length = 0;
    await page.goto(`${mcptap.url}/overview${query}`);
    await page.getByText(words).waitFor();
    await page.getByRole("region", { name: "Most failing tools" }).getByRole("link").waitFor();
    // the time at the right end of a chart is where its last bar ends
    const said = (await page.getByText(words).textContent())?.match(/(?:– |through )(.*?) ·/)?.[1];
    expect(await page.locator("svg .axis").last().textContent()).toBe(said);
    const ranges = new Set(asked.map(({ variables: { filter } }) => `${filter?.from} ${filter?.to}`));
    expect(asked.length).toBe(3);
    expect([...ranges]).toEqual([expect.stringMatching(query ? /^2.*Z 2.*Z$/ : /^undefined 2.*Z$/)]);
  }

  // a refresh takes the place of what is shown when all of it is there
  await expect.poll(() => figure("Calls").first().textContent()).toBe("2");
  const before = await page.getByText(/auto-refresh 15 s$/).textContent();
  await mcptap.report({ tool: "c" });
  held = new Promise((resolve) => {
    letGo = resolve;
  });
  asked.length = 0;
  const answered = Promise.all(
    ["query Stats", "query Facets"].map((name) =>
      page.waitForResponse((response) => response.request().postData()?.includes(name) ?? false),
    ),
  );
  await page.clock.runFor(15_000);
  await answered;
  await expect.poll(() => asked.length).toBe(3);
  await page.evaluate(() => new Promise((next) => requestAnimationFrame(next)));
  expect(await figure("Calls").first().textContent()).toBe("2");
  expect(await page.getByText(/auto-refresh 15 s$/).textContent()).toBe(before);
  letGo();
  await page.clock.runFor(100);
  await expect.poll(() => figure("Calls").first().textContent()).toBe("3");
  expect(await page.getByText(/auto-refresh 15 s$/).textContent()).not.toBe(before);
  expect(pages.complaints).toEqual([]);
});

test("what stays open is in no figure of the overview, and in none of the lists that they lead to", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "a" },
    { tool: "b" },
    { method: "subscriptions/listen", durationMs: 5000 },
  ]);
  await page.goto(`${mcptap.url}/overview`);
  await page
    .getByRole("region", { name: "Servers", exact: true })
    .getByRole("link", { name: "weather 2" })
    .waitFor();
  await page.getByRole("region", { name: "Outcomes" }).getByRole("link", { name: "OK 2" }).waitFor();
  expect(await figure("Calls").first().textContent()).toBe("2");
  await figure("Calls").first().click();
  await page.getByText("2 calls", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Remove Kind Request" }).click();
  await page.getByText("3 calls", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a ranking whose values do not say its order says it", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "b", error: "no" });
  await page.goto(`${mcptap.url}/overview`);
  await page
    .getByRole("region", { name: "Most failing tools" })
    .getByText("Ranked by error rate, adjusted for low call counts (95% Wilson lower bound).")
    .waitFor();
});

test("what of the overview could not be loaded says so, and is asked for again", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "a" });
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query ToolRankings") ? route.abort() : route.continue(),
  );
  await page.goto(`${mcptap.url}/overview`);
  await page.getByRole("alert").getByRole("heading", { name: "mcptap does not answer" }).waitFor();
  await expect.poll(() => figure("Calls").first().textContent()).toBe("1");
  // what was not answered is not on its way
  await page.getByRole("region", { name: "Slowest tools (p95)" }).getByText("Not loaded.").waitFor();
  await expect.poll(() => page.locator(".skeleton").count()).toBe(0);
  await page.unroute("**/graphql");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("region", { name: "Slowest tools (p95)" }).getByRole("link").waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
});
