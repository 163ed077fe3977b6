import { expect, test } from "vitest";
import { axeSays, givenPages, openContext, overflow, rows, withKey, withoutRefusals } from "./pages";

const pages = givenPages();
const dialog = (name: string | RegExp) => pages.page.getByRole("dialog", { name });
const keyRow = (name: RegExp) => pages.page.getByRole("table", { name: "Keys" }).getByRole("row", { name });

async function create(): Promise<void> {
  await pages.page.getByRole("button", { name: "Create", exact: true }).click();
}

/** The secret that the page shows, and an end to its being shown. */
async function takeSecret(name: string): Promise<string> {
  const made = dialog(`${name} is created`);
  const secret = (await made.locator(".secret-text").textContent()) ?? "";
  await made.getByRole("button", { name: "I have copied the key" }).click();
  await made.waitFor({ state: "detached" });
  return secret;
}

test("the first key is an administrator's, and the tab that makes it goes on with it", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.getByRole("link", { name: "Keys" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("k");
  await page.getByText("No keys yet").waitFor();
  await page.getByText("No entries yet.").waitFor();
  await page.getByRole("button", { name: "Create a key" }).click();
  const form = dialog("Create the first key");
  await form.getByText("Once a key exists, every request needs a key.").waitFor();
  await form.getByText("their calls are refused").waitFor();

  // without Admin it would be a lockout: said before, and refused by the API beside the field
  await form.getByText("Admin", { exact: true }).click();
  await form.getByText("would lock you out").waitFor();
  await form.getByLabel("Name").fill("root");
  await create();
  await form.getByRole("group", { name: "Scopes" }).getByText("the first key needs scope admin").waitFor();
  expect(await mcptap.ask("{ viewer { keysExist } }")).toEqual({ viewer: { keysExist: false } });

  await form.getByText("Admin", { exact: true }).click();
  await create();
  await dialog("root is created").getByText("This tab is signed in with it").waitFor();
  await dialog("root is created").getByText("refused until they have one with Ingest").waitFor();
  const secret = await takeSecret("root");
  await keyRow(/root.*This tab.*Active.*Read, Payloads, Admin.*All servers.*Never/).waitFor();
  await page.getByRole("row", { name: /Created a key.*root/ }).waitFor();

  // the secret is what the API takes, others are asked for one, and this tab is not
  expect(await mcptap.ask("{ viewer { key { name } } }", {}, secret)).toEqual({
    viewer: { key: { name: "root" } },
  });
  await expect(mcptap.ask("{ viewer { keysExist } }")).rejects.toThrow("an API key is needed");
  await page.getByRole("link", { name: "Calls" }).click();
  await rows(page).first().waitFor();
  await page.reload();
  await rows(page).first().waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a key for some servers and some days is made, told once, and used", async () => {
  const { page, mcptap } = pages;
  await pages.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await mcptap.reportAll([
    { server: "weather", tool: "forecast" },
    { server: "orders", tool: "refund" },
  ]);
  await withKey(pages, await mcptap.createKey("root", "read,admin"));
  await page.goto(`${mcptap.url}/keys`);
  await page.getByRole("button", { name: "Create a key" }).click();
  const form = dialog("Create a key");
  // reading what was said takes reading
  await form.getByText("Payloads", { exact: true }).click();
  await form.getByText("Read", { exact: true }).click();
  expect(await form.getByRole("checkbox", { name: /^Payloads/ }).isChecked()).toBe(false);
  await form.getByText("Payloads", { exact: true }).click();
  expect(await form.getByRole("checkbox", { name: /^Read/ }).isChecked()).toBe(true);
  await form.getByText("Ingest", { exact: true }).click();
  // a known server by its list, and one that is to come by its name
  const servers = form.getByRole("combobox", { name: "Only these servers" });
  await servers.fill("wea");
  await page.getByRole("option", { name: "weather" }).click();
  await servers.fill("radar");
  await page.keyboard.press("Enter");
  await servers.fill("typo");
  await page.keyboard.press("Enter");
  await form.getByRole("row", { name: "typo" }).getByRole("button", { name: "Remove" }).click();
  expect(await form.getByRole("grid", { name: "Chosen servers" }).getByRole("row").allTextContents()).toEqual(
    ["weather", "radar"],
  );
  await form.getByLabel("Expires").selectOption("In 30 days");
  await create();
  // the name is the API's to judge
  await form.getByText("the name of a key has 1 to 100 characters").waitFor();
  await form.getByLabel("Name").fill("weather station");
  await create();

  const made = dialog("weather station is created");
  await made.getByText("Copy the key now.").waitFor();
  // nothing but its own button closes it
  await page.keyboard.press("Escape");
  await page.mouse.click(5, 400);
  await made.getByRole("button", { name: "Copy the key" }).click();
  const copies = () => page.evaluate(() => navigator.clipboard.readText());
  await expect.poll(copies).toMatch(/^mcptap_/);
  const copied = await copies();
  expect(await made.innerText()).toContain(`OTEL_EXPORTER_OTLP_HEADERS="x-api-key=${copied}"`);
  expect(await made.innerText()).toContain(`Authorization: Bearer ${copied}`);
  expect(await takeSecret("weather station")).toBe(copied);
  await keyRow(
    /weather station.*Active.*Ingest, Read, Payloads.*weather, radar.*in (29|30) days.*Never/,
  ).waitFor();
  expect(await page.content()).not.toContain(copied);
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain(
    copied,
  );

  mcptap.sendsWith = copied;
  await mcptap.report({ server: "radar", tool: "scan" });
  const seen = await mcptap.ask("{ calls { nodes { tool } } }", {}, copied);
  expect(seen).toEqual({ calls: { nodes: [{ tool: "scan" }, { tool: "forecast" }] } });
  expect(pages.complaints).toEqual([]);
});

test("what the API objects to stands beside its field", async () => {
  const { page, mcptap } = pages;
  const root = await mcptap.createKey("root", "read,admin");
  await withKey(pages, root);
  await page.goto(`${mcptap.url}/keys`);
  await page.getByRole("button", { name: "Create a key" }).click();
  const form = dialog("Create a key");
  await form.getByLabel("Name").fill("past");
  await form.getByLabel("Expires").selectOption("At the end of a day…");
  await form.getByRole("spinbutton", { name: /^year/ }).fill("2024");
  await create();
  await form.getByText("the key would have expired already").waitFor();
  expect(await form.getByLabel("Expires").getAttribute("aria-invalid")).toBe("true");
  await form.getByLabel("Expires").selectOption("Never");
  await form.getByText("Read", { exact: true }).click();
  await create();
  await form.getByRole("group", { name: "Scopes" }).getByText("a key needs at least one scope").waitFor();
  // an administrator's key is over all servers, so none can be chosen
  await form.getByText("Admin", { exact: true }).click();
  await form.getByText("A key with Admin covers all servers").waitFor();
  expect(await form.getByRole("combobox", { name: "Only these servers" }).count()).toBe(0);
  // the rights may go while the form is open
  mcptap.run("keys", "revoke", "1");
  // the server looks for it once a second
  const isTaken = () =>
    mcptap.ask("{ viewer { __typename } }", {}, root).then(
      () => true,
      () => false,
    );
  await expect.poll(isTaken, { timeout: 30_000 }).toBe(false);
  await create();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});

test("a key is revoked after a question, one's own with a warning", async () => {
  const { page, mcptap } = pages;
  await withKey(pages, await mcptap.createKey("root", "read,admin"));
  const other = await mcptap.createKey("laptop", "read");
  await page.goto(`${mcptap.url}/keys`);
  await keyRow(/laptop/)
    .getByRole("button", { name: "Revoke laptop" })
    .click();
  const asks = page.getByRole("alertdialog");
  await asks.getByRole("heading", { name: "Revoke laptop?" }).waitFor();
  expect(await asks.innerText()).not.toMatch(/This tab uses it|No other active key/);
  await asks.getByRole("button", { name: "Cancel" }).click();
  await keyRow(/laptop.*Active/).waitFor();
  await keyRow(/laptop/)
    .getByRole("button", { name: "Revoke laptop" })
    .click();
  await asks.getByRole("button", { name: "Revoke", exact: true }).click();
  await keyRow(/laptop.*Revoked.*just now/).waitFor();
  await page.getByRole("row", { name: /Revoked a key.*laptop.*Key 1/ }).waitFor();
  expect(
    await keyRow(/laptop/)
      .getByRole("button")
      .count(),
  ).toBe(0);
  await expect(mcptap.ask("{ viewer { keysExist } }", {}, other)).rejects.toThrow("revoked");

  await keyRow(/root/).getByRole("button", { name: "Revoke root" }).click();
  await asks.getByText("This tab uses it.").waitFor();
  await asks.getByText("No other active key has the scope Admin.").waitFor();
  await asks.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(await page.getByRole("link", { name: "Keys" }).count()).toBe(0);
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});

test("keys and the audit come a page at a time", async () => {
  const { page, mcptap } = pages;
  const root = await mcptap.createKey("root", "read,admin");
  for (let number = 0; number < 104; number++) {
    const input = { name: `key ${number}`, scopes: ["READ"] };
    await mcptap.ask(
      "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename } }",
      { input },
      root,
    );
  }
  await withKey(pages, root);
  await page.goto(`${mcptap.url}/keys`);
  const loaded = (name: string) => page.getByRole("table", { name }).locator("tbody tr");
  const keys = () => loaded("Keys").count();
  const audit = () => loaded("Audit log").count();
  await keyRow(/key 98/).waitFor();
  await page.getByRole("row", { name: /"key 103"/ }).waitFor();
  expect([await keys(), await audit()]).toEqual([100, 50]);
  const [more, older] = [
    page.getByRole("button", { name: "Load more" }).first(),
    page.getByRole("button", { name: "Load more" }).last(),
  ];
  await more.click();
  await keyRow(/key 103/).waitFor();
  await older.click();
  await expect.poll(audit).toBe(100);
  await older.click();
  await expect.poll(audit).toBe(105);
  expect(await keys()).toBe(105);
  expect(await page.getByRole("button", { name: "Load more" }).count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});

test.each(["light", "dark"] as const)(
  "axe has nothing against keys and their dialogs, %s",
  async (colorScheme) => {
    const { mcptap } = pages;
    const root = await mcptap.createKey("root", "read,payloads,admin", "--expires", "30d");
    await mcptap.createKey("over", "ingest", "--server", "weather");
    mcptap.run("keys", "revoke", "2");
    for (const width of [1280, 390]) {
      await openContext(pages, { width, colorScheme });
      const { page } = pages;
      await withKey(pages, root);
      const fine = async (what: string, regions = false) => {
        expect(await axeSays(page, regions), `${what} at ${width}`).toEqual([]);
        expect(await overflow(page), `${what} at ${width}`).toBeLessThanOrEqual(0);
      };
      await page.goto(`${mcptap.url}/keys`);
      await keyRow(/over.*Revoked/).waitFor();
      await page
        .getByRole("row", { name: /Created a key/ })
        .first()
        .waitFor();
      await fine("the page", true);
      await page.getByRole("button", { name: "Revoke root" }).click();
      await page.getByRole("alertdialog").getByText("This tab uses it.").waitFor();
      await fine("the question");
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Create a key" }).click();
      await page.getByRole("combobox", { name: "Only these servers" }).fill("weather");
      await page.keyboard.press("Enter");
      await page.getByLabel("Expires").selectOption("At the end of a day…");
      await create();
      await page.getByText("the name of a key has").waitFor();
      await fine("the form");
      await page.getByLabel("Name").fill("laptop");
      await dialog("Create a key").getByText("Ingest", { exact: true }).click();
      await create();
      await dialog("laptop is created").waitFor();
      await fine("the secret");
      await takeSecret("laptop");
      expect(pages.complaints).toEqual([]);
    }
  },
);

test("a key that is made in a shell meanwhile, and a server that stops, are noticed", async () => {
  const { page, mcptap } = pages;
  await page.clock.install();
  await page.goto(`${mcptap.url}/keys`);
  await page.getByRole("heading", { name: "No keys yet" }).waitFor();
  await page.route("**/graphql", (route) => route.abort());
  await page.clock.runFor(16_000);
  await page.getByText("Not up to date. mcptap does not answer. Data as of").first().waitFor();
  await page.unroute("**/graphql");
  await mcptap.createKey("root", "read,admin");
  await page.clock.runFor(16_000);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
