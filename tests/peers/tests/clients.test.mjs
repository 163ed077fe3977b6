// The examples of GraphQL clients, as they stand, while mcptap is stopped and killed: no call is lost, and none comes twice.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";

import { Mcptap, ROOT, eventually } from "../support/mcptap.mjs";
import { NODE, PYTHON, stop } from "../support/peers.mjs";

const CLIENTS = join(ROOT, "examples/graphql_clients");

/** A path to a server on this machine. Its connections can fall silent, without an end: as those of a network that is gone. */
class Path {
  static async to(t, port) {
    const path = new Path();
    path.connections = new Set();
    const server = createServer((client) => {
      const connection = { client, server: connect(port, "127.0.0.1"), isDropped: false };
      path.connections.add(connection);
      const pipe = (from, to) => {
        from.on("data", (data) => connection.isDropped || to.write(data));
        from.on("close", () => connection.isDropped || to.destroy());
        from.on("error", () => {});
      };
      pipe(client, connection.server);
      pipe(connection.server, client);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.close();
      for (const { client, server: other } of path.connections) for (const socket of [client, other]) socket.destroy();
    });
    path.web = `http://127.0.0.1:${server.address().port}`;
    return path;
  }

  /** All connections that there are fall silent. New ones are none of them. */
  drop() {
    for (const connection of this.connections) connection.isDropped = true;
  }
}

/** How many calls come in each part of the test. */
const SOME = 40;

const RECIPES = [
  ["apollo.mjs", [NODE, "apollo.mjs"]],
  ["urql.mjs", [NODE, "urql.mjs"]],
  ["gql_client.py", [PYTHON, "gql_client.py"]],
];

for (const [name, command] of RECIPES) {
  test(`${name} shows each call once, through a stop and a kill`, async (t) => {
    const mcptap = await Mcptap.start(t);
    const sent = [];
    const report = async (part) => {
      for (let number = 0; number < SOME; number += 1) {
        sent.push(`${part}-${number}`);
        await mcptap.report(sent.at(-1));
      }
    };
    sent.push("first");
    await mcptap.report("first");
    const [program, ...args] = command;
    const child = spawn(program, [...args, `${mcptap.web}/graphql`], { cwd: CLIENTS, stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => stop(child));
    let [output, complaints] = ["", ""];
    child.stdout.on("data", (data) => { output += data; });
    child.stderr.on("data", (data) => { complaints += data; });
    const shown = () => output.split("\n").slice(0, -1).map((line) => line.split(" ").at(-1));
    const complete = (what) =>
      eventually(`${what}: ${name}`, async () => {
        if (child.exitCode !== null) throw new Error(`${name} ended:\n${output}\n${complaints}`);
        return shown().length >= sent.length ? true : undefined;
      }).catch((error) => { throw new Error(`${error.message}\n${complaints}`); });
    const subscribed = async () => {
      sent.push("hello");
      await mcptap.report("hello");
      await complete("the first call that came later");
    };

    await complete("the page");
    await subscribed();
    await report("live");
    for (const signal of ["SIGTERM", "SIGKILL"]) {
      await mcptap.kill(signal);
      await mcptap.launch();
      await report(`after ${signal}`.replace(" ", "-"));
    }
    await complete("the rest");
    // What would be one too many may still be on its way.
    await new Promise((wake) => setTimeout(wake, 500));
    assert.deepEqual(shown(), sent);
  });
}

for (const [name, [program, ...args]] of RECIPES) {
  test(`${name} notices a connection that drops everything, and goes on over another`, async (t) => {
    const mcptap = await Mcptap.start(t);
    await mcptap.report("first");
    const path = await Path.to(t, Number(new URL(mcptap.web).port));
    const child = spawn(program, [...args, `${path.web}/graphql`], { cwd: CLIENTS, stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => stop(child));
    let output = "";
    child.stdout.on("data", (data) => { output += data; });
    const shown = () => output.split("\n").slice(0, -1).map((line) => line.split(" ").at(-1));
    const complete = (sent) =>
      eventually(`${sent.at(-1)}: ${name}: ${output}`, () => shown().includes(sent.at(-1)) || undefined)
        .then(() => assert.deepEqual(shown(), sent));
    await complete(["first"]);
    // The subscription is there when it brings something.
    await mcptap.report("live");
    await complete(["first", "live"]);
    path.drop();
    await mcptap.report("missed");
    await complete(["first", "live", "missed"]);
  });
}

for (const [name, [program, ...args]] of RECIPES) {
  test(`${name} takes an API key, and without one ends and says why`, async (t) => {
    const mcptap = await Mcptap.start(t);
    await mcptap.report("first");
    const key = await mcptap.createKey("reader", "read");
    const run = (environment) => {
      const env = { ...process.env, API_KEY: "", ...environment };
      const child = spawn(program, [...args, `${mcptap.web}/graphql`], { cwd: CLIENTS, env, stdio: ["ignore", "pipe", "pipe"] });
      t.after(() => stop(child));
      const said = { child, output: "", complaints: "" };
      child.stdout.on("data", (data) => { said.output += data; });
      child.stderr.on("data", (data) => { said.complaints += data; });
      return said;
    };
    const known = run({ API_KEY: key });
    await eventually(`the call: ${name}`, () => known.output.includes("first") || undefined);
    for (const wrong of ["", "mcptap_wrong"]) {
      const unknown = run({ API_KEY: wrong });
      // Its output has ended too.
      await once(unknown.child, "close");
      assert.notEqual(unknown.child.exitCode, 0);
      assert.match(unknown.complaints, /API key/);
      assert.equal(unknown.output, "");
    }
  });
}

for (const useGETForHashedQueries of [false, true]) {
  const method = useGETForHashedQueries ? "GET" : "POST";
  test(`Apollo Client's persisted queries, by ${method}, are sent as documents after the first`, async (t) => {
    const mcptap = await Mcptap.start(t);
    await mcptap.report("first");
    const load = createRequire(join(CLIENTS, "package.json"));
    const { ApolloClient, HttpLink, InMemoryCache, gql } = load("@apollo/client");
    const { PersistedQueryLink } = load("@apollo/client/link/persisted-queries");
    const sent = [];
    const counting = (url, options) => {
      sent.push(options.method);
      return fetch(url, options);
    };
    const sha256 = (text) => createHash("sha256").update(text).digest("hex");
    const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
    const link = persisted.concat(new HttpLink({ uri: `${mcptap.web}/graphql`, fetch: counting }));
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    for (const query of [gql`query A { calls { nodes { target } } }`, gql`query B { tools { nodes { name } } }`]) {
      const { data } = await client.query({ query });
      const [[{ nodes }]] = [Object.values(data)];
      assert.equal(nodes[0].target ?? nodes[0].name, "first");
    }
    // A hash, its document, and from then on documents alone.
    assert.deepEqual(sent, [method, "POST", "POST"]);
    client.stop();
  });
}
