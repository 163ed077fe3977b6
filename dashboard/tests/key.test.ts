import { expect, test } from "vitest";
import { givenPages, rows } from "./pages";

const pages = givenPages();

test("where the API wants a key the page asks for one, sends it, and keeps it for the tab alone", async () => {
  const { page, mcptap } = pages;
  await mcptap.report({ tool: "forecast" });
  const refused: unknown[] = [];
  await page.route("**/graphql", async (route) => {
    const key = route.request().headers().authorization;
    if (key === "Bearer right") await route.continue();
    else {
      refused.push(key);
      const body = JSON.stringify({ errors: [{ message: "a key is needed" }] });
      await route.fulfill({ status: 401, contentType: "application/graphql-response+json", body });
    }
  });
  await page.goto(mcptap.url);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
  await page.getByLabel("API key").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("did not accept that key").waitFor();
  await page.getByLabel("API key").fill("right");
  await page.getByRole("button", { name: "Sign in" }).click();
  await rows(page).first().waitFor();
  expect(refused).toContain(undefined);
  expect(refused).toContain("Bearer wrong");

  await page.reload();
  await rows(page).first().waitFor();
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("right");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Forget the key" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  // the browser itself reports each 401
  expect(pages.complaints.filter((complaint) => !complaint.includes("401"))).toEqual([]);
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
