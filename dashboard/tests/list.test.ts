import { expect, test } from "vitest";
import { givenPages, openContext, rows, withoutLostConnections } from "./pages";

const pages = givenPages();

test("the list shows what a call was, newest first, ten at a time", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 25 }, (_, index) => ({ tool: `tool_${index}`, agoMs: 60_000 - index * 100 })),
  );
  await mcptap.report({
    tool: "forecast",
    status: 404,
    ip: "2a02:898::1",
    country: "NL",
    error: "no such city",
    durationMs: 1500,
  });
  await page.goto(mcptap.url);
  await page.getByText("26 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(10);
  const first = rows(page).first();
  expect(await first.textContent()).toMatch(
    /404.*Tool error.*tools\/call.*forecast.*weather.*NL.*2a02:898::1.*1\.50 s.*(ago|just now)/s,
  );
  await first.locator("img.flag").waitFor();
  await expect
    .poll(() => first.locator("img.flag").evaluate((image) => (image as HTMLImageElement).naturalWidth))
    .toBeGreaterThan(0);
  expect(await first.locator("time").getAttribute("title")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}/);
  expect(await rows(page).nth(1).textContent()).toContain("tool_24");

  await page.getByRole("button", { name: "Load more" }).click();
  await rows(page).nth(19).waitFor();
  await page.getByRole("button", { name: "Load more" }).click();
  await page.getByText("All stored calls are shown.").waitFor();
  expect(await page.getByRole("table", { name: "Calls" }).getAttribute("aria-rowcount")).toBe("27");
  expect(await page.getByRole("button", { name: "Load more" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("grey rows stand where calls will be, until they are there", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(Array.from({ length: 15 }, (_, index) => ({ tool: `tool_${index}` })));
  let answer = () => {};
  await page.route("**/graphql", async (route) => {
    if (route.request().postData()?.includes("query CallPage"))
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
    await route.continue();
  });
  const table = page.getByRole("table", { name: "Calls" });
  const ghosts = page.locator(".ghosts > div");
  await page.goto(mcptap.url);
  await ghosts.nth(9).waitFor();
  expect(await table.getAttribute("aria-busy")).toBe("true");
  answer();
  await rows(page).nth(9).waitFor();
  expect(await ghosts.count()).toBe(0);
  expect(await table.getAttribute("aria-busy")).toBe("false");
  await page.getByRole("button", { name: "Load more" }).click();
  await ghosts.first().waitFor();
  expect(await rows(page).count()).toBe(10);
  answer();
  await rows(page).nth(14).waitFor();
  expect(await ghosts.count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a call that nobody saw an HTTP status of shows its outcome in words", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  const row = page.getByRole("row", { name: /forecast/ });
  expect(await row.getByRole("cell").first().textContent()).toBe("OK");
});

test("columns can be chosen, and times be told in another zone, and both are remembered", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", client: "claude-code", session: "s-1" });
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("option", { name: "Client" }).click();
  await page.getByRole("option", { name: "IP" }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("columnheader", { name: "Client" }).waitFor();
  expect(await page.getByRole("columnheader", { name: "IP" }).count()).toBe(0);

  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Time zone").selectOption("Asia/Tokyo");
  await page.getByText("Relative times in lists").click();
  await page.keyboard.press("Escape");
  const there = new Intl.DateTimeFormat("en-GB", {
    timeZone: "Asia/Tokyo",
    hour: "2-digit",
    hourCycle: "h23",
  });
  await page.reload();
  await page.getByRole("columnheader", { name: "Client" }).waitFor();
  const time = rows(page).first().locator("time");
  expect(await time.textContent()).toContain(` ${there.format(new Date())}:`);
  expect(pages.complaints).toEqual([]);
});

test("ten thousand loaded rows are no more of the page than a screenful", async () => {
  const { page, mcptap } = pages;
  for (let batch = 0; batch < 5; batch++) {
    await mcptap.reportAll(
      Array.from({ length: 2000 }, (_, index) => ({ tool: `t${batch * 2000 + index}` })),
    );
  }
  await page.goto(mcptap.url);
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("button", { name: "500", exact: true }).click();
  await page.keyboard.press("Escape");
  const table = page.getByRole("table", { name: "Calls" });
  const height = () => table.evaluate((element) => element.clientHeight);
  for (let loaded = 500; loaded < 10_000; loaded += 500) {
    await expect.poll(height).toBeGreaterThan(loaded * 38);
    // the button is far below; the keyboard finds it as a mouse would after scrolling
    await page
      .getByRole("button", { name: "Load more" })
      .evaluate((button) => (button as HTMLElement).click());
  }
  await expect.poll(height).toBeGreaterThan(10_000 * 38);
  expect(await table.getAttribute("aria-rowcount")).toBe("10001");
  expect(await rows(page).count()).toBeLessThan(80);
  await page
    .locator(".table-scroll")
    .evaluate((element) => element.scrollTo({ top: element.scrollHeight / 2 }));
  await table.locator('[aria-rowindex="5002"]').waitFor();
  expect(await rows(page).count()).toBeLessThan(80);
  expect(pages.complaints).toEqual([]);
});

test("what a server sent is shown as text, never read as markup", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "<img src=x onerror=alert(1)>" });
  await page.goto(mcptap.url);
  await page.getByText("<img src=x onerror=alert(1)>").waitFor();
  expect(await rows(page).locator("img").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test("a phone gets the same in cards, and never has to scroll sideways", async () => {
  const { mcptap } = pages;
  await mcptap.report({
    tool: "a_tool_with_a_name_that_is_longer_than_a_phone_is_wide",
    status: 500,
    error: "x",
  });
  await openContext(pages, { width: 390, hasTouch: true });
  const { page } = pages;
  await page.goto(mcptap.url);
  const row = page.getByRole("row", { name: /a_tool_with/ });
  await row.waitFor();
  const box = await row.boundingBox();
  expect(box && box.x >= 0 && box.x + box.width <= 390).toBe(true);
  // and every page is in sight
  const links = page.getByRole("navigation", { name: "Pages" }).getByRole("link");
  expect(await links.allTextContents()).toContain("Keys");
  for (const link of await links.all()) {
    const place = await link.boundingBox();
    expect(place && place.x >= 0 && place.x + place.width <= 390).toBe(true);
  }
  await page.getByRole("button", { name: "Filters" }).click();
  await page.getByRole("button", { name: /^Tool/ }).waitFor();
  await row.tap();
  await page.getByRole("dialog", { name: "Call" }).getByRole("heading", { name: "Request" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("when mcptap is away every page says so, also one that was not loaded before", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", session: "s-1" });
  const visit = async (letter: string) => {
    await page.keyboard.press("g");
    await page.keyboard.press(letter);
  };
  const shows = {
    s: page.getByRole("row", { name: /weather/ }),
    o: page.getByRole("region", { name: "Top tools" }).getByText("forecast"),
    v: page.getByRole("row", { name: /weather/ }),
    k: page.getByText("No keys yet"),
  };
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.getByRole("link", { name: "Keys" }).waitFor();
  for (const [letter, content] of Object.entries(shows)) {
    if (letter !== "k") {
      await visit(letter);
      await content.waitFor();
    }
  }
  await visit("c");
  await rows(page).first().waitFor();
  await mcptap.terminate();

  // a menu that does not come takes nothing with it
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("dialog").getByRole("heading", { name: "could not be loaded" }).waitFor();
  await page.keyboard.press("Escape");
  expect(await rows(page).count()).toBe(1);
  await visit("k");
  await page.getByRole("heading", { name: "could not be loaded" }).waitFor();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Still no answer.").waitFor();
  for (const letter of ["s", "o", "v"]) {
    await visit(letter);
    await page.getByRole("heading", { name: "mcptap does not answer" }).waitFor();
    expect(await page.getByRole("alert").count(), letter).toBe(1);
  }
  await mcptap.launch();
  await page.getByRole("button", { name: "Try again" }).click();
  await shows.v.waitFor();
  // whoever comes back has to do nothing
  await visit("k");
  await shows.k.waitFor();
  const lost = withoutLostConnections(pages.complaints);
  expect(lost.filter((words) => !words.includes("Failed to fetch dynamically imported module"))).toEqual([]);
});

test("when the API is away the page says what to do, and goes on when it is back", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "before" });
  await page.goto(`${mcptap.url}/?tool=before`);
  await page.getByRole("row", { name: /before/ }).waitFor();
  await mcptap.terminate();
  await page.getByRole("searchbox", { name: "Search" }).fill("before");
  const alert = page.getByRole("alert");
  await alert.getByText("mcptap does not answer").waitFor();
  await alert.getByText("mcptap serve").waitFor();
  await mcptap.launch();
  await alert.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("row", { name: /before/ }).waitFor();
  expect(page.url()).toBe(`${mcptap.url}/?tool=before&q=before`);
  expect(withoutLostConnections(pages.complaints)).toEqual([]);
});
