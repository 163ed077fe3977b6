import { expect, test } from "vitest";
import { givenPages, openContext, rows } from "./pages";

const pages = givenPages();

/** Answers questions of this name in mcptap's place until the function that it gives is called. */
async function inPlaceOf(name: string, answer: { status: number; body: string } | "none") {
  const { page } = pages;
  await page.route("**/graphql", async (route) => {
    if (!route.request().postData()?.includes(`query ${name}`)) return route.fallback();
    if (answer === "none") return route.abort();
    return route.fulfill({ ...answer, contentType: "application/json" });
  });
  return () => page.unroute("**/graphql");
}

const busy = { status: 503, body: '{"errors":[{"message":"the memory budget is full"}]}' };
const unavailable = {
  status: 294,
  body: '{"data":null,"errors":[{"message":"the database does not answer now","extensions":{"code":"UNAVAILABLE"}}]}',
};
const proxy = { status: 502, body: "<h1>Bad Gateway</h1>" };

test("a call that cannot be loaded beside the list says so, and is there when it is asked for again", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "older", agoMs: 2000 }, { tool: "newer" }]);
  await page.goto(mcptap.url);
  await rows(page).first().click();
  const dialog = page.getByRole("dialog", { name: "Call" });
  const tool = (name: string) => dialog.getByRole("region", { name: "Fields" }).getByText(name).first();
  await tool("newer").waitFor();
  const answerAgain = await inPlaceOf("CallDetail", "none");
  await page.keyboard.press("j");
  await dialog.getByRole("alert").getByText("mcptap does not answer").waitFor();
  await answerAgain();
  await dialog.getByRole("button", { name: "Try again" }).click();
  await tool("older").waitFor();
});

test("who answers in which way is told apart", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  for (const [answer, title, words] of [
    [unavailable, "mcptap cannot read its database now", "This page tries again by itself"],
    [busy, "mcptap cannot answer right now", "the memory budget is full"],
    [proxy, "mcptap does not answer", "A proxy answers, but cannot reach mcptap, at"],
    ["none", "mcptap does not answer", "Nothing answers at"],
  ] as const) {
    const answerAgain = await inPlaceOf("CallPage", answer);
    await page.goto(mcptap.url);
    await page.getByRole("alert").getByRole("heading", { name: title }).waitFor();
    await page.getByRole("alert").getByText(words).waitFor();
    // the browser has words of its own
    expect(await page.getByRole("alert").innerText()).not.toContain("Failed to fetch");
    await answerAgain();
    if (answer !== unavailable) await page.getByRole("button", { name: "Try again" }).click();
    await rows(page).first().waitFor();
  }
});

test("pages that were opened while the database did not answer heal by themselves", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", server: "shop" });
  for (const [name, address, words, healed] of [
    ["CallPage", "/setup", "mcptap, or its database, does not answer; retrying.", "Waiting for a call"],
    ["CallPage", "/servers/shop", "mcptap cannot read its database now", "forecast"],
    ["Keys", "/keys", "mcptap cannot read its database now", "No keys yet"],
  ] as const) {
    const answerAgain = await inPlaceOf(name, unavailable);
    await page.goto(`${mcptap.url}${address}`);
    await page.getByText(words).waitFor();
    await answerAgain();
    await page.getByText(healed).first().waitFor();
  }
});

test("a menu whose values did not come can be asked for again", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  const answerAgain = await inPlaceOf("Facets", "none");
  await page.getByRole("button", { name: /^Tool/ }).click();
  await page.getByText("The counts could not be loaded.").waitFor();
  await answerAgain();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("option", { name: /forecast/ }).waitFor();
});

test("a page that is still connecting does not say that nobody answers", async () => {
  const { page, mcptap } = pages;
  // a socket that is accepted and told nothing
  await page.routeWebSocket("**/graphql", () => {});
  for (const address of ["/", "/setup"]) {
    await page.goto(mcptap.url + address);
    await page.getByText("Connecting…").waitFor();
    await page.getByText("This turns green when the first call arrives.").waitFor();
    expect(await page.getByText("does not answer").count(), address).toBe(0);
  }
  expect(pages.complaints).toEqual([]);
});

test("pages without anything lead to Setup", async () => {
  const { page, mcptap } = pages;
  for (const [address, words] of [
    ["/sessions", "No sessions"],
    ["/overview", "No calls yet"],
    ["/servers", "No servers yet"],
  ] as const) {
    await page.goto(`${mcptap.url}${address}`);
    await page.getByText(words).waitFor();
    await page.getByRole("main").getByRole("link", { name: "Set up a server" }).click();
    await page.getByRole("heading", { name: "Setup" }).waitFor();
  }
  expect(pages.complaints).toEqual([]);
});

test.each([320, 390])(
  "at %i pixels commands are as wide as the page, and times at an axis apart",
  async (width) => {
    const { mcptap } = pages;
    await openContext(pages, { width });
    const { page } = pages;
    await page.goto(`${mcptap.url}/setup`);
    const widths = await page
      .locator(".snippet")
      .first()
      .evaluate((snippet) => [snippet.clientWidth, snippet.querySelector("pre")?.clientWidth ?? 0]);
    expect(widths[1]).toBeGreaterThan((widths[0] ?? 0) - 40);
    await mcptap.reportAll([{ tool: "a", agoMs: 60_000 }, { tool: "b" }]);
    await page.goto(`${mcptap.url}/overview`);
    const chart = page.getByRole("region", { name: "Calls and errors" });
    await chart.locator("svg").waitFor();
    await expect
      .poll(() =>
        chart.locator("svg text").evaluateAll((texts) => {
          const boxes = texts.map((text) => text.getBoundingClientRect());
          const bottom = Math.max(...boxes.map((box) => box.bottom));
          const times = boxes.filter((box) => box.bottom === bottom).sort((a, b) => a.left - b.left);
          return (
            times.length > 1 && times.every((box, at) => at === 0 || box.left >= (times[at - 1]?.right ?? 0))
          );
        }),
      )
      .toBe(true);
  },
);
