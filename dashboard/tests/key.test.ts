import { expect, test } from "vitest";
import { axeSays, givenPages, openContext, overflow, rows, withKey, withoutRefusals } from "./pages";

const pages = givenPages();
const signIn = () => pages.page.getByRole("heading", { name: "Sign in" });

async function enter(key: string): Promise<void> {
  const { page } = pages;
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** A call with everything in it that takes the scope Payloads, and one of another server. */
async function report(): Promise<void> {
  await pages.mcptap.reportAll([
    {
      tool: "forecast",
      session: "s-1",
      error: "no such city",
      stack: "Error: no such city\n  at forecast",
      request: '{"method":"tools/call","params":{"name":"forecast","arguments":{"city":"Utrecht"}}}',
      response: '{"isError":true}',
      logs: [{ severity: "WARN", body: "looking up Utrecht" }],
    },
    { server: "orders", tool: "refund", session: "s-2", agoMs: 5000 },
  ]);
}

test("where the API wants a key the page asks for one, sends it, and keeps it for the tab alone", async () => {
  const { page, mcptap } = pages;
  await report();
  const right = await mcptap.createKey("laptop", "read,payloads");
  await page.goto(mcptap.url);
  await signIn().waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
  await enter("mcptap_wrong");
  await page.getByRole("alert").getByText("Invalid API key.").waitFor();
  // as the documentation shows it
  await enter(`Authorization: Bearer ${right}`);
  await rows(page).first().waitFor();

  await page.reload();
  await rows(page).first().waitFor();
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain(right);
  expect(await page.evaluate(() => JSON.stringify(sessionStorage))).toContain(right);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog", { name: "Settings" }).getByText("laptop").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn().waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
  expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain(right);
  await page.reload();
  await signIn().waitFor();
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});

test("after many wrong keys the right one is taken all the same", async () => {
  const { page, mcptap } = pages;
  await report();
  const right = await mcptap.createKey("laptop", "read");
  await page.goto(mcptap.url);
  await signIn().waitFor();
  const said = page.getByRole("alert");
  // one for the key, and one for whoever asks
  await expect
    .poll(async () => {
      await enter(`mcptap_${Math.random()}`);
      await said.waitFor();
      return said.innerText();
    })
    .toMatch(/^Too many/);
  await signIn().waitFor();
  await enter(right);
  await rows(page).first().waitFor();
  expect(pages.complaints.filter((complaint) => !/status of (401|429)/.test(complaint))).toEqual([]);
});

test("a key that is revoked while Live is on is asked for anew, in the API's words", async () => {
  const { page, mcptap } = pages;
  await report();
  await withKey(pages, await mcptap.createKey("laptop", "read"));
  mcptap.sendsWith = await mcptap.createKey("server", "ingest");
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByText("Live", { exact: true }).last().waitFor();
  await mcptap.report({ tool: "before" });
  await page.getByRole("row", { name: /before/ }).waitFor();
  mcptap.run("keys", "revoke", "1");
  await signIn().waitFor();
  await page.getByRole("alert").getByText("revoked").waitFor();
  expect(await rows(page).count()).toBe(0);

  // with another key the same view goes on, live
  await enter(await mcptap.createKey("other", "read"));
  await rows(page).first().waitFor();
  await mcptap.report({ tool: "after" });
  await page.getByRole("row", { name: /after/ }).waitFor();
  expect(page.url()).toContain("live=1");
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});

test("the socket sends the key too, and a refusal there asks for one", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  await page.addInitScript(() => sessionStorage.setItem("mcptap.key", "mine"));
  const said: string[] = [];
  await page.routeWebSocket("**/graphql", (socket) => {
    socket.onMessage((message) => {
      said.push(String(message));
      void socket.close({ code: 4403, reason: "Forbidden" });
    });
  });
  await page.goto(`${mcptap.url}/?live=1`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(JSON.parse(said[0] ?? "{}")).toEqual({
    type: "connection_init",
    payload: { authorization: "Bearer mine" },
  });
});

test("a key without Payloads sees the records, and why it does not see what was said", async () => {
  const { page, mcptap } = pages;
  await report();
  await withKey(pages, await mcptap.createKey("auditor", "read"));
  await page.goto(mcptap.url);
  await page.getByPlaceholder("Search tools, prompts, resources").waitFor();
  await page.getByRole("row", { name: /forecast/ }).click();
  const dialog = page.getByRole("dialog", { name: "Call" });
  for (const part of ["Request", "Response", "Console output", "Error"]) {
    await dialog.getByRole("region", { name: part }).getByText("Hidden from this key.").waitFor();
  }
  const raw = dialog.getByRole("region", { name: "Raw attributes" });
  await raw.getByRole("button", { name: "Raw attributes" }).click();
  await raw.getByText("Hidden from this key.").waitFor();
  // none of the other sights, which would be untrue
  const words = await dialog.innerText();
  expect(words).not.toMatch(/Not captured|No log lines|No error message|Utrecht|no such city|Copy as curl/);
  expect(words).toMatch(/Tool error/);
  expect(pages.complaints).toEqual([]);
});

test("a key that is bound to a server sees that one alone, everywhere", async () => {
  const { page, mcptap } = pages;
  await report();
  const { calls } = await mcptap.ask('{ calls(filter: { servers: ["weather"] }) { nodes { id } } }');
  const id = (calls as { nodes: { id: string }[] }).nodes[0]?.id;
  await withKey(pages, await mcptap.createKey("orders", "read,payloads", "--server", "orders"));
  await page.goto(mcptap.url);
  await page.getByText("1 call", { exact: true }).waitFor();
  await page.getByText("Your key only sees orders.").waitFor();
  await page.getByText("All calls that this key sees are shown.").waitFor();
  expect(await rows(page).allTextContents()).toEqual([expect.stringContaining("refund")]);
  await page.getByRole("button", { name: /^Server/ }).click();
  await page.getByRole("option").first().waitFor();
  expect(await page.getByRole("option").count()).toBe(1);
  await page.keyboard.press("Escape");
  for (const path of ["/servers", "/sessions", "/overview"]) {
    await page.goto(`${mcptap.url}${path}`);
    await page.getByText("orders").first().waitFor();
    await page.getByText("Your key only sees orders.").waitFor();
    expect(await page.getByRole("main").innerText(), path).not.toMatch(/weather|forecast/);
  }
  await page.goto(`${mcptap.url}/servers/weather`);
  await page
    .getByText("No calls of a server with this name are stored, or this key may not see them.")
    .waitFor();
  await page.getByText("Your key only sees orders.").waitFor();
  await page.goto(`${mcptap.url}/servers/weather?tab=tools`);
  await page.getByText("No tool calls of this server are stored, or this key may not see them.").waitFor();
  await page.goto(`${mcptap.url}/calls/${id}`);
  await page
    .getByText("It has expired, it was deleted, the address is wrong, or this key may not see it.")
    .waitFor();
  expect(pages.complaints).toEqual([]);
});

test("whoever does not administer sees no Keys, and is told why at its address", async () => {
  const { page, mcptap } = pages;
  await report();
  await withKey(pages, await mcptap.createKey("reader", "read"));
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog", { name: "Settings" }).getByText("reader").waitFor();
  await page.keyboard.press("Escape");
  expect(await page.getByRole("link", { name: "Keys" }).count()).toBe(0);
  await page.keyboard.press("g");
  await page.keyboard.press("k");
  expect(new URL(page.url()).pathname).toBe("/");
  await page.goto(`${mcptap.url}/keys`);
  await page.getByText("does not have the scope Admin").waitFor();
  expect(await page.getByRole("button", { name: "Create a key" }).count()).toBe(0);
  await page.getByRole("button", { name: "Use another key" }).click();
  await signIn().waitFor();
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});

test("a key that only sends is not let in, and one that only administers is shown to the keys", async () => {
  const { page, mcptap } = pages;
  const sends = await mcptap.createKey("server", "ingest");
  const rules = await mcptap.createKey("root", "admin");
  await page.goto(mcptap.url);
  await enter(sends);
  await page
    .getByRole("alert")
    .getByText("This API key may not read: it needs the scope read or admin.")
    .waitFor();
  await enter(rules);
  await page.getByRole("heading", { name: "This key cannot read calls" }).waitFor();
  await page.getByRole("link", { name: "Go to Keys" }).click();
  await page.getByRole("row", { name: /root.*This tab.*Active.*Admin/ }).waitFor();
  expect(withoutRefusals(pages.complaints).filter((words) => !words.includes("422"))).toEqual([]);
});

test.each(["light", "dark"] as const)(
  "axe has nothing against the sign-in and what a key may not see, %s",
  async (colorScheme) => {
    const { mcptap } = pages;
    await report();
    const key = await mcptap.createKey("auditor", "read", "--server", "weather");
    const rules = await mcptap.createKey("root", "admin");
    for (const width of [1280, 390]) {
      await openContext(pages, { width, colorScheme });
      const { page } = pages;
      const fine = async (what: string, regions = true) => {
        expect(await axeSays(page, regions), `${what} at ${width}`).toEqual([]);
        expect(await overflow(page), `${what} at ${width}`).toBeLessThanOrEqual(0);
      };
      await page.goto(mcptap.url);
      await enter("mcptap_wrong");
      await page.getByRole("alert").waitFor();
      await fine("the sign-in");
      await enter(key);
      await page.getByText("Your key only sees weather.").waitFor();
      await fine("the list");
      await page.getByRole("row", { name: /forecast/ }).click();
      await page.getByText("Hidden from this key.").first().waitFor();
      await fine("the call", false);
      await page.goto(`${mcptap.url}/keys`);
      await page.getByRole("button", { name: "Use another key" }).click();
      await enter(rules);
      await page.getByRole("button", { name: "Create a key" }).waitFor();
      await page.getByRole("link", { name: "Calls" }).click();
      await page.getByRole("heading", { name: "This key cannot read calls" }).waitFor();
      await fine("no reading");
      expect(withoutRefusals(pages.complaints)).toEqual([]);
    }
  },
);

test("a key that is bound to servers is told why it sees no counters", async () => {
  const { page, mcptap } = pages;
  await withKey(pages, await mcptap.createKey("auditor", "read", "--server", "weather"));
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("No data?").click();
  await page
    .getByText(
      "The counters could not be read: the counters are of all servers, and this API key is bound to some.",
    )
    .waitFor();
  expect(withoutRefusals(pages.complaints)).toEqual([]);
});
