import { expect, test } from "vitest";
import { many } from "../src/state/words";
import { expectAddress, givenPages, openContext, rows, withKey } from "./pages";

const pages = givenPages();

async function report(): Promise<void> {
  await pages.mcptap.reportAll([
    {
      server: "weather",
      method: "initialize",
      session: "s-1",
      status: 200,
      client: "claude-code",
      agoMs: 120_000,
    },
    {
      server: "weather",
      tool: "forecast",
      session: "s-1",
      client: "claude-code",
      status: 200,
      durationMs: 500,
      agoMs: 60_000,
      country: "NL",
    },
    {
      server: "weather",
      tool: "radar",
      session: "s-1",
      client: "claude-code",
      status: 200,
      durationMs: 400,
      agoMs: 60_050,
      error: "no radar",
    },
    { server: "orders", tool: "refund", session: "s-2", status: 401, agoMs: 30_000 },
  ]);
}

test("sessions are listed, and one is a timeline with pauses, what ran at once, and errors", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/sessions`);
  const table = page.getByRole("table", { name: "Sessions" });
  const line = table.getByRole("row", { name: /weather/ });
  expect(await line.textContent()).toMatch(/Mcp-Session-Id.*weather.*claude-code.*3.*1/);
  await page.getByRole("button", { name: /^Server/ }).click();
  await page.getByRole("option", { name: /orders/ }).click();
  await page.keyboard.press("Escape");
  await table.getByRole("row", { name: /weather/ }).waitFor({ state: "detached" });
  await page.goBack();
  await line.getByRole("link").first().click();
  await expectAddress(page, /\/sessions\/[^/?]+$/);

  const wireId = page.locator(".facts > div").filter({ hasText: "Session ID" });
  expect(await wireId.locator("dd").textContent()).toContain("s-1");
  const moments = page.getByRole("list", { name: "Calls in order" }).getByRole("listitem");
  await moments.first().waitFor();
  expect(await moments.allTextContents()).toEqual([
    expect.stringMatching(/\+0 ms.*initialize/),
    expect.stringMatching(/without a call/),
    expect.stringMatching(/forecast/),
    expect.stringMatching(/Tool error.*radar.*1 concurrent.*no radar/),
  ]);
  await moments.last().getByRole("button").click();
  await page
    .getByRole("dialog", { name: "Call" })
    .getByRole("region", { name: "Error" })
    .getByText("no radar")
    .waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Show calls in list" }).click();
  await page.getByText("3 calls", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Remove Session s-1" }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("sessions come a page at a time, and anew with every filter", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll(
    Array.from({ length: 60 }, (_, index) => ({
      server: index % 2 ? "weather" : "orders",
      tool: "x",
      session: `s-${index}`,
      agoMs: index * 1000,
    })),
  );
  await page.goto(`${mcptap.url}/sessions`);
  const lines = page.getByRole("table", { name: "Sessions" }).locator("tbody tr");
  await lines.nth(49).waitFor();
  expect(await lines.count()).toBe(50);
  await page.getByRole("button", { name: "Load more" }).click();
  await lines.nth(59).waitFor();
  expect(await lines.count()).toBe(60);
  expect(await page.getByRole("button", { name: "Load more" }).count()).toBe(0);
  const links = await lines
    .getByRole("link")
    .evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  expect(new Set(links.filter((href) => href?.startsWith("/sessions/"))).size).toBe(60);
  await page.getByRole("button", { name: /^Server/ }).click();
  await page.getByRole("option", { name: /orders/ }).click();
  await page.keyboard.press("Escape");
  await expect.poll(() => lines.count()).toBe(30);
  expect(pages.complaints).toEqual([]);
});

test("every number of the overview links to its calls", async () => {
  const { page, mcptap } = pages;
  await report();
  const open = async (card: string | undefined, link: RegExp, address: RegExp, count: number) => {
    await page.goto(`${mcptap.url}/overview?range=1h`);
    const within = card ? page.getByRole("region", { name: card }) : page.locator(".figures");
    await within.getByRole("link", { name: link }).click();
    await expectAddress(page, address);
    await page.getByText(many(count, "call"), { exact: true }).waitFor();
  };
  await open(undefined, /^Calls\s*4/, /\/\?kind=REQUEST&range=1h$/, 4);
  await open(undefined, /^Errors\s*2 \(50%\)/, /outcome=TOOL_ERROR/, 2);
  await open("Outcomes", /Tool error.*1/, /outcome=TOOL_ERROR/, 1);
  await open("HTTP status", /401/, /status=401/, 1);
  await open("Top tools", /forecast/, /tool=forecast/, 1);
  await open("Slowest tools (p95)", /forecast.*500 ms/, /server=weather&tool=forecast/, 1);
  await open("Most failing tools", /refund.*100% of 1/, /server=orders&tool=refund/, 1);
  await open("Clients", /claude-code/, /client=claude-code/, 3);
  await open("Countries", /NL Netherlands/, /country=NL/, 1);
  await open("Servers", /orders/, /server=orders/, 1);
  expect(pages.complaints).toEqual([]);
});

test("marking a stretch of the chart opens its calls", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/overview?range=15m`);
  const chart = page.getByRole("img", { name: "Calls and errors over time" });
  // of calls there are no halves
  const scale = async () => (await chart.locator(".axis[text-anchor=end]").allTextContents()).slice(0, 3);
  await expect
    .poll(scale)
    .toEqual([expect.stringMatching(/^0$/), expect.stringMatching(/^\d+$/), expect.stringMatching(/^\d+$/)]);
  const box = await chart.boundingBox();
  if (!box) throw new Error("no chart");
  // the last fifth of fifteen minutes
  await page.mouse.move(box.x + box.width * 0.83, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 2, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await expectAddress(page, /\/\?kind=REQUEST&from=[^&]+&to=[^&]+$/);
  await page.getByText("4 calls", { exact: true }).waitFor();
  await page.goBack();
  await page.getByText("Show as table").click();
  await page
    .getByRole("region", { name: "Calls and errors" })
    .getByRole("table")
    .getByRole("link")
    .first()
    .click();
  await expectAddress(page, /\/\?kind=REQUEST&from=[^&]+&to=[^&]+$/);
  await page.getByText("1 call", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("a server has its logs, and its tools with their health", async () => {
  const { page, mcptap } = pages;
  await report();
  await page.goto(`${mcptap.url}/servers`);
  await page
    .getByRole("row", { name: /weather.*3.*1 \(33%\)/ })
    .getByRole("link", { name: "weather" })
    .click();
  await expectAddress(page, /\/servers\/weather$/);
  await page.getByText("3 calls", { exact: true }).waitFor();
  await expect.poll(() => rows(page).count()).toBe(3);
  // its own filter is not offered: it is given
  expect(await page.getByRole("button", { name: /^Server/ }).count()).toBe(0);
  await page.getByRole("link", { name: "Tools", exact: true }).click();
  const tools = page.getByRole("table", { name: "Tools" });
  expect(await tools.getByRole("row", { name: /forecast/ }).textContent()).toMatch(
    /Healthy.*1.*0 \(0%\).*500 ms/,
  );
  expect(await tools.getByRole("row", { name: /radar/ }).textContent()).toMatch(/Failing.*1 \(100%\)/);
  await tools.getByRole("link", { name: "radar" }).click();
  await expectAddress(page, /\/\?server=weather&tool=radar$/);
  expect(pages.complaints).toEqual([]);
});

test("a server with any name has a page", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ server: "50% a/b?c#d", tool: "x" });
  await page.goto(`${mcptap.url}/servers`);
  await page.getByRole("link", { name: "50% a/b?c#d" }).click();
  await page.getByRole("heading", { name: "50% a/b?c#d" }).waitFor();
  await page.getByText("1 call", { exact: true }).waitFor();
  await page.reload();
  await page.getByText("1 call", { exact: true }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("an empty store shows what to do, and turns green with the first call", async () => {
  const { page, mcptap } = pages;
  await page.goto(mcptap.url);
  await page.getByText("No calls yet").waitFor();
  // biome-ignore lint/complexity/useLiteralKeys: the ports are nobody else's business
  const { http, grpc } = mcptap["ports"];
  await page.getByText(`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${http}`).waitFor();
  await page.getByText(`over HTTP at 127.0.0.1:${http} and over gRPC at 127.0.0.1:${grpc}`).waitFor();
  for (const kind of ["Any, over stdio", "Any, over HTTP", "Java", "Gateways"]) {
    await page.getByRole("button", { name: kind, exact: true }).click();
    const snippets = (await page.locator(".snippet code").allTextContents()).join("\n");
    expect(snippets, kind).toContain(`:${http}`);
    expect(snippets, kind).not.toMatch(/:431[78]/);
  }
  await page.getByRole("button", { name: "Rust", exact: true }).click();
  await page.getByText("mcptap_sdk::init").waitFor();
  await page.getByText("This turns green").waitFor();
  await mcptap.report({ tool: "forecast" });
  await page.getByText("It works: a call has arrived.").waitFor();
  await page.getByRole("row", { name: /forecast/ }).waitFor();
  expect(pages.complaints).toEqual([]);
});

test("the page Setup has a way for servers that nobody can change, and says what keys ask for", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/setup`);
  await page.getByRole("button", { name: "Any, over stdio" }).click();
  await page.getByText("mcptap wrap -- npx -y @modelcontextprotocol/server-everything").waitFor();
  await page.getByRole("button", { name: "Any, over HTTP" }).click();
  await page.getByText("mcptap proxy --upstream").waitFor();
  expect(await page.getByText("OTEL_EXPORTER_OTLP_HEADERS").count()).toBe(0);

  await withKey(pages, await mcptap.createKey("root", "read,admin"));
  await page.reload();
  await page.getByText('OTEL_EXPORTER_OTLP_HEADERS="x-api-key=YOUR_KEY"').waitFor();
  await page.getByRole("main").getByRole("link", { name: "Keys" }).click();
  await expectAddress(page, /\/keys$/);
  expect(pages.complaints).toEqual([]);
});

test("the page Setup turns green when a call arrives, however many are stored", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "old", agoMs: 60_000 });
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("Waiting for a call").waitFor();
  await page.getByText("This turns green").waitFor();
  expect(await page.locator(".snippet.done").count()).toBe(0);
  await mcptap.report({ tool: "forecast" });
  await page.getByText("It works: a call has arrived.").waitFor();
  expect(await page.locator(".snippet.done").count()).toBeGreaterThan(0);
  await page.getByRole("link", { name: "tools/call forecast" }).click();
  await expectAddress(page, /\/calls\//);
  expect(pages.complaints).toEqual([]);
});

test("the page Setup says what arrived, where no call does", async () => {
  const { page, mcptap } = pages;
  await page.goto(`${mcptap.url}/setup`);
  await page.getByText("No data?").click();
  const said = (words: string) =>
    page.locator(".counters > div").filter({ hasText: words }).locator("dd").textContent();
  await page.getByText("Exports refused", { exact: true }).waitFor();
  expect(await said("Exports refused")).toBe("0");
  // a body that is no OTLP, and one that carries no call
  // biome-ignore lint/complexity/useLiteralKeys: the ports are nobody else's business
  const traces = `http://127.0.0.1:${mcptap["ports"].http}/v1/traces`;
  await fetch(traces, { method: "POST", headers: { "content-type": "text/plain" }, body: "x" });
  await expect.poll(() => said("Exports refused"), { timeout: 10_000 }).toBe("1");
  await mcptap.report({ tool: "forecast" });
  await expect.poll(() => said("of these, MCP requests"), { timeout: 10_000 }).toBe("1");
  expect(pages.complaints).toEqual([]);
  await page.route("**/metrics", (route) => route.abort());
  await page.getByText("Not up to date. mcptap does not answer. Data as of").waitFor();
  expect(await said("of these, MCP requests")).toBe("1");
});

test("what fails most is what is known to fail often, and no slowness is made up", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([
    { tool: "once", error: "no" },
    ...Array.from({ length: 100 }, (_, index) => ({ tool: "often", ...(index % 2 ? { error: "no" } : {}) })),
  ]);
  await mcptap.announce({ tool: "open" });
  await page.goto(`${mcptap.url}/overview`);
  const failing = page.getByRole("region", { name: "Most failing tools" }).getByRole("listitem");
  await failing.nth(1).waitFor();
  expect(await failing.allTextContents()).toEqual([
    expect.stringContaining("often"),
    expect.stringContaining("once"),
  ]);
  const slowest = page.getByRole("region", { name: "Slowest tools (p95)" }).getByRole("listitem");
  await slowest.nth(1).waitFor();
  expect(await slowest.filter({ hasText: "open" }).count()).toBe(0);
  await page.getByRole("region", { name: "Top tools" }).getByText("open").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("tools are ranked among all that there are", async () => {
  const { page, mcptap } = pages;
  const many = Array.from({ length: 501 }, (_, index) => ({ tool: `tool_${index}`, error: "no" }));
  const failing = Array.from({ length: 9 }, () => ({ tool: "zz_failing", error: "no" }));
  await mcptap.reportAll([...many, ...failing, { tool: "zz_slow", durationMs: 70_000 }]);
  await page.goto(`${mcptap.url}/overview`);
  for (const [title, first] of [
    ["Slowest tools (p95)", /zz_slow.*1 min 10 s/],
    ["Most failing tools", /zz_failing.*100% of 9/],
  ] as const) {
    const ranks = page.getByRole("region", { name: title }).getByRole("listitem");
    await ranks.nth(7).waitFor();
    expect(await ranks.count()).toBe(8);
    expect(await ranks.first().textContent()).toMatch(first);
    await page.getByRole("region", { name: title }).getByText("Top 8; there are more.").waitFor();
  }
  await page.getByRole("region", { name: "Top tools" }).getByText("Top 8; there are more.").waitFor();
  expect(await page.getByRole("region", { name: "Servers" }).getByText("there are more").count()).toBe(0);
  await page.goto(`${mcptap.url}/servers/weather?tab=tools`);
  await page.getByText("First 200 tools").waitFor();
  expect(pages.complaints).toEqual([]);
});

test("what arrives and what is of a range goes by the clock of mcptap, however wrong that of the browser is", async () => {
  const { mcptap } = pages;
  await mcptap.reportAll([
    { tool: "recent", agoMs: 12 * 60_000 },
    { tool: "older", agoMs: 20 * 60_000 },
  ]);
  for (const ahead of [-10, 10]) {
    await openContext(pages, {});
    const { page } = pages;
    await page.clock.install({ time: new Date(Date.now() + ahead * 60_000) });
    for (const live of ["", "&live=1"]) {
      await page.goto(`${mcptap.url}/?range=15m${live}`);
      await expect
        .poll(() => rows(page).allTextContents())
        .toEqual([expect.stringMatching(/recent.*12 min ago/)]);
      await page.getByText("1 call", { exact: true }).waitFor();
    }
    await page.goto(`${mcptap.url}/overview?range=15m`);
    await page.getByRole("region", { name: "Top tools" }).getByText("recent").waitFor();
    await expect
      .poll(() => page.getByRole("region", { name: "Top tools" }).getByText("older").count())
      .toBe(0);

    await page.goto(`${mcptap.url}/setup`);
    await page.getByText("Waiting for a call").waitFor();
    await page.getByText("This turns green when the next call arrives.").waitFor();
    // one that began long ago arrives now
    await mcptap.report({ tool: "long", agoMs: 3_600_000 });
    await page.getByText("It works: a call has arrived.").waitFor();
    await page.locator(".set-up-state").getByRole("link", { name: "long" }).waitFor();
    expect(pages.complaints).toEqual([]);
  }
});
