import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { expectAddress, givenPages, rows } from "./pages";

const pages = givenPages();

/** A reverse proxy that serves a mcptap below a path. */
async function serveBelow(path: string, upstream: string): Promise<{ url: string; server: Server }> {
  const { hostname, port } = new URL(upstream);
  const server = createServer((asked, answer) => {
    if (!asked.url?.startsWith(`${path}/`)) {
      answer.writeHead(404).end("not below the path");
      return;
    }
    const target = { hostname, port, method: asked.method, path: asked.url.slice(path.length) };
    const onward = request({ ...target, headers: asked.headers }, (answered) => {
      answer.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
  server.on("upgrade", (asked, socket) => {
    const onward = connect(Number(port), hostname, () => {
      const headers = asked.rawHeaders.reduce((text, part, at) => text + part + (at % 2 ? "\r\n" : ": "), "");
      onward.write(`GET ${asked.url?.slice(path.length)} HTTP/1.1\r\n${headers}\r\n`);
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [onward, socket]) end.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, server };
}

const unknown = [
  // letters count
  "/Sessions",
  "/SETUP",
  "/Servers/weather",
  "/nothing",
  "/index.html",
  "/no/such/page",
  "/calls/7/more?tool=a",
  "//calls",
  "/a/b/c/d/e/f/g/h",
];

/** Opens unknown addresses and goes on from each. */
async function walk(base: string): Promise<void> {
  const { page } = pages;
  for (const path of unknown) {
    const answer = await page.goto(`${base}${path}`);
    expect(answer?.status(), path).toBe(404);
    await page.getByRole("heading", { name: "Page not found" }).waitFor();
    expect(await page.title(), path).toBe("Page not found · mcptap");
    await page.getByRole("link", { name: "Overview" }).click();
    await page.getByRole("region", { name: "Top tools" }).getByText("get_forecast").waitFor();
    await page.goBack();
    await page.getByRole("link", { name: "Back to calls" }).click();
    await rows(page).first().waitFor();
    expect(new URL(page.url()).pathname, path).toBe(new URL(`${base}/`).pathname);
  }
  for (const [path, meant] of [
    ["/servers/weather/?tab=tools", "/servers/weather?tab=tools"],
    ["/sessions/", "/sessions"],
  ]) {
    await page.goto(`${base}${path}`);
    await expectAddress(page, new RegExp(`${new URL(base).host}.*${meant?.replace("?", "\\?")}$`));
    expect(page.url()).toBe(`${base}${meant}`);
    await page.getByRole("main").getByText("weather").first().waitFor();
  }
}

test("an unknown address shows the dashboard, from which one goes on", async () => {
  await pages.mcptap.report({ tool: "get_forecast", session: "s-1" });
  await walk(pages.mcptap.url);
  expect(pages.complaints.filter((text) => !text.includes("status of 404"))).toEqual([]);
});

test("so does one below the path of a reverse proxy", async () => {
  await pages.mcptap.report({ tool: "get_forecast", session: "s-1" });
  const { url, server } = await serveBelow("/tools/mcptap", pages.mcptap.url);
  try {
    await walk(url);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("what a page loads is no page when it is not there", async () => {
  const { url } = pages.mcptap;
  const answer = await fetch(`${url}/assets/gone.js`, { headers: { accept: "text/html" } });
  expect(answer.status).toBe(404);
  expect(answer.headers.get("content-type")).toMatch(/^text\/plain/);
});
