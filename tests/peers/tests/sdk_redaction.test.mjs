// The SDKs for Python and TypeScript cut out of a text what the collector cuts out of it, by the tables that all share.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { BINARY, ROOT, scratch } from "../support/mcptap.mjs";
import { NODE, PYTHON, run } from "../support/peers.mjs";

const DRAWN = "kV9zQ2mLw7xB4";

/** Characters of each class of the tables. */
const CLASSES = {
  a: "aB3dE5gH7", A: "A3C5E7", h: "0a1b2c3d", H: "0A1b2C3d", D: "0123456789", w: "aB3_dE5", d: "aB3-dE5_x9", t: "aB3.dE5_x9", b: "aB3+dE5/x9",
  p: "aB3dE5x9", _: "_", hex: "0a1b2c3d", upper: "A3C5E7", word: "aB3_dE5", dashed: "aB3-dE5_x9", dotted: "aB3xdE5_x9", base64: "aB3xdE5_x9",
};
const fill = (of, length) => Array.from({ length }, (_, at) => CLASSES[of][(at * 7 + 3) % CLASSES[of].length]).join("");

/** A text for each rule and name of the tables, and some that only look like it. */
function texts({ shapes, patterns, names, spaced }) {
  const json = (name, value) => JSON.stringify({ [name]: value });
  const tokens = shapes.flatMap(({ prefixes, class: of, least }) => prefixes.map((prefix) => `is ${prefix}${fill(of, least)} it`));
  const others = patterns.map(({ prefix, rest }) => `is ${prefix}${rest.replace(/\{(.)(\d*)(-?)(\d*)\}/g, (_, of, least) => fill(of, Number(least || 1)))} it`);
  const named = [...names.secret, ...names.weak, ...names.pin].flatMap((name) => ["", "_"].map((joint) => name.replaceAll("?", joint))).flatMap((name) => [
    json(name, DRAWN), json(name, "string"), json(`${name}_policy`, DRAWN), json(`my_${name}_prod`, DRAWN), `${name}=${DRAWN}`, `x ${name}: ${DRAWN}`,
  ]);
  const before = [
    ...[...names.harmless, ...names.doubtful, "access", "user"].flatMap((word) => [json(`${word}_token`, DRAWN), json(`${word}Token`, DRAWN)]),
    ...[...names.otherKeys, "shop"].map((word) => json(`${word}_key`, `${DRAWN}nR8tY3pS6`)),
    ...names.another.map((word) => json(`password_${word}`, DRAWN)),
    ...names.same.map((word) => json(`password_${word}`, DRAWN)),
    ...spaced.map(({ name }) => `${name}: ${DRAWN}`),
  ];
  const values = ["<password>", "${PASSWORD}", "$PASSWORD", "***", "your-api-key", "/etc/secret", "AES-256-GCM", "^1.2.3", "the key of your account", "hunter2", "correct horse battery", "true", "12", "1234567", "none",
    "YOUR_API_KEY", "[Filtered]", "New password", "my-api-key", "password", "{password}", "0000000000000000000000000000000000000001", "insert-token-here", "/a/b.json"];
  const doubtful = values.flatMap((value) => ["password", "token", "api_key", "auth", "authorization", "cookie"].map((name) => json(name, value)));
  return [...tokens, ...others, ...named, ...before, ...doubtful, ...TEXTS];
}

const TEXTS = [
  "Authorization: Bearer abcdef0123456789", 'Bearer realm="shop"', "Basic dXNlcjpwYXNz", "authorization: Bearer <token>", "Authorization: Basic dXNlcjpwYXNz, more",
  "postgres://u:hunter2@h/db", "https://u:p%40ss@h/", "mysql://root@h/db", "postgres://user:password@h/db", "postgres://u:${PASSWORD}@h/db", "see https://example.com/a:b@c", "curl -u a:b12345 http://h",
  "?api_key=abc123def456&page=2", "sig=aB3dE5gH7aB3dE5gH7", "run --password hunter2 now", "run --token abc now", "run --client-secret abcdefg now", "run --api-key=abc123x now",
  'run --password "abc" now', "the password: is not here", "password = os.environ['X']", "const token = getToken()", "let apiKey = config.apiKey;",
  "API key: abc123def456ghi", "commit 3f786850e387550fdab836ed7e6dc881de23001b", "id 550e8400-e29b-41d4-a716-446655440000", "order 12345678 is shipped", "tokens used: 512",
  "is AKIAIOSFODNN7EXAMPLE it", "is ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx it", "is pk_live_aB3dE5gH7aB3dE5gH7 it",
];

test("both SDKs cut what the collector cuts", async (t) => {
  const tables = JSON.parse(await readFile(join(ROOT, "sdk/python/src/mcptap/tables.json"), "utf8"));
  const given = texts(tables.redaction);
  assert.ok(given.length > 1500);
  const file = join(await scratch(t), "texts");
  // Texts apart from one another.
  await writeFile(file, `${given.join("\n\n")}\n`);
  const said = async (command) => {
    const { code, stdout, stderr } = await run(command);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const collector = (await said([BINARY, "redact", "--test", file])).trimEnd().split("\n\n");
  const python = "import json, sys; sys.path.insert(0, sys.argv[1]); import mcptap; r = mcptap.Redactor(); print(json.dumps([r.json(t) for t in open(sys.argv[2], encoding='utf-8').read().rstrip('\\n').split('\\n\\n')]))";
  const typescript = `import { readFileSync } from "node:fs"; import { Redactor } from ${JSON.stringify(join(ROOT, "sdk/typescript/dist/index.js"))};
    const r = new Redactor(); console.log(JSON.stringify(readFileSync(process.argv[1], "utf8").trimEnd().split("\\n\\n").map((text) => r.json(text))));`;
  const sdks = {
    python: JSON.parse(await said([PYTHON, "-c", python, join(ROOT, "sdk/python/src"), file])),
    typescript: JSON.parse(await said([NODE, "--input-type=module", "--eval", typescript, file])),
  };
  for (const [name, cut] of Object.entries(sdks)) {
    const wrong = given.map((text, at) => [text, collector[at], cut[at]]).filter(([, expected, actual]) => expected !== actual);
    assert.deepEqual(wrong, [], name);
  }
});
