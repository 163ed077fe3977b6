import { expect, test } from "vitest";
import { givenPages, openContext, rows } from "./pages";

const pages = givenPages();

/** A property of an element as it is drawn. */
const drawn = (selector: string, property: string, pseudo?: string) =>
  pages.page
    .locator(selector)
    .first()
    .evaluate(
      (element, [name = "", part]) => getComputedStyle(element, part ?? null).getPropertyValue(name),
      [property, pseudo] as const,
    );

test("where the system forces its colours, what is chosen and what is on can be told apart", async () => {
  const { mcptap } = pages;
  await mcptap.reportAll([
    { tool: "a", session: "s", agoMs: 5000 },
    { tool: "b", session: "s", error: "no" },
  ]);
  await openContext(pages, { forcedColors: "active" });
  const { page } = pages;
  await page.goto(mcptap.url);
  await rows(page).first().waitFor();
  const line = "border-bottom-color";
  expect(await drawn(".nav-link[aria-current]", line)).not.toBe(
    await drawn(".nav-link:not([aria-current])", line),
  );
  const ground = "background-color";
  const [knob, track] = [
    await drawn(".switch .track", ground, "::after"),
    await drawn(".switch .track", ground),
  ];
  expect(knob).not.toBe(track);
  await page.getByRole("switch", { name: "Live" }).click();
  await expect.poll(() => drawn(".switch .track", ground)).not.toBe(track);
  expect(await drawn(".switch .track", ground, "::after")).not.toBe(await drawn(".switch .track", ground));
  await rows(page).first().getByRole("link").focus();
  await expect.poll(() => drawn(".row.selected", "outline-style")).toBe("solid");

  await page.goto(`${mcptap.url}/setup`);
  expect(await drawn(".kind.chosen", "outline-style")).toBe("solid");
  expect(await drawn(".kind:not(.chosen)", "outline-style")).toBe("none");
  const { sessions } = await mcptap.ask("{ sessions(first: 1) { nodes { id } } }");
  const [session] = (sessions as { nodes: { id: string }[] }).nodes;
  await page.goto(`${mcptap.url}/sessions/${encodeURIComponent(session?.id ?? "")}`);
  await page.locator(".track-bar").first().waitFor();
  expect(await drawn(".track-bar", ground)).not.toBe(await drawn(".moment .track", ground));
  await page.goto(`${mcptap.url}/overview`);
  await page.locator(".swatch").first().waitFor();
  expect(await drawn(".swatch.calls", ground)).not.toBe(await drawn(".swatch.errors", ground));
});
