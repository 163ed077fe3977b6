import { expect, test } from "vitest";
import { givenPages, openContext, overflow, rows } from "./pages";

const pages = givenPages();

const tool = "mcp__github__create_or_update_file_contents_in_a_repository_of_the_organisation_v2";
const server =
  "a-server-whose-name-is-the-host-and-the-path-and-the-version-of-what-runs-there.example.internal";
const client = "a-client-that-gives-its-whole-user-agent-as-its-name-with-no-space-in-it/1.2.3-beta.4";

async function report(): Promise<void> {
  await pages.mcptap.reportAll([
    {
      tool,
      server,
      client,
      session: "s-1",
      status: 200,
      country: "NL",
      ip: "2a02:898:0:20:1111:2222:3333:4444",
    },
    { tool: `${tool}_too`, server, client, session: "s-1", status: 502, error: "no such file" },
    {
      ...{ tool: "gone", server: "weather", status: 502, agoMs: 1000, durationMs: 72_000 },
      ...{ country: "NL", ip: "2a02:898:0:20:1111:2222:3333:4444" },
    },
    { tool: "short", server: "weather", client: "cursor", session: "s-2" },
  ]);
}

/** The cards that hold something wider than themselves. */
const leaving = () =>
  pages.page.evaluate(() =>
    [...document.querySelectorAll(".card, .table-box, .facts, .page-head, .detail section")]
      .filter((card) => card.scrollWidth > card.clientWidth)
      .map(
        (card) =>
          `${card.getAttribute("aria-label") ?? card.className}: ${card.scrollWidth} > ${card.clientWidth}`,
      ),
  );

for (const width of [320, 390, 768, 1280, 1440]) {
  test(`names of any length stay inside their cards at ${width} pixels`, async () => {
    const { mcptap } = pages;
    await report();
    await openContext(pages, { width });
    const { page } = pages;
    const { sessions } = await mcptap.ask("{ sessions { nodes { id callCount } } }");
    const { id } = (sessions as { nodes: { id: string; callCount: number }[] }).nodes.find(
      ({ callCount }) => callCount === 2,
    ) ?? { id: "" };
    const addresses = [
      ["/overview", page.getByRole("region", { name: "Most failing tools" }).getByText(tool)],
      ["/servers", page.getByRole("link", { name: server })],
      [`/servers/${server}?tab=tools`, page.getByRole("link", { name: tool, exact: true })],
      ["/sessions", page.getByRole("link", { name: server })],
      [`/sessions/${encodeURIComponent(id)}`, page.getByRole("listitem").getByText("no such file")],
      [`/?server=${server}&tool=${tool}`, rows(page).first()],
      [`/servers/${server}`, rows(page).nth(1)],
    ] as const;
    /** Cells of the list that lie over one another, or beyond their row. */
    const overlapping = () =>
      rows(page).evaluateAll((all) =>
        all.flatMap((row) => {
          const around = row.getBoundingClientRect();
          const cells = [...row.querySelectorAll("[role=cell]")]
            .map((cell) => ({ name: cell.className, box: cell.getBoundingClientRect() }))
            .filter(({ box }) => box.width > 0);
          return cells.flatMap(({ name, box }, index) => [
            ...(box.top < around.top || box.bottom > around.bottom || box.right > around.right
              ? [`${name} leaves its row`]
              : []),
            ...cells
              .slice(index + 1)
              .filter(
                (other) =>
                  other.box.left < box.right - 1 &&
                  other.box.right > box.left + 1 &&
                  other.box.top < box.bottom - 1 &&
                  other.box.bottom > box.top + 1,
              )
              .map((other) => `${name} lies over ${other.name}`),
          ]);
        }),
      );
    /** Cells of the list that one has to scroll aside for. */
    const aside = () =>
      rows(page).evaluateAll((all) =>
        all.flatMap((row) =>
          [...row.querySelectorAll("[role=cell]")]
            .filter((cell) => cell.getBoundingClientRect().right > window.innerWidth)
            .map((cell) => cell.className),
        ),
      );
    for (const [address, content] of addresses) {
      await page.goto(mcptap.url + address);
      await content.first().waitFor();
      expect(await leaving(), address).toEqual([]);
      expect(await overflow(page), address).toBe(0);
    }
    await page.goto(mcptap.url);
    await rows(page).nth(3).waitFor();
    expect(await overlapping()).toEqual([]);
    expect(await aside()).toEqual([]);
    for (const link of await page.getByRole("navigation", { name: "Pages" }).getByRole("link").all()) {
      const place = await link.boundingBox();
      expect(place && place.x >= 0 && place.x + place.width <= width, (await link.textContent()) ?? "").toBe(
        true,
      );
    }
    await rows(page).first().click();
    await page.getByRole("dialog", { name: "Call" }).getByRole("region", { name: "Fields" }).waitFor();
    expect(await leaving()).toEqual([]);
    expect(pages.complaints).toEqual([]);
  });
}

test("a count of the overview stands in its own card, and a bar is as long as its share", async () => {
  const { page, mcptap } = pages;
  await report();
  await mcptap.announce({ server: "weather", tool: "slow" });
  await page.goto(`${mcptap.url}/overview`);
  const clients = page.getByRole("region", { name: "Clients" });
  await clients.getByText("2", { exact: true }).waitFor();
  const card = await clients.boundingBox();
  const value = await clients.getByText("2", { exact: true }).boundingBox();
  expect(value && card && value.x + value.width < card.x + card.width).toBe(true);
  expect(await clients.getByRole("link").first().getAttribute("title")).toBe(client);
  const bars = page.getByRole("region", { name: "Outcomes" });
  const widthOf = async (words: string) =>
    (await bars.getByRole("link", { name: words }).locator(".rank-bar").boundingBox())?.width;
  expect(await widthOf("Running")).toBe(await widthOf("Transport error"));
  expect(pages.complaints).toEqual([]);
});

test("the longest status is read whole in the list", async () => {
  const { page, mcptap } = pages;
  await report();
  for (const width of [1280, 1440]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(mcptap.url);
    const cell = page.getByRole("row", { name: /gone/ }).locator(".cell.status .text");
    await cell.getByText("Transport error").waitFor();
    expect(await cell.evaluate((text) => text.scrollWidth - text.clientWidth)).toBe(0);
  }
  expect(pages.complaints).toEqual([]);
});

test("on a phone each time among the servers says which it is", async () => {
  const { mcptap } = pages;
  await report();
  await openContext(pages, { width: 390 });
  const { page } = pages;
  await page.goto(`${mcptap.url}/servers`);
  const row = page.getByRole("row", { name: /weather/ });
  await row.waitFor();
  const said = await row
    .getByRole("cell")
    .evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell, "::before").content));
  expect(said.slice(-2)).toEqual(['"first call "', '"last call "']);
});

test("what cannot be seen in a name is drawn wherever the name stands", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "pay\u202Elap", server: "sh\u200Bop", client: "cur\u2066sor", session: "s-1" });
  const tool = "pay⟨U+202E⟩lap";
  const server = "sh⟨U+200B⟩op";
  await page.goto(mcptap.url);
  await rows(page).first().getByText(tool).waitFor();
  await rows(page).first().getByText(server).waitFor();
  await rows(page).first().click();
  await page.getByRole("dialog", { name: "Call" }).getByRole("button", { name: "cur⟨U+2066⟩sor" }).waitFor();
  await page.goto(`${mcptap.url}/overview`);
  await page.getByRole("region", { name: "Top tools" }).getByText(tool).waitFor();
  await page.getByRole("button", { name: /^Server/ }).click();
  await page.getByRole("option", { name: server }).click();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: `Remove Server ${server}` }).waitFor();
  await page.goto(`${mcptap.url}/sessions`);
  await page.getByRole("link", { name: server }).click();
  await page.getByRole("heading", { name: server }).waitFor();
  await page.getByRole("link", { name: "Tools", exact: true }).click();
  await page.getByRole("link", { name: tool }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("rows and windows are named by what they are", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "get_order", status: 404, error: "gone", client: "cursor", session: "s-1" });
  await page.goto(mcptap.url);
  const link = rows(page).first().getByRole("link");
  await link.waitFor();
  expect(await link.getAttribute("aria-label")).toMatch(
    /^tools\/call get_order, 404 Tool error, \d\d-\d\d \d\d:\d\d:\d\d$/,
  );
  const title = () => page.title();
  await page.goto(`${mcptap.url}${await link.getAttribute("href")}`);
  await expect.poll(title).toBe("tools/call get_order · mcptap");
  await page
    .getByRole("link", { name: /^open$/ })
    .last()
    .click();
  await expect.poll(title).toBe("Session of cursor with weather · mcptap");
  await page.goto(`${mcptap.url}/servers/weather`);
  await expect.poll(title).toBe("weather · mcptap");
  expect(pages.complaints).toEqual([]);
});

test("what cannot be seen is drawn in every other text that a sender gives as a name", async () => {
  const { page, mcptap } = pages;
  const ip = "10.0.0.1";
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("No calls yet").waitFor();
  await mcptap.report({
    ...{ tool: "a\u3164b", server: "c\u206Fd", client: "e\u{E0041}f", session: "s\u200B1", ip },
    error: "no\u202Etxt",
  });
  // Setup, when it turns green
  await page.getByText("c⟨U+206F⟩d:").waitFor();
  await page.getByRole("link", { name: "tools/call a⟨U+3164⟩b" }).click();
  await expect.poll(() => page.title()).toBe("tools/call a⟨U+3164⟩b · mcptap");
  await page.getByRole("button", { name: "e⟨U+E0041⟩f" }).waitFor();
  await page.goto(mcptap.url);
  await rows(page).first().getByText("no⟨U+202E⟩txt").waitFor();
  const shown = await page
    .locator("[title], [aria-label]")
    .evaluateAll((all) =>
      all.flatMap((element) => [element.getAttribute("title"), element.getAttribute("aria-label")]),
    );
  expect(shown.filter((text) => /[\u3164\u206f\u202e\u{e0041}]/u.test(text ?? ""))).toEqual([]);
  await page.goto(`${mcptap.url}/?session=s%E2%80%8B1`);
  await page.getByRole("button", { name: "Remove Session s⟨U+200B⟩1" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("no text of a call hides or reorders what stands beside it, and a cut leaves characters whole", async () => {
  const { page, mcptap } = pages;
  const odd = "\u202Eodd\u2066";
  await mcptap.report({
    ...{ tool: odd, server: odd, session: `${odd}${"🌦️".repeat(9)}${odd}`, client: odd, authorization: odd },
    ...{
      request: `{"${odd}":"${odd}"}`,
      response: odd,
      error: `${odd} first\nsecond`,
      stack: `${odd}\n  at x`,
    },
    logs: [{ severity: "INFO", body: odd }],
  });
  /** What of the page holds marks of direction: texts, and those for screen readers and tips. */
  const raw = () =>
    page.locator("body").evaluate((body) => {
      const texts = [document.title, (body as HTMLElement).innerText];
      for (const element of body.querySelectorAll("*"))
        for (const name of ["title", "aria-label"]) texts.push(element.getAttribute(name) ?? "");
      return texts.filter((text) => /[\u202e\u2066\ufffd]|\p{Surrogate}/u.test(text));
    });
  await page.addInitScript(() =>
    localStorage.setItem("mcptap.settings", '{"columns":["status","target","server","client","session"]}'),
  );
  await page.goto(mcptap.url);
  await rows(page).first().getByText("⟨U+202E⟩odd⟨U+2066⟩").first().waitFor();
  expect(await raw()).toEqual([]);
  await rows(page).first().click();
  const dialog = page.getByRole("dialog", { name: "Call" });
  await dialog.getByRole("region", { name: "Error" }).getByText("⟨U+202E⟩odd⟨U+2066⟩ first").waitFor();
  await dialog.getByRole("region", { name: "Console output" }).getByText("⟨U+202E⟩odd⟨U+2066⟩").waitFor();
  await dialog.getByRole("region", { name: "Request" }).getByText("⟨U+202E⟩odd⟨U+2066⟩").first().waitFor();
  await dialog.getByRole("region", { name: "Response" }).getByText("⟨U+202E⟩odd⟨U+2066⟩").waitFor();
  expect(await raw()).toEqual([]);
  expect(pages.complaints).toEqual([]);
});

test("a server whose name is blank has a name, and one with the longest leaves room for its tools", async () => {
  const { page, mcptap } = pages;
  const long = "w".repeat(1000);
  await mcptap.reportAll([
    { tool: "a", server: "\u2003" },
    { tool: "b", server: long },
  ]);
  await page.goto(`${mcptap.url}/servers`);
  await page.getByRole("link", { name: "⟨U+2003⟩" }).click();
  await page.getByRole("heading", { name: "⟨U+2003⟩" }).waitFor();
  for (const width of [320, 390]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${mcptap.url}/servers/${long}?tab=tools`);
    const table = page.getByRole("table", { name: "Tools" });
    await table.waitFor();
    const heading = await page.getByRole("heading", { level: 1 }).boundingBox();
    const box = await table.boundingBox();
    expect(heading && box && heading.y + heading.height <= box.y, String(width)).toBe(true);
  }
  expect(pages.complaints).toEqual([]);
});

test("names of a thousand characters leave room for what they are the names of, on every page", async () => {
  const { mcptap } = pages;
  const of = (word: string) => `${word} `.repeat(500).slice(0, 1000);
  await mcptap.report({
    ...{ tool: of("tool"), server: of("server"), client: of("client"), session: of("session") },
    ...{ method: "tools/call", error: of("error") },
  });
  const { calls } = await mcptap.ask("{ calls { nodes { id session { id } } } }");
  const [call] = (calls as { nodes: { id: string; session: { id: string } }[] }).nodes;
  await openContext(pages, { width: 320 });
  const { page } = pages;
  const main = page.getByRole("main");
  for (const [address, name, after] of [
    ["/servers", of("server"), main.locator("tbody td:last-child")],
    [
      `/servers/${encodeURIComponent(of("server"))}?tab=tools`,
      of("tool"),
      main.locator("tbody td:last-child"),
    ],
    ["/sessions", of("server"), main.locator("tbody td:last-child")],
    [
      `/sessions/${encodeURIComponent(call?.session.id ?? "")}`,
      of("server"),
      main.getByRole("list", { name: "Calls in order" }),
    ],
    [`/calls/${call?.id}`, of("tool"), main.getByText("Transport", { exact: true })],
  ] as const) {
    await page.goto(mcptap.url + address);
    await main.getByText(name.slice(0, 40)).first().waitFor();
    const place = await after.first().boundingBox();
    expect(place?.y, address).toBeLessThan(1_200);
    expect(await overflow(page), address).toBe(0);
  }
  expect(pages.complaints).toEqual([]);
});

test("the flag of a country has an edge on every ground", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "a", ip: "203.0.113.17", country: "JP" });
  await page.goto(mcptap.url);
  const flag = rows(page).first().locator("img.flag");
  await flag.waitFor();
  expect(await flag.evaluate((image) => getComputedStyle(image).outlineStyle)).toBe("solid");
  expect(pages.complaints).toEqual([]);
});
