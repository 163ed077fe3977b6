// Official clients meet a server that wants OAuth, with `mcptap proxy` in between: what README and docs/instrumenting.md say of it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { BINARY, Mcptap } from "../support/mcptap.mjs";
import { NODE, PYTHON, freePort, listening, run } from "../support/peers.mjs";

const script = (name) => fileURLToPath(new URL(`../clients/${name}`, import.meta.url));
const CLIENTS = { python: [PYTHON, script("oauth.py")], typescript: [NODE, script("oauth.mjs")] };

/** Where a server has the addresses from that it writes into its metadata. */
const ORIGINS = {
  "X-Forwarded-Host": ({ headers }) => `http://${headers["x-forwarded-host"] ?? headers.host}`,
  Host: ({ headers }) => `http://${headers.host}`,
};

const CASES = [
  { from: "X-Forwarded-Host", flags: [], works: true },
  { from: "X-Forwarded-Host", flags: ["--preserve-host"], works: true },
  { from: "Host", flags: [], works: false },
  { from: "Host", flags: ["--preserve-host"], works: true },
  { from: "its own address", flags: [], works: false },
  { from: "its own address", flags: ["--preserve-host"], works: false },
  { from: "the proxy's address", flags: [], works: true },
];

for (const language of Object.keys(CLIENTS)) {
  for (const { from, flags, works } of CASES) {
    const name = `OAuth of ${language} with metadata from ${from} ${["by default", ...flags].at(-1)} ${works ? "works" : "is refused by the client"}`;
    test(name, async (t) => {
      const mcptap = await Mcptap.start(t);
      const proxyPort = await freePort();
      const origin = `http://127.0.0.1:${proxyPort}`;
      const server = await protectedServer(t, ORIGINS[from] ?? ((_, own) => (from === "its own address" ? own : origin)));
      const proxy = [BINARY, "proxy", "--upstream", `${server.url}/mcp`, "--listen", `127.0.0.1:${proxyPort}`, ...flags];
      await listening(t, proxy, proxyPort, { env: mcptap.env });

      const { code, stdout, stderr } = await run([...CLIENTS[language], `${origin}/mcp`]);
      assert.equal(code, 0, stderr);
      const { page, error } = JSON.parse(stdout);
      if (works) {
        const { origin: to, pathname, searchParams } = new URL(page ?? assert.fail(`${error}`));
        assert.deepEqual([to, pathname, searchParams.get("resource")], [origin, "/authorize", `${origin}/mcp`]);
        assert.deepEqual(server.registered, [`${language}-client`]);
      } else {
        assert.equal(page, undefined);
        assert.match(error, /does not match/);
        assert.deepEqual(server.registered, []);
      }
      // That the client was refused is in the log, and nothing else of it.
      const calls = await mcptap.settled(1);
      assert.deepEqual(calls.map(({ httpStatus }) => httpStatus), [401]);
    });
  }
}

/** A server that wants a token, and is its own authorization server. */
async function protectedServer(t, origin) {
  const registered = [];
  const server = createServer(async (request, response) => {
    const base = origin(request, `http://127.0.0.1:${server.address().port}`);
    const answer = (status, body, headers) => response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    const { pathname } = new URL(request.url, base);
    const body = await text(request);
    if (pathname === "/mcp") {
      const metadata = `${base}/.well-known/oauth-protected-resource/mcp`;
      answer(401, {}, { "www-authenticate": `Bearer resource_metadata="${metadata}"` });
    } else if (pathname.startsWith("/.well-known/oauth-protected-resource")) {
      answer(200, { resource: `${base}/mcp`, authorization_servers: [base] });
    } else if (pathname === "/.well-known/oauth-authorization-server") {
      answer(200, {
        issuer: base, authorization_endpoint: `${base}/authorize`, token_endpoint: `${base}/token`,
        registration_endpoint: `${base}/register`, response_types_supported: ["code"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        code_challenge_methods_supported: ["S256"], token_endpoint_auth_methods_supported: ["none"],
      });
    } else if (pathname === "/register") {
      const client = JSON.parse(body);
      registered.push(client.client_name);
      answer(201, { ...client, client_id: "client-1" });
    } else {
      answer(404, {});
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { url: `http://127.0.0.1:${server.address().port}`, registered };
}
