import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Mcptap } from "./mcptap";

let browser: Browser;
let mcptap: Mcptap;
let page: Page;
/** Everything that must not happen on any page: errors, violated policies, requests that left the origin. */
let complaints: string[];
let sockets: string[];

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

afterAll(() => browser?.close());

beforeEach(async () => {
  mcptap = await Mcptap.start();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  page = await context.newPage();
  complaints = [];
  sockets = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  const origin = new URL(mcptap.url);
  const foreign = (url: string) => {
    const { protocol, host } = new URL(url);
    return host !== origin.host && protocol !== "data:" && protocol !== "blob:";
  };
  context.on("request", (request) => {
    if (foreign(request.url())) complaints.push(`request: ${request.url()}`);
  });
  page.on("websocket", (socket) => {
    sockets.push(socket.url());
    if (foreign(socket.url())) complaints.push(`socket: ${socket.url()}`);
  });
});

afterEach(async () => {
  await page?.context().close();
  await mcptap?.stop();
});

/** Runs an example in GraphiQL, once its editor, which comes up by and by, has it. */
async function execute(example: string): Promise<void> {
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

test("the start page shows how to begin, then each call as it happens", async () => {
  await page.goto(mcptap.url);
  await page.getByText("No calls yet").waitFor();
  await page.getByText(/^export OTEL_EXPORTER_OTLP_ENDPOINT=http:\/\/127\.0\.0\.1:4318$/).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();

  await mcptap.report({ tool: "forecast" });
  const row = page.getByRole("row", { name: /forecast/ });
  await row.waitFor();
  expect(await row.textContent()).toMatch(/OK.*tools\/call.*forecast.*weather.*42 ms/s);
  expect(await page.getByText("No calls yet").isVisible()).toBe(false);
  expect(complaints).toEqual([]);
});

test("the start page shows stored calls and goes on live without a gap or a double", async () => {
  await mcptap.report({ tool: "stored" });
  await page.goto(mcptap.url);
  await page.getByRole("row", { name: /stored/ }).waitFor();
  await page.getByText("1 in all").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();

  await mcptap.report({ tool: "broken", error: "no such city" });
  await page.getByRole("row", { name: /Tool error.*broken/ }).waitFor();
  await page.getByText("2 in all").waitFor();
  expect(await page.locator("tbody tr").count()).toBe(2);
  expect(await page.locator("tbody tr").first().textContent()).toContain("broken");
  expect(complaints).toEqual([]);
});

test("the start page goes on after a restart of mcptap, with what it missed", async () => {
  await mcptap.report({ tool: "before" });
  await page.goto(mcptap.url);
  await page.getByRole("row", { name: /before/ }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();

  await mcptap.terminate();
  await page.getByText("Reconnecting…").waitFor();
  await mcptap.launch();
  await mcptap.report({ tool: "after" });
  await page.getByRole("row", { name: /after/ }).waitFor();
  await page.getByText("2 in all").waitFor();
  expect(await page.locator("tbody tr").count()).toBe(2);
  // the browser itself reports each refused connection
  expect(complaints.filter((complaint) => !/ERR_CONNECTION_REFUSED|WebSocket/.test(complaint))).toEqual([]);
});

test("what a server sent is shown as text, never read as markup", async () => {
  await mcptap.report({ tool: "<img src=x onerror=alert(1)>" });
  await page.goto(mcptap.url);
  await page.getByText("<img src=x onerror=alert(1)>").waitFor();
  expect(await page.locator("tbody img").count()).toBe(0);
  expect(complaints).toEqual([]);
});

test("GraphiQL answers a query from the binary alone", async () => {
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await page.getByRole("link", { name: "GraphiQL" }).click();
  await execute("NewestCalls");
  const answer = page.locator(".result-window");
  await answer.getByText("forecast").first().waitFor();
  expect(complaints).toEqual([]);
});

test("GraphiQL subscribes over the socket", async () => {
  await page.goto(`${mcptap.url}/graphql`);
  await execute("LiveCalls");
  const answer = page.locator(".result-window");
  await answer.getByText("CaughtUp").waitFor();
  expect(sockets).toEqual([`${mcptap.url.replace("http:", "ws:")}/graphql`]);
  await mcptap.report({ tool: "heartbeat" });
  await answer.getByText("heartbeat").first().waitFor();
  await page.getByRole("button", { name: /Stop query/ }).click();
  expect(complaints).toEqual([]);
});
