import { expect, test } from "vitest";
import { axeSays, expectAddress, givenPages, openContext, overflow, rows, withKey } from "./pages";

const pages = givenPages();
const menu = () => pages.page.getByRole("dialog", { name: "Saved views" });
const line = (name: string) =>
  menu().getByRole("list", { name: "Views" }).getByRole("listitem").filter({ hasText: name });

async function report(): Promise<void> {
  await pages.mcptap.reportAll([
    { server: "weather", tool: "forecast", status: 200 },
    { server: "weather", tool: "radar", status: 500, error: "no radar" },
    { server: "orders", tool: "refund", status: 401 },
  ]);
}

async function openMenu(): Promise<void> {
  await pages.page.getByRole("button", { name: "Views" }).click();
  await menu().getByText("A view keeps the filters, the time range and the columns").first().waitFor();
}

async function save(name: string): Promise<void> {
  await menu().getByLabel("Save this view as").fill(name);
  await menu()
    .getByRole("button", { name: /^(Save|Replace)$/ })
    .click();
  await menu().waitFor({ state: "detached" });
}

interface Saved {
  name: string;
  filter: object;
  lastSeconds: number | null;
  columns: string[];
  ownerId: string | null;
}

async function saved(key?: string): Promise<Saved[]> {
  const { views } = await pages.mcptap.ask("{ views { name filter lastSeconds columns ownerId } }", {}, key);
  return views as Saved[];
}

test("a view is what every client of the API can ask by, and any browser opens it", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/?server=weather&-tool=forecast&status=500&range=1h&live=1`);
  await page.getByText("1 call", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("option", { name: "IP" }).click();
  await page.keyboard.press("Escape");
  await openMenu();
  await menu().getByText("Live is not saved.").waitFor();
  await save("Broken weather");

  const filter = { servers: ["weather"], httpStatuses: [500], not: { tools: ["forecast"] } };
  const columns = ["status", "method", "target", "server", "duration", "time"];
  expect(await saved()).toEqual([
    { name: "Broken weather", filter, lastSeconds: 3600, columns, ownerId: null },
  ]);
  const asked = await mcptap.ask(
    "query ($filter: CallFilter) { calls(filter: $filter) { nodes { tool } } }",
    { filter },
  );
  expect(asked).toEqual({ calls: { nodes: [{ tool: "radar" }] } });

  // another browser has other columns and another range, in whose place the view puts its own
  await openContext(pages, {});
  const other = pages.page;
  await other.goto(`${mcptap.url}/?tool=refund&range=24h`);
  await other.getByRole("columnheader", { name: "IP" }).waitFor();
  await openMenu();
  expect(await line("Broken weather").getByRole("link").getAttribute("aria-current")).toBeNull();
  await line("Broken weather").getByRole("link").click();
  await expectAddress(other, /\?server=weather&-tool=forecast&status=500&range=1h&columns=status%2Cmethod/);
  await other.getByText("1 call", { exact: true }).waitFor();
  await other.getByRole("columnheader", { name: "IP" }).waitFor({ state: "detached" });
  await openMenu();
  expect(await line("Broken weather").getByRole("link").getAttribute("aria-current")).toBe("true");
  // without Live there is nothing that a view would not keep
  expect(await menu().getByText("It does not keep").count()).toBe(0);
  await other.keyboard.press("Escape");
  // with another range it is not the view that one looks at
  const shown = other.url();
  await other.goto(shown.replace("range=1h", "range=24h"));
  await other.getByText("1 call", { exact: true }).waitFor();
  await openMenu();
  expect(await line("Broken weather").getByRole("link").getAttribute("aria-current")).toBeNull();
  await line("Broken weather").getByRole("link").click();
  await other.waitForURL(shown);
  // one's own columns were put aside, not lost
  await other.getByRole("button", { name: "Columns" }).click();
  await other.getByRole("button", { name: "Reset to my columns" }).click();
  await other.keyboard.press("Escape");
  await other.getByRole("columnheader", { name: "IP" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a view is renamed, updated with what is seen, replaced, and removed after a question", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/?server=orders&range=6h`);
  await openMenu();
  await save("Mine");
  await page.goto(mcptap.url);
  await openMenu();
  await page.getByRole("button", { name: "Change the view Mine" }).click();
  await menu().getByLabel("Name", { exact: true }).fill("Orders");
  await page.getByRole("button", { name: "Rename" }).click();
  await line("Orders").waitFor();
  // another name is all that changes, whatever the list shows
  expect((await saved()).map(({ name, filter, lastSeconds }) => [name, filter, lastSeconds])).toEqual([
    ["Orders", { servers: ["orders"] }, 21_600],
  ]);

  await page.goto(`${mcptap.url}/?tool=radar&range=7d`);
  await openMenu();
  await page.getByRole("button", { name: "Change the view Orders" }).click();
  await page.getByRole("button", { name: "Update to current filters" }).click();
  await page.getByText("Orders is updated").waitFor();
  expect((await saved()).map(({ filter, lastSeconds }) => [filter, lastSeconds])).toEqual([
    [{ tools: ["radar"] }, 604_800],
  ]);
  await page.keyboard.press("Escape");

  await page.goto(`${mcptap.url}/servers/weather`);
  await openMenu();
  await menu().getByLabel("Save this view as").fill("Orders");
  await menu().getByRole("button", { name: "Replace" }).waitFor();
  await save("Orders");
  // the page of a server is a filter too
  expect((await saved()).map(({ filter, lastSeconds }) => [filter, lastSeconds])).toEqual([
    [{ servers: ["weather"] }, null],
  ]);

  await openMenu();
  await page.getByRole("button", { name: "Change the view Orders" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  expect(await saved()).toHaveLength(1);
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("button", { name: "Remove Orders" }).click();
  await menu().getByText("No views yet.").waitFor();
  expect(await saved()).toEqual([]);
  expect(pages.complaints).toEqual([]);
});

test("what the API objects to is said in the form", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(mcptap.url);
  await openMenu();
  await menu().getByLabel("Save this view as").fill("x".repeat(101));
  await menu().getByRole("button", { name: "Save" }).click();
  await menu().getByRole("alert").getByText("1 to 100 characters").waitFor();
  expect(await saved()).toEqual([]);
  expect(pages.complaints).toEqual([]);
});

test("views of other clients are shown where the page has words for them, and left alone where not", async () => {
  const { page, mcptap } = pages;
  await report();
  const add = (name: string, filter: object, lastSeconds?: number) =>
    mcptap.ask("mutation ($input: ViewInput!) { saveView(input: $input) { __typename } }", {
      input: { name, filter, lastSeconds, columns: ["a", "b"] },
    });
  await add("Simple", { tools: ["radar"], search: null });
  await add("Either", { or: [{ tools: ["radar"] }, { servers: ["orders"] }] });
  await add("Quarter", { tools: ["radar"] }, 900);
  await add("Minute and a half", { tools: ["radar"] }, 90);
  // the range that the list has is not the views'
  await page.goto(`${mcptap.url}/?range=24h`);
  await openMenu();
  for (const name of ["Either", "Minute and a half"]) {
    await line(name).getByText("filters that this page cannot show").waitFor();
    expect(await line(name).getByRole("link").count()).toBe(0);
  }
  await line("Simple").getByRole("link").click();
  await expectAddress(page, /\/\?tool=radar$/);
  await openMenu();
  await line("Quarter").getByRole("link").click();
  await expectAddress(page, /\/\?tool=radar&range=15m$/);
  // another name leaves alone what the page has no words for
  await openMenu();
  await page.getByRole("button", { name: "Change the view Minute and a half" }).click();
  await menu().getByLabel("Name", { exact: true }).fill("Ninety");
  await page.getByRole("button", { name: "Rename" }).click();
  await line("Ninety").waitFor();
  expect((await saved()).find(({ name }) => name === "Ninety")).toEqual({
    name: "Ninety",
    filter: { tools: ["radar"] },
    lastSeconds: 90,
    columns: ["a", "b"],
    ownerId: null,
  });
  expect(pages.complaints).toEqual([]);
});

test("views of this browser stay, and move to mcptap when they are told to", async () => {
  const { page, mcptap } = pages;
  await report();
  const local = [
    { name: "Old one", query: "server=orders&status=401" },
    { name: "Old two", query: "tool=radar&range=24h" },
    { name: "Recent", query: "outcome=TOOL_ERROR&range=1h&live=1" },
    { name: "Unwanted", query: "" },
  ];
  await page.goto(mcptap.url);
  await page.evaluate((views) => localStorage.setItem("mcptap.views", JSON.stringify(views)), local);
  await page.reload();
  await openMenu();
  const mine = menu().getByRole("region", { name: "In this browser" });
  // they work as ever, with all that they hold
  await mine.getByRole("link", { name: "Recent" }).click();
  await expectAddress(page, /\?outcome=TOOL_ERROR&range=1h&live=1$/);
  await openMenu();
  await mine.getByRole("button", { name: "Remove Unwanted from this browser" }).click();
  await mine.getByRole("link", { name: "Unwanted" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Undo" }).click();
  await mine.getByRole("link", { name: "Unwanted" }).waitFor();
  await mine.getByRole("button", { name: "Remove Unwanted from this browser" }).click();
  // what would lose something is not among those that move at once
  await mine.getByRole("button", { name: "Move 2 to mcptap" }).click();
  await line("Old two").waitFor();
  expect((await saved()).map(({ name, filter, lastSeconds }) => [name, filter, lastSeconds])).toEqual([
    ["Old one", { servers: ["orders"], httpStatuses: [401] }, null],
    ["Old two", { tools: ["radar"] }, 86_400],
  ]);
  await mine.getByRole("button", { name: "Move (Live is not saved): Recent" }).click();
  await line("Recent").waitFor();
  expect((await saved()).find(({ name }) => name === "Recent")).toMatchObject({
    filter: { outcomes: ["TOOL_ERROR"] },
    lastSeconds: 3600,
  });
  await mine.waitFor({ state: "detached" });
  expect(await page.evaluate(() => localStorage.getItem("mcptap.views"))).toBeNull();
  expect(pages.complaints).toEqual([]);
});

test("one's own views are one's own, everybody's are an administrator's to make", async () => {
  const { page, mcptap } = pages;
  await report();
  const root = await mcptap.createKey("root", "read,admin");
  const ada = await mcptap.createKey("ada", "read");
  const eve = await mcptap.createKey("eve", "read");
  await withKey(pages, root);
  await page.goto(`${mcptap.url}/?tool=radar`);
  await openMenu();
  await menu().getByText("For everybody").click();
  await save("Radar");

  await openContext(pages, {});
  await withKey(pages, ada);
  await pages.page.goto(`${mcptap.url}/?server=orders`);
  await openMenu();
  expect(await menu().getByText("For everybody").count()).toBe(0);
  await save("Ada's");
  await openMenu();
  await line("Ada's").getByText("Yours").waitFor();
  await line("Radar").getByText("Shared").waitFor();
  expect(await line("Ada's").getByRole("button").count()).toBe(1);
  expect(await line("Radar").getByRole("button").count()).toBe(0);
  await line("Radar").getByRole("link").click();
  await rows(pages.page).getByText("radar").waitFor();
  expect(pages.complaints).toEqual([]);
  expect((await saved(eve)).map(({ name }) => name)).toEqual(["Radar"]);

  await openContext(pages, {});
  await withKey(pages, root);
  await pages.page.goto(mcptap.url);
  await openMenu();
  await line("Ada's").getByText("Another key's").waitFor();
  await pages.page.getByRole("button", { name: "Change the view Radar" }).click();
  await pages.page.getByRole("button", { name: "Remove", exact: true }).click();
  await menu().getByText("Remove it for everybody?").waitFor();
  await pages.page.getByRole("button", { name: "Remove Radar" }).click();
  await line("Shared").waitFor({ state: "detached" });
  expect(await saved(eve)).toEqual([]);
  expect(pages.complaints).toEqual([]);
});

test("whoever may not save views is told why", async () => {
  const { page, mcptap } = pages;
  await report();
  // as on a server that other machines reach and that has no keys
  await page.route("**/graphql", async (route) => {
    const response = await route.fetch();
    const answer = await response.text();
    await route.fulfill({
      response,
      body: answer.replace(
        '"scopes":["INGEST","READ","PAYLOADS","ADMIN"]',
        '"scopes":["INGEST","READ","PAYLOADS"]',
      ),
    });
  });
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: "Views" }).click();
  await menu().getByText("You can open views but not save them").waitFor();
  expect(await menu().getByRole("button", { name: "Save" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test.each(["light", "dark"] as const)("axe has nothing against views, %s", async (colorScheme) => {
  const { mcptap } = pages;
  await report();
  const root = await mcptap.createKey("root", "read,admin");
  await mcptap.ask(
    'mutation { saveView(input: { name: "Either", filter: { or: [{ tools: ["a"] }] } }) { __typename } }',
    {},
    root,
  );
  for (const width of [1280, 390]) {
    await openContext(pages, { width, colorScheme });
    const { page } = pages;
    await withKey(pages, root);
    await page.addInitScript(() =>
      localStorage.setItem("mcptap.views", '[{"name":"Old","query":"range=1h&live=1"}]'),
    );
    await page.goto(`${mcptap.url}/?server=orders&range=1h`);
    await openMenu();
    await save(`Orders ${width}`);
    await openMenu();
    await page.getByRole("button", { name: `Change the view Orders ${width}` }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    expect(await axeSays(page, false), `at ${width}`).toEqual([]);
    expect(await overflow(page), `at ${width}`).toBeLessThanOrEqual(0);
    expect(pages.complaints).toEqual([]);
  }
});
