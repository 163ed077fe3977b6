import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { Mcptap } from "./mcptap";

/** What each test of a file has: a mcptap of its own with an empty database, and a page of a browser. */
export interface Pages {
  browser: Browser;
  context: BrowserContext;
  mcptap: Mcptap;
  page: Page;
  /** Everything that must not happen on any page: errors, violated policies, requests that left the origin. */
  complaints: string[];
  sockets: string[];
}

/** The same page and mcptap as a test gets them, filled in before each. */
export function givenPages(): Pages {
  const pages = {} as Pages;

  beforeAll(async () => {
    pages.browser = await chromium.launch({
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
  afterAll(() => pages.browser?.close());

  beforeEach(async () => {
    pages.mcptap = await Mcptap.start();
    await openContext(pages, {});
  });
  afterEach(async () => {
    await pages.context?.close();
    await pages.mcptap?.stop();
  });
  return pages;
}

/** A context with other options, such as a narrow window, in place of the one that the test has. */
export async function openContext(
  pages: Pages,
  options: { width?: number; colorScheme?: "light" | "dark"; forcedColors?: "active"; hasTouch?: boolean },
): Promise<void> {
  await pages.context?.close();
  const { width = 1280, ...rest } = options;
  pages.context = await pages.browser.newContext({
    viewport: { width, height: 800 },
    locale: "en-GB",
    ...rest,
  });
  pages.context.setDefaultTimeout(15_000);
  const page = await pages.context.newPage();
  const complaints: string[] = [];
  const sockets: string[] = [];
  Object.assign(pages, { page, complaints, sockets });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  const origin = new URL(pages.mcptap.url);
  const foreign = (url: string) => {
    const { protocol, host } = new URL(url);
    return host !== origin.host && protocol !== "data:" && protocol !== "blob:";
  };
  pages.context.on("request", (request) => {
    if (foreign(request.url())) complaints.push(`request: ${request.url()}`);
  });
  page.on("websocket", (socket) => {
    sockets.push(socket.url());
    if (foreign(socket.url())) complaints.push(`socket: ${socket.url()}`);
  });
}

/** The rows of the list, without that of the headers. */
export const rows = (page: Page) => page.getByRole("table", { name: "Calls" }).locator(".body [role=row]");

/** What axe has to say against the page as it is. `regions`: whether all of it must lie in landmarks. */
export async function axeSays(page: Page, regions = true): Promise<string[]> {
  // through the debugger, which the policy of the page does not bind
  await page.evaluate(axe.source);
  return page.evaluate(async (enabled) => {
    const run = (globalThis as unknown as { axe: typeof axe }).axe;
    const { violations } = await run.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      rules: { region: { enabled } },
    });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary?.split("\n")[1] ?? ""}`),
    );
  }, regions);
}

/** What is wider than the window, which would make a person scroll sideways. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** Opens the page with a key, as a tab has it after the sign-in. */
export async function withKey(pages: Pages, key: string): Promise<void> {
  await pages.context.addInitScript((given) => {
    // once for each tab: what it forgets or replaces stays so when it is loaded again
    if (sessionStorage.getItem("test.signed-in")) return;
    sessionStorage.setItem("test.signed-in", "yes");
    sessionStorage.setItem("mcptap.key", given);
  }, key);
}

/** Leaves out what the browser itself reports of refusals that are meant. */
export function withoutRefusals(complaints: readonly string[]): string[] {
  return complaints.filter((complaint) => !/status of (401|403)/.test(complaint));
}

/** Leaves out what the browser itself reports of connections that fail on purpose. */
export function withoutLostConnections(complaints: readonly string[]): string[] {
  return complaints.filter(
    (complaint) => !/ERR_CONNECTION_REFUSED|WebSocket|ERR_EMPTY_RESPONSE/.test(complaint),
  );
}

/** The address shows what the page does; it changes a moment later. */
export async function expectAddress(page: Page, wanted: RegExp): Promise<void> {
  await page.waitForURL(wanted);
  expect(page.url()).toMatch(wanted);
}
