import assert from "node:assert/strict";
import { test } from "node:test";

import { Capture, CaptureError, BadRule, REDACTED, Redactor } from "../dist/index.js";
import { redaction } from "../dist/tables.js";

const REDACTOR = new Redactor();

test("secrets are cut out of texts, once", () => {
  const cases = [
    ["key ghp_0123456789abcdefghijABCDEF end", "key [redacted] end"],
    ["toolghp_0123456789abcdefghijABCDEF", "tool[redacted]"],
    ["Authorization: Bearer abcdef0123456789", "Authorization: [redacted]"],
    ["postgres://user:hunter2@db/shop", "postgres://user:[redacted]@db/shop"],
    ["password=hunter2 and more", "password=[redacted] and more"],
    ["?api_key=abc123def456&page=2", "?api_key=[redacted]&page=2"],
    ["run --password hunter2 now", "run --password [redacted] now"],
    ["AKIAIOSFODNN7QT5LX2K", "[redacted]"],
    ["curl -u ada:pass123 http://shop", "curl -u ada:[redacted] http://shop"],
    ["-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[redacted]"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "[redacted]"],
    ["https://hooks.slack.com/services/T0000/B0000/XXXX123xyz45678", "https://hooks.slack.com/services/[redacted]"],
  ];
  for (const [text, cut] of cases) {
    assert.equal(REDACTOR.text(text), cut);
    assert.equal(REDACTOR.text(cut), cut);
  }
});

test("what is no secret stays", () => {
  for (const text of [
    "the password: is not here", "password = os.environ['PASSWORD']", "total_tokens=500", "next_token=abc",
    '{"password":"string","token":"hello"}', 'Bearer realm="shop"', "http://user@host/", "sk-button-primary",
    "see https://example.com/a:b@c", "version: ^1.2.3", '{"password_policy":"at least 8"}', "public_key_id=abc",
    '{"newPassword":"New password","secret":"[Filtered]","api_key":"YOUR_API_KEY","client_secret":"my-client-secret"}',
    "postgres://user:password@localhost/db", "amqp://u:{password}@mq", "AKIAIOSFODNN7EXAMPLE", "ghp_xxxxxxxxxxxxxxxxxxxxxxxx",
  ]) assert.equal(REDACTOR.json(text), text);
});

test("secrets are cut out of JSON, and the rest stays", () => {
  for (const [given, cut] of [
    [{ api_key: "x7" }, { api_key: REDACTED }],
    [{ db: { password: "hunter2", n: 1 } }, { db: { password: REDACTED, n: 1 } }],
    [{ password: 12345, secret: true }, { password: REDACTED, secret: true }],
    [{ credentials: ["a1b2", "c3d4"] }, { credentials: [REDACTED, REDACTED] }],
    [{ args: JSON.stringify({ password: "hunter2" }) }, { args: '{"password":"[redacted]"}' }],
    [{ env: [{ name: "API_KEY", value: "x7" }] }, { env: [{ name: "API_KEY", value: REDACTED }] }],
    [["--token", "hunter2", "kept"], ["--token", REDACTED, "kept"]],
    [{ accessToken: "hunter2", dbPasswordProd: "x" }, { accessToken: REDACTED, dbPasswordProd: REDACTED }],
    [{ Cookie: "a=b" }, { Cookie: REDACTED }],
    [JSON.parse('{"__proto__":{"password":"hunter2"}}'), JSON.parse('{"__proto__":{"password":"[redacted]"}}')],
  ]) assert.deepEqual(JSON.parse(REDACTOR.json(JSON.stringify(given))), cut);
});

test("every prefix of the table is known", () => {
  const alphabets = { hex: "0123456789abcdef", upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" };
  for (const { rule, prefixes, class: of, least } of redaction.shapes) {
    const alphabet = alphabets[of] ?? "a1B2c3D4e5";
    const rest = Array.from({ length: least }, (_, at) => alphabet[(at * 7) % alphabet.length]).join("");
    for (const prefix of prefixes) assert.ok(!REDACTOR.text(`is ${prefix}${rest} it`).includes(rest), `${rule} ${prefix}${rest}`);
  }
});

test("the operator's rules", () => {
  const redactor = new Redactor({ keys: ["ssn", "dob"], patterns: ["ACME-[0-9]{2,6}"], values: { SONG: "sea shanty" } });
  assert.equal(redactor.text("dob=1 ACME-123 sea shanty"), "dob=[redacted] [redacted] [redacted]");
  assert.equal(redactor.json('{"patient_ssn":12}'), '{"patient_ssn":"[redacted]"}');
  for (const form of ["sea%20shanty", "sea+shanty", "c2VhIHNoYW50e", "XNlYSBzaGFudH"]) assert.ok(redactor.text(`is ${form} it`).includes(REDACTED), form);
  for (const [rules, said] of [
    [{ patterns: ["ab(c"] }, /ACME-/], [{ patterns: ["a*"] }, /empty text/], [{ keys: ["--"] }, /ssn/],
    [{ values: { PIN: "1234" } }, /at least 6/], [{ values: { X: "redacted" } }, /part of/],
  ]) assert.throws(() => new Redactor(rules), (error) => error instanceof BadRule && said.test(error.message));
});

test("deep and long texts end", () => {
  assert.equal(REDACTOR.json("[".repeat(100_000)).length, 100_000);
  const deep = `${"[".repeat(500)}1${"]".repeat(500)}`;
  assert.ok(REDACTOR.json(`{"a":${deep},"password":"x1y2"}`).includes(REDACTED));
  for (const piece of ["ghp_", "password=", "ops_eyJ", "eyJaaaaaaaaaa.", "://", "sk-", '{"a":']) assert.ok(REDACTOR.text(piece.repeat(200_000 / piece.length)));
});

test("what is captured is what the variables say", () => {
  for (const capture of [new Capture(), Capture.fromEnv({}), Capture.fromEnv({ MCPTAP_CAPTURE: " Full " })]) {
    assert.deepEqual([capture.mode, capture.bodyCap, capture.records, capture.bodiesOf("any")], ["full", 1 << 20, true, true]);
  }
  const [metadata, off] = ["metadata", "off"].map((mode) => Capture.fromEnv({ MCPTAP_CAPTURE: mode }));
  assert.deepEqual([metadata.records, metadata.bodiesOf(undefined), off.records, off.bodiesOf("any")], [true, false, false, false]);
  const some = Capture.fromEnv({ MCPTAP_CAPTURE_TOOLS: "get_*, list,", MCPTAP_CAPTURE_DENY_TOOLS: "get_secret*", MCPTAP_BODY_CAP: "2KiB" });
  assert.deepEqual(["get_order", "get_", "list", "listing", "get_secret", "put"].filter((tool) => some.bodiesOf(tool)), ["get_order", "get_", "list"]);
  assert.deepEqual([some.bodiesOf(undefined), some.bodyCap], [true, 2048]);
  for (const [name, value] of [
    ["MCPTAP_CAPTURE", "ful"], ["MCPTAP_CAPTURE_TOOLS", "a*b"], ["MCPTAP_BODY_CAP", "many"], ["MCPTAP_REDACT_PATTERNS", "("], ["MCPTAP_REDACT_KEYS", "-"],
  ]) assert.throws(() => Capture.fromEnv({ [name]: value }), (error) => error instanceof CaptureError && error.message.includes(name));
});
