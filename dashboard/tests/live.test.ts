import { expect, test } from "vitest";
import { givenPages, rows, withoutLostConnections } from "./pages";

const pages = givenPages();
const live = () => pages.page.getByRole("switch", { name: "Live" });
const says = (words: string) => pages.page.locator(".live").getByText(words, { exact: true }).waitFor();

test("the switch brings new calls on top, with all filters kept, and stops them", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(`${mcptap.url}/?tool=forecast`);
  await page.getByText("1 call", { exact: true }).waitFor();
  await says("Paused");
  await live().click();
  await says("Live");
  await page.waitForURL(/\?tool=forecast&live=1$/);
  await mcptap.reportAll([{ tool: "radar" }, { tool: "forecast", error: "no such city" }]);
  await page.getByText("2 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(2);
  await rows(page).first().getByText("no such city").waitFor();

  await live().click();
  await says("Paused");
  await mcptap.report({ tool: "forecast" });
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText("3 calls", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("over a restart of mcptap it says so, and goes on with what was missed, each call once", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "before" });
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByRole("row", { name: /before/ }).waitFor();
  await says("Live");
  await mcptap.terminate();
  await says("Reconnecting");
  await mcptap.launch();
  await mcptap.report({ tool: "after" });
  await page.getByRole("row", { name: /after/ }).waitFor();
  await page.getByText("2 calls", { exact: true }).waitFor();
  await says("Live");
  await expect.poll(() => rows(page).count()).toBe(2);
  expect(withoutLostConnections(pages.complaints)).toEqual([]);
});

test("a connection that looks open and brings nothing is told, and made anew", async () => {
  const { page, mcptap } = pages;
  let isCut = false;
  let unanswered = 0;
  await page.routeWebSocket("**/graphql", (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => {
      if (isCut) return;
      if (String(message).includes('"ping"')) unanswered++;
      server.send(message);
    });
    server.onMessage((message) => {
      if (isCut) return;
      socket.send(message);
      if (String(message).includes('"pong"')) unanswered--;
    });
  });
  await mcptap.report({ tool: "before" });
  await page.clock.install();
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  isCut = true;
  await mcptap.report({ tool: "after" });
  const word = page.locator(".live-words");
  const runOn = async () => {
    await page.clock.runFor(5_000);
    return word.textContent();
  };
  await expect.poll(runOn, { timeout: 60_000 }).not.toBe("Live");
  isCut = false;
  await expect.poll(runOn, { timeout: 60_000 }).toBe("Live");
  await page.getByRole("row", { name: /after/ }).waitFor();
  // and stays, as the other end answers
  unanswered = 0;
  for (let turn = 0; turn < 8; turn++) {
    await page.clock.runFor(4_000);
    // the answer comes by the network's clock
    await expect.poll(() => unanswered).toBe(0);
    expect(await word.textContent()).toBe("Live");
  }
  expect(withoutLostConnections(pages.complaints)).toEqual([]);
});

test("over another database Live begins anew, with the calls that it has", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "before" }, { tool: "before_too" }]);
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  await rows(page).nth(1).waitFor();
  await mcptap.replaceDatabase();
  await mcptap.report({ tool: "after" });
  await page.getByRole("row", { name: /after/ }).waitFor({ timeout: 30_000 });
  await says("Live");
  expect(await rows(page).count()).toBe(1);
  await page.getByText("1 call", { exact: true }).waitFor();
  await mcptap.report({ tool: "later" });
  await page.getByRole("row", { name: /later/ }).waitFor();
  await page.getByText("2 calls", { exact: true }).waitFor();
  expect(withoutLostConnections(pages.complaints)).toEqual([]);
});

test("Live says of old calls how old they are and why, and of a list that was refused that it is asked for", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  await rows(page).first().waitFor();
  await mcptap.terminate();
  await says("Reconnecting");
  const old = page.locator(".outdated");
  await old.getByText("Not up to date. mcptap does not answer. Data as of").waitFor();
  await mcptap.launch();
  await says("Live");
  await old.waitFor({ state: "detached" });
  expect(withoutLostConnections(pages.complaints)).toEqual([]);

  const refusal = { errors: [{ message: "the query took too long", extensions: { code: "TIMED_OUT" } }] };
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query CallPage")
      ? route.fulfill({ status: 503, json: refusal })
      : route.continue(),
  );
  await page.goto(`${mcptap.url}/?live=1&tool=forecast`);
  await page.getByText("the query took too long").first().waitFor();
  await says("Not connected");
  await page.unroute("**/graphql");
  await live().click();
  await says("Paused");
  await live().click();
  await says("Live");
  await rows(page).first().waitFor();
});

test("choosing a value in the drawer leaves Live on", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "forecast" }, { tool: "radar" }]);
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByRole("row", { name: /radar/ }).click();
  const drawer = page.getByRole("dialog", { name: "Call" });
  await drawer.getByRole("button", { name: "radar" }).click();
  await page.getByRole("menuitem", { name: "Filter for" }).click();
  await page.waitForURL(/\?live=1&tool=radar$/);
  await page.getByText("1 call", { exact: true }).waitFor();
  await says("Live");
  await mcptap.reportAll([{ tool: "forecast" }, { tool: "radar" }]);
  await page.getByText("2 calls", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("as long as what was missed is being read it says so", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  let caughtUp: (() => void) | undefined;
  await page.routeWebSocket("**/graphql", (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      if (String(message).includes("CaughtUp")) caughtUp = () => socket.send(message);
      else socket.send(message);
    });
  });
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Catching up");
  await rows(page).first().waitFor();
  await expect.poll(() => caughtUp).toBeDefined();
  caughtUp?.();
  await says("Live");
  expect(pages.complaints).toEqual([]);
});

test("a reader further down is told how many are new, and the list stands still", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(Array.from({ length: 60 }, (_, index) => ({ tool: `old_${index}` })));
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  for (let pagesLoaded = 1; pagesLoaded < 5; pagesLoaded++) {
    await page.getByRole("button", { name: "Load more" }).click();
    // the first row of the page has the focus
    await page.locator(`[aria-rowindex="${pagesLoaded * 10 + 2}"]`).waitFor();
  }
  const scroller = page.locator(".table-scroll");
  await scroller.evaluate((element) => element.scrollTo({ top: 800 }));
  const middle = page.locator('[aria-rowindex="25"]');
  await middle.waitFor();
  const text = await middle.locator(".target").textContent();
  await mcptap.reportAll([{ tool: "new_1" }, { tool: "new_2" }, { tool: "new_3" }]);
  await page.getByRole("button", { name: "3 new" }).waitFor();
  expect(await scroller.evaluate((element) => element.scrollTop)).toBe(800);
  expect(await middle.locator(".target").textContent()).toBe(text);
  await page.getByRole("button", { name: "3 new" }).click();
  await page.getByRole("row", { name: /new_3/ }).waitFor();
  expect(await rows(page).first().textContent()).toContain("new_");
  expect(await page.getByRole("button", { name: /new$/ }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a burst of thousands of calls arrives whole, and the page answers meanwhile", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "first" });
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  for (let batch = 0; batch < 10; batch++) {
    await mcptap.reportAll(Array.from({ length: 500 }, (_, index) => ({ tool: `burst_${batch}_${index}` })));
  }
  await page.getByText("5,001 calls", { exact: true }).waitFor({ timeout: 60_000 });
  await page
    .getByRole("row", { name: /burst_9_/ })
    .first()
    .waitFor({ timeout: 60_000 });
  const table = page.getByRole("table", { name: "Calls" });
  await expect.poll(() => table.getAttribute("aria-rowcount")).toBe("5002");
  expect(await rows(page).count()).toBeLessThan(80);
  await page.getByRole("button", { name: /^Server/ }).click();
  await page.getByRole("option", { name: /weather/ }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("nothing moves while nothing happens, and nothing at all for those who want it so", async () => {
  const { page, mcptap } = pages;
  const moving = () => page.evaluate(() => document.getAnimations().length);
  await mcptap.report({ tool: "forecast" });
  await page.goto(`${mcptap.url}/?live=1`);
  await says("Live");
  await rows(page).first().waitFor();
  await expect.poll(moving).toBe(0);
  // grey rows shimmer, and the switch slides
  await page.route("**/graphql", (route) =>
    route.request().postData()?.includes("query CallPage") ? undefined : route.continue(),
  );
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto(`${mcptap.url}/`);
  await page.locator(".ghosts span").first().waitFor();
  await expect.poll(moving).toBe(0);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await expect.poll(moving).toBeGreaterThan(0);
  // and whatever moves without an end is nothing that has to be painted anew
  const endless = await page.evaluate(() =>
    document
      .getAnimations()
      .map(({ effect }) => effect as KeyframeEffect)
      .filter((effect) => effect.getTiming().iterations === Number.POSITIVE_INFINITY)
      .flatMap((effect) => effect.getKeyframes().flatMap((frame) => Object.keys(frame))),
  );
  const cheap = ["opacity", "transform", "offset", "computedOffset", "easing", "composite"];
  expect(endless.length).toBeGreaterThan(0);
  expect(endless.filter((property) => !cheap.includes(property))).toEqual([]);
  expect(pages.complaints).toEqual([]);
});
