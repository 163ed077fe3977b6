import { expect, test } from "vitest";
import { readJson, writeJson } from "../../src/state/json";

const plain = (text: string): unknown => {
  const value = readJson(text);
  return value === undefined ? undefined : JSON.parse(writeJson(value));
};

test("what is read is what JSON.parse reads", () => {
  for (const text of [
    '{"a":[1,2.5e3,-0,true,false,null],"b":{"":{}},"c":"\\u00e9\\n\\"\\\\"}',
    "[]",
    "{}",
    '"x"',
    " 12 ",
    "null",
    '{"a" : [ ] , "b" : { } }',
  ]) {
    expect(plain(text), text).toEqual(JSON.parse(text));
  }
});

test("every digit of a number is kept", () => {
  expect(writeJson(readJson("[12345678901234567890123]") ?? { kind: "word", value: "" })).toContain(
    "12345678901234567890123",
  );
});

test("what is no JSON is not made up", () => {
  for (const text of ["", "hello", "{a:1}", '{"a":1} x', '{"a" 1}', "[1 2]", "undefined", '{"a":}']) {
    expect(readJson(text), text).toBeUndefined();
  }
});

test("JSON that was cut off is read up to there, and marked, wherever the cut is", () => {
  const whole = '{"name":"x","list":[1,{"deep":"te\\u0041\\"xt"},true],"n":null}';
  for (let end = 1; end < whole.length; end++) {
    const value = readJson(whole.slice(0, end));
    expect(value, whole.slice(0, end)).toMatchObject({ kind: "object", cut: true });
  }
  expect(readJson(whole)).toMatchObject({ kind: "object", cut: false });
});

test("deep nesting is refused instead of overflowing", () => {
  expect(readJson("[".repeat(100_000))).toBeUndefined();
});
