import { expect, test } from "vitest";
import { givenPages, rows } from "./pages";

const pages = givenPages();

/** A stop of the keyboard: what it is, and what it does as far as the page tells. */
interface Stop {
  role: string;
  name: string;
  href: string | null;
  /** What a press changes: whether it is on, open or pressed. */
  state: string;
}

/** The element with the focus. Undefined where the keyboard has left the page. */
const stop = (): Promise<Stop | undefined> =>
  pages.page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return undefined;
    const tag = at.tagName.toLowerCase();
    const type = at.getAttribute("type");
    const role = at.getAttribute("role") ?? (tag === "input" && type === "checkbox" ? "switch" : tag);
    const label = at.getAttribute("aria-label") ?? at.closest("label")?.textContent ?? at.textContent ?? "";
    const state = ["aria-pressed", "aria-expanded"].map((name) => at.getAttribute(name)).join();
    return {
      role,
      name: label.trim().slice(0, 80),
      href: tag === "a" ? (at as HTMLAnchorElement).href : null,
      state: tag === "input" ? String((at as HTMLInputElement).checked) : state,
    };
  });

const addresses = () => [
  "/",
  "/?outcome=TOOL_ERROR",
  "/sessions",
  "/overview",
  "/servers",
  "/servers/weather",
  "/servers/weather?tab=tools",
  "/setup",
  "/keys",
  "/docs",
];

async function report(): Promise<string[]> {
  const { mcptap } = pages;
  await mcptap.reportAll([
    { tool: "forecast", status: 200, client: "cursor", session: "s-1", agoMs: 3_600_000 },
    { tool: "radar", session: "s-1", error: "no radar", agoMs: 3_590_000, request: "{}" },
  ]);
  const { calls } = await mcptap.ask("{ calls(first: 1) { nodes { id session { id } } } }");
  const [call] = (calls as { nodes: { id: string; session: { id: string } }[] }).nodes;
  return [
    ...addresses(),
    `/calls/${encodeURIComponent(call?.id ?? "")}`,
    `/sessions/${encodeURIComponent(call?.session.id ?? "")}`,
  ];
}

const ready = async (address: string) => {
  const { page, mcptap } = pages;
  await page.goto(mcptap.url + address);
  await page.getByRole("heading", { level: 1 }).first().waitFor();
  await expect.poll(() => page.locator(".skeleton, .ghosts, [aria-busy=true]").count()).toBe(0);
};

/** Whether nothing is loaded or drawn any more that could take the focus away. */
const isAtRest = () =>
  pages.page.evaluate(async () => {
    for (let frame = 0; frame < 6; frame++) await new Promise((next) => requestAnimationFrame(next));
    return document.querySelector(".skeleton, .ghosts, [aria-busy=true]") === null;
  });

/** Gives the focus to a stop that Tab has come to before. */
const focus = async ({ name, href }: Stop) => {
  const { page } = pages;
  const at = page.locator("a, button, input, summary, [tabindex='0']");
  const find = () =>
    at.evaluateAll(
      (all, wanted) =>
        all.findIndex((element) => {
          const label =
            element.getAttribute("aria-label") ??
            element.closest("label")?.textContent ??
            element.textContent ??
            "";
          const isHere = element.tagName !== "A" || (element as HTMLAnchorElement).href === wanted.href;
          return label.trim().slice(0, 80) === wanted.name && isHere;
        }),
      { name, href },
    );
  await expect.poll(find, { message: name }).toBeGreaterThanOrEqual(0);
  await at.nth(await find()).focus();
};

/** Each stop of a page, in the order of Tab, from its beginning. */
async function stopsOf(address: string): Promise<Stop[]> {
  await ready(address);
  await pages.page.waitForLoadState("networkidle");
  const stops: Stop[] = [];
  for (let count = 0; count < 120; count++) {
    await pages.page.keyboard.press("Tab");
    const at = await stop();
    if (!at) return stops;
    stops.push(at);
  }
  throw new Error(`${address} has no end`);
}

test("at every stop of every page Enter does what its role promises", { timeout: 600_000 }, async () => {
  const { page, mcptap } = pages;
  for (const address of await report()) {
    const stops = await stopsOf(address);
    expect(stops.length, address).toBeGreaterThan(8);
    /** Links that lead to the same place promise the same. */
    const seen = new Set<string>();
    for (const found of stops) {
      const what = `${address}: ${found.role} ${found.name}`;
      // what leads away from mcptap is for those who are online
      if (found.href && !found.href.startsWith(mcptap.url)) continue;
      const kind = `${found.role} ${found.href ? new URL(found.href).pathname.split("/")[1] : found.name}`;
      if (seen.has(kind)) continue;
      seen.add(kind);
      await ready(address);
      await focus(found);
      const before = page.url();
      await page.keyboard.press("Enter");
      if (found.role === "a") {
        // a link of the list opens its call beside it, or goes where it says
        const target = new URL(found.href ?? "");
        const isThere = () => {
          const now = new URL(page.url());
          return (
            now.href === target.href ||
            now.searchParams.get("call") === decodeURIComponent(target.pathname.split("/").at(-1) ?? "") ||
            (target.pathname === "/graphql" && now.pathname === "/graphql")
          );
        };
        await expect.poll(isThere, { message: what }).toBe(true);
      } else if (found.role === "button" || found.role === "summary" || found.role === "switch") {
        // it opens something, turns, goes on, or says that it is done
        const did = async () => {
          const now = await stop();
          return (
            page.url() !== before ||
            now?.state !== found.state ||
            now?.name !== found.name ||
            (await page.getByRole("dialog").or(page.getByRole("menu")).or(page.locator(".notice")).count()) >
              0 ||
            (await page.locator("details[open]").count()) > 0
          );
        };
        // what is chosen already stays so, and a list that is asked for again looks as it did
        if (!found.state.startsWith("true") && found.name !== "Refresh")
          await expect.poll(did, { message: what }).toBe(true);
      } else {
        // text, and what only scrolls: nothing happens, least of all somewhere else
        expect(page.url(), what).toBe(before);
        expect(await page.getByRole("dialog").count(), what).toBe(0);
      }
      // whatever has become of the control, the keyboard is somewhere; a page that is loaded anew begins at its beginning
      if (new URL(page.url()).pathname === "/graphql") continue;
      await expect.poll(isAtRest, { message: what }).toBe(true);
      expect(await stop(), what).toBeDefined();
    }
  }
  expect(pages.complaints).toEqual([]);
});

test("Space turns and opens what has the focus, and scrolls elsewhere", async () => {
  const { page } = pages;
  await report();
  await ready("/");
  await page.getByRole("switch", { name: "Live" }).focus();
  await page.keyboard.press("Space");
  await expect.poll(() => page.getByRole("switch", { name: "Live" }).isChecked()).toBe(true);
  await rows(page).first().getByRole("link").focus();
  await page.keyboard.press("Space");
  expect(await page.getByRole("dialog").count()).toBe(0);
  expect(pages.complaints).toEqual([]);
});
