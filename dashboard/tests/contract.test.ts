import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  BreakingChangeType,
  buildSchema,
  findBreakingChanges,
  GraphQLInt,
  type GraphQLSchema,
  getNamedType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
} from "graphql";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const current = buildSchema(readFileSync(join(root, "schema.graphql"), "utf8"));

/** What would break clients that were written for the older schema. */
function breaks(older: GraphQLSchema): string[] {
  return findBreakingChanges(older, current).map(({ type, description }) => `${type}: ${description}`);
}

test("the floor of the contract stands", () => {
  expect(breaks(buildSchema(readFileSync(join(root, "tests/contract.graphql"), "utf8")))).toEqual([]);
});

test("nothing breaks clients of the last commit", ({ skip }) => {
  let committed: string;
  try {
    committed = execFileSync("git", ["show", "HEAD:schema.graphql"], { cwd: root, encoding: "utf8" });
  } catch {
    // an archive, or a machine without git: there is nothing to compare with
    skip("there is no git here, so the schema of the last commit is not known");
    return;
  }
  // when a break is meant: deprecate first, and say so in CHANGELOG.md; the commit itself then makes this pass again
  expect(breaks(buildSchema(committed))).toEqual([]);
});

test("the comparison sees what breaks", () => {
  const older = buildSchema("type Query { gone: Int }");
  expect(findBreakingChanges(older, current).map(({ type }) => type)).toContain(
    BreakingChangeType.FIELD_REMOVED,
  );
});

test("an Int is never a number of 64 bits", () => {
  // GraphQL's Int has 32 bits. What is an Int here is bounded by what it counts; a new one must be thought about.
  const bounded = new Set([
    ...["first", "last", "batchSize", "buckets"].map((name) => `argument ${name}`),
    ...["Call.httpStatus", "Call.rpcErrorCode", "CallFilter.httpStatuses", "Count.value", "Facet.count"],
    ...["CallStats.callCount", "CallStats.errorCount", "StatsBucket.callCount", "StatsBucket.errorCount"],
    ...["Session.callCount", "Session.errorCount", "Payload.bytes"],
    ...["CallsDeleted.count", "CallsDeleted.logLines"],
    // of 68 years at most
    ...["View.lastSeconds", "ViewInput.lastSeconds"],
    // of 16 bits
    "ReceiverAddress.port",
  ]);
  const ints: string[] = [];
  for (const type of Object.values(current.getTypeMap())) {
    if (type.name.startsWith("__")) continue;
    if (isInputObjectType(type)) {
      for (const field of Object.values(type.getFields())) {
        if (getNamedType(field.type) === GraphQLInt) ints.push(`${type.name}.${field.name}`);
      }
    } else if (isObjectType(type) || isInterfaceType(type)) {
      for (const field of Object.values(type.getFields())) {
        if (getNamedType(field.type) === GraphQLInt) ints.push(`${type.name}.${field.name}`);
        for (const argument of field.args) {
          if (getNamedType(argument.type) === GraphQLInt) ints.push(`argument ${argument.name}`);
        }
      }
    }
  }
  expect(ints.filter((name) => !bounded.has(name))).toEqual([]);
  expect(ints.length).toBeGreaterThan(10);
});
