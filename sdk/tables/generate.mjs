// Writes what the SDKs in Python and TypeScript share with the one in Rust: names of attributes, and the tables of
// redaction. The sources of the crate `mcptap-model` are the original.
//
//     node sdk/tables/generate.mjs           writes the copies
//     node sdk/tables/generate.mjs --check   ends with 1 where a copy is another

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url);
const COPIES = ["sdk/python/src/mcptap/tables.json", "sdk/typescript/src/tables.json"];

const source = (path) => readFileSync(new URL(`model/src/${path}`, ROOT), "utf8").replace(/\/\/[^\n"]*\n/g, "\n");

/** The text between the bracket that stands behind `= ` or `= &` of a constant and the one that closes it. */
function constant(text, name) {
  const begin = text.search(new RegExp(`const ${name}: [^=]*= &?\\[`));
  if (begin < 0) throw new Error(`there is no constant ${name} any more`);
  const from = text.indexOf("[", text.indexOf("= ", begin));
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const literal = /^b?"(?:[^"\\]|\\.)*"/.exec(text.slice(at, at + 400))?.[0];
    if (literal) at += literal.length - 1;
    else if (text[at] === "[") depth += 1;
    else if (text[at] === "]" && (depth -= 1) === 0) return text.slice(from + 1, at);
  }
  throw new Error(`the constant ${name} has no end`);
}

const unquoted = (literal) => JSON.parse(literal.replace(/^b/, ""));
const texts = (text) => [...text.matchAll(/b?"(?:[^"\\]|\\.)*"/g)].map(([literal]) => unquoted(literal));
const list = (text, name) => texts(constant(text, name));

/** The calls of constructors in a table: their names and arguments. */
function calls(text) {
  const found = [];
  for (const match of text.matchAll(/\b(of|shape|exact|mixed|address)\(/g)) {
    const from = match.index + match[0].length;
    let depth = 1;
    let at = from;
    for (; depth > 0; at += 1) {
      const literal = /^"(?:[^"\\]|\\.)*"/.exec(text.slice(at, at + 400))?.[0];
      if (literal) at += literal.length - 1;
      else if (text[at] === "(") depth += 1;
      else if (text[at] === ")") depth -= 1;
    }
    found.push({ kind: match[1], text: text.slice(from, at - 1) });
  }
  return found;
}

function patterns(text) {
  return calls(constant(text, "PATTERNS")).map(({ text }) => {
    const [rule, prefix, rest] = texts(text);
    return { rule, prefix, rest, border: /Border::(\w+)/.exec(text)[1].toLowerCase() };
  });
}

function shapes(text) {
  const wordy = /const WORDY: &str = "([^"]*)"/.exec(text)[1];
  return calls(constant(text, "SHAPES")).map(({ kind, text }) => {
    const isWordy = text.trimStart().startsWith("WORDY");
    const [rule, ...prefixes] = isWordy ? [wordy, ...texts(text)] : texts(text);
    const least = Number(/(\d+),?\s*$/.exec(text)[1]);
    return {
      rule,
      prefixes,
      class: kind === "address" ? "base64" : /Class::(\w+)/.exec(text)[1].toLowerCase(),
      least,
      most: kind === "exact" ? least : null,
      mixed: kind === "mixed",
      drawn: isWordy,
      keepsPrefix: kind === "address",
    };
  });
}

function attributes(text) {
  const found = text.matchAll(/pub const (\w+): &str =\s*"([^"]*)";/g);
  return Object.fromEntries([...found].map(([, name, value]) => [name, value]));
}

function tables() {
  const words = source("redact/names/words.rs");
  const looks = source("redact/looks.rs");
  const placeholders = source("redact/placeholders.rs");
  return {
    attributes: attributes(source("semconv.rs")),
    redaction: {
      marker: /pub const REDACTED: &str = "([^"]*)"/.exec(source("redact/mod.rs"))[1],
      shapes: shapes(source("redact/shapes.rs")),
      patterns: patterns(source("redact/patterns.rs")),
      names: {
        secret: list(words, "SECRETS"),
        weak: list(words, "WEAK"),
        loose: list(words, "LOOSE"),
        pin: list(words, "PINS"),
        otherKeys: list(words, "OTHER_KEYS"),
        same: list(words, "SAME"),
        another: list(words, "ANOTHER"),
        harmless: list(words, "HARMLESS"),
        doubtful: list(words, "DOUBTFUL"),
      },
      spaced: spaced(source("redact/names.rs")),
      words: list(looks, "WORDS"),
      sentence: list(looks, "SENTENCE"),
      labels: { secrets: list(placeholders, "SECRETS"), of: list(placeholders, "OF") },
      files: list(looks, "ENDS"),
      locations: list(looks, "BEGINNINGS"),
      algorithms: list(looks, "NAMES"),
      schemes: list(source("redact/named.rs"), "SCHEMES"),
      challenge: list(source("redact/credentials.rs"), "CHALLENGE"),
      shortestValue: Number(/const SHORTEST: usize = (\d+);/.exec(source("redact/literals.rs"))[1]),
    },
  };
}

/** Names with a space in them, for texts. */
function spaced(text) {
  const found = [...text.matchAll(/\("([a-z]+(?: [a-z]+)+)"\.to_owned\(\), Kind::(\w+)\)/g)].map(([, name, kind]) => ({ name, kind: kind.toLowerCase() }));
  if (found.length === 0) throw new Error("there are no names with a space any more");
  return found;
}

const found = tables();
const counts = [found.redaction.shapes, found.redaction.patterns, found.redaction.names.secret, Object.keys(found.attributes)];
if (counts.some(({ length }) => length < 30)) throw new Error(`too little was found: ${counts.map(({ length }) => length)}`);
const text = `${JSON.stringify(found, null, 1)}\n`;

if (process.argv.includes("--check")) {
  const read = (path) => { try { return readFileSync(new URL(path, ROOT), "utf8"); } catch { return null; } };
  const others = COPIES.filter((path) => read(path) !== text);
  for (const path of others) console.error(`${path} is not what model/src says; run: node sdk/tables/generate.mjs`);
  process.exitCode = others.length > 0 ? 1 : 0;
} else {
  for (const path of COPIES) writeFileSync(fileURLToPath(new URL(path, ROOT)), text);
}
