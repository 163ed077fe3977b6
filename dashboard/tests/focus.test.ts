import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();

/** What has the focus: its name as a screen reader says it, or that of the element. */
const focused = () =>
  pages.page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return "nothing";
    return at.getAttribute("aria-label") ?? at.textContent?.trim() ?? at.tagName;
  });

/** The same when the page has come to rest. */
async function focusedAtRest(): Promise<string> {
  const { page } = pages;
  await page.waitForLoadState("networkidle");
  await expect.poll(() => page.locator(".skeleton, .ghosts, [aria-busy=true]").count()).toBe(0);
  await page.evaluate(async () => {
    for (let frame = 0; frame < 10; frame++) await new Promise((next) => requestAnimationFrame(next));
  });
  return focused();
}

const press = async (name: string | RegExp) => {
  await pages.page.getByRole("button", { name }).first().focus();
  await pages.page.keyboard.press("Enter");
};

test("more of a list is entered at its first new row", async () => {
  const { page, mcptap } = pages;
  const many = Array.from({ length: 210 }, (_, index) => String(index).padStart(3, "0"));
  await mcptap.reportAll([
    ...many.map((n, index) => ({ server: "many", tool: `tool_${n}`, session: "one", agoMs: 5000 - index })),
    ...many.map((n, index) => ({ server: `server-${n}`, session: `s-${n}`, agoMs: 9000 + index })),
  ]);
  const { sessions } = await mcptap.ask(
    '{ sessions(first: 1, filter: { servers: ["many"] }) { nodes { id } } }',
  );
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;

  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  const loaded = 10;
  await press("Load more");
  await expect.poll(focusedAtRest).toContain(`tool_${many[209 - loaded]}`);

  for (const [address, first] of [
    ["/servers", "server-199"],
    ["/servers/many?tab=tools", "tool_200"],
    [`/sessions/${encodeURIComponent(session?.id ?? "")}`, "tool_200"],
  ] as const) {
    await page.goto(mcptap.url + address);
    await press("Load more");
    await expect.poll(focusedAtRest, { message: address }).toContain(first);
  }
  await page.goto(`${mcptap.url}/sessions`);
  await press("Load more");
  await expect
    .poll(() => page.getByRole("table", { name: "Sessions" }).locator("tbody tr").count())
    .toBe(100);
  const at = () =>
    page.evaluate(() => {
      const row = document.activeElement?.closest("tr");
      return row ? [...(row.parentElement?.children ?? [])].indexOf(row) : -1;
    });
  await expect.poll(at).toBe(50);
  expect(pages.complaints).toEqual([]);
});

test("a chosen filter that is removed or switched leaves the focus beside it", async () => {
  const { page, mcptap } = pages;
  await mcptap.reportAll([{ tool: "forecast" }, { tool: "radar", server: "other" }]);
  for (const path of ["/", "/sessions", "/overview"]) {
    await page.goto(`${mcptap.url}${path}?tool=forecast&tool=radar&method=tools/call`);
    await page.getByRole("list", { name: "Chosen filters" }).waitFor();
    await press("Tool is radar: switch to is not");
    expect(await focusedAtRest(), path).toBe("Tool is not radar: switch to is");
    await press("Remove Tool forecast");
    expect(await focusedAtRest(), path).toBe("Remove Tool radar");
    await press("Remove Method tools/call");
    expect(await focusedAtRest(), path).toBe("Remove Tool radar");
    await press("Remove Tool radar");
    expect(await focusedAtRest(), path).toMatch(/^(Calls|Sessions|Overview)$/);
  }
  await page.goto(`${mcptap.url}/?tool=nothing`);
  await press("Clear filters");
  expect(await focusedAtRest()).toBe("Calls");
  expect(pages.complaints).toEqual([]);
});

test("a link inside a page gives the focus to the page that it leads to", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast", session: "s-1" });
  await page.goto(`${mcptap.url}/sessions`);
  await page.getByRole("table", { name: "Sessions" }).getByRole("link").first().focus();
  await page.keyboard.press("Enter");
  await expectAddress(page, /sessions\/./);
  expect(await focusedAtRest()).toContain("Session");
  await page.getByRole("link", { name: "Show calls in list" }).focus();
  await page.keyboard.press("Enter");
  await expectAddress(page, /session=/);
  expect(await focusedAtRest()).toBe("Calls");
  expect(pages.complaints).toEqual([]);
});
