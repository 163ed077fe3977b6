import { expect, test } from "vitest";
import { givenPages, openContext, withoutRefusals } from "./pages";

const pages = givenPages();

/** Runs an example in GraphiQL, once its editor, which comes up by and by, has it. */
async function execute(example: string): Promise<void> {
  const { page } = pages;
  const editor = page.getByRole("region", { name: "Operation Editor" });
  await editor.getByText("NewestCalls", { exact: true }).waitFor();
  if (example !== "NewestCalls") {
    await page.getByRole("tab", { name: example }).click();
    await editor.getByText(example, { exact: true }).waitFor();
    // GraphiQL looks at an edited document only after a pause, and remembers it in the same breath. Until then it
    // would run the operation of the tab before.
    await page.waitForFunction((name) => localStorage.getItem("graphiql:query")?.includes(name), example);
  }
  await page.getByRole("button", { name: /Execute query/ }).click();
}

test("GraphiQL answers a query from the binary alone", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await page.getByRole("link", { name: "GraphiQL" }).click();
  await execute("NewestCalls");
  const answer = page.locator(".result-window");
  await answer.getByText("forecast").first().waitFor();
  expect(pages.complaints).toEqual([]);
});

test("GraphiQL subscribes over the socket", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/graphql`);
  await execute("LiveCalls");
  const answer = page.locator(".result-window");
  await answer.getByText("CaughtUp").waitFor();
  expect(pages.sockets).toEqual([`${mcptap.url.replace("http:", "ws:")}/graphql`]);
  await mcptap.report({ tool: "heartbeat" });
  await answer.getByText("heartbeat").first().waitFor();
  await page.getByRole("button", { name: /Stop query/ }).click();
  expect(pages.complaints).toEqual([]);
});

test("GraphiQL can be used on a phone, and asks for the key that the API wants", async () => {
  await openContext(pages, { width: 390 });
  const { page, mcptap } = pages;
  const key = await mcptap.createKey("reader", "read");
  await page.goto(`${mcptap.url}/graphql`);
  const bar = page.getByRole("form", { name: "Sign in" });
  await bar.getByText("requires an API key").waitFor();
  await bar.getByLabel("API key").fill(`Bearer ${key}`);
  await bar.getByRole("button", { name: "Sign in" }).click();
  await bar.waitFor({ state: "detached" });
  await execute("NewestCalls");
  await page.locator(".result-window").getByText("calls").first().waitFor();
  const wide = (place: string) => page.locator(place).evaluate((box) => box.getBoundingClientRect().width);
  for (const place of [".result-window", ".graphiql-query-editor"])
    expect(await wide(place), place).toBeGreaterThan(250);
  await page.goto(mcptap.url);
  await page.getByText("0 calls", { exact: true }).or(page.getByText("No calls yet")).first().waitFor();
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});
