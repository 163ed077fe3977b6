// Runs the tests that failed once more, alone, and says which of them passed then.
//   node scripts/again.mjs cargo LOG     the log of `cargo test --no-fail-fast`
//   node scripts/again.mjs node TAP      the TAP report of `node --test`
// Only tests with processes, sockets and clients of others are run again: a busy machine can make one of them late, and the
// report names it, because it is to be mended. The laws of the store and of the decoders have no such excuse.
// Exit code: 0 where all passed, 1 where one failed again or is not run again.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { relative } from "node:path";

/** More than this many failures are no matter of a busy machine. */
const MOST = 3;
/** The targets of cargo that are run again. */
const WITH_PROCESSES = new Set(["-p mcptap --test whole", "-p mcptap-sdk --test sdk"]);

const [kind, report] = process.argv.slice(2);
const text = readFileSync(report, "utf8");
const all = (pattern) => [...new Set([...text.matchAll(pattern)].map((found) => found[1]))];

function giveUp(why) {
  console.log(`not run again: ${why}`);
  process.exit(1);
}

function run(program, args) {
  const ran = spawnSync(program, args, { stdio: "inherit" });
  if (ran.error) throw ran.error;
  return ran.status === 0;
}

function cargo() {
  const targets = all(/^ {4}`(-p .*)`$/gm);
  const tests = all(/^test (\S+) \.\.\. FAILED$/gm);
  if (targets.length === 0 || tests.length === 0) giveUp("it did not get as far as the tests");
  const others = targets.filter((target) => !WITH_PROCESSES.has(target));
  if (others.length > 0) giveUp(`of ${others.join(", ")} every failure counts`);
  if (tests.length > MOST) giveUp(`${tests.length} tests failed`);
  // With the features of the whole workspace, as they were built.
  const names = targets.map((target) => target.split(" ").at(-1));
  const args = ["test", "--workspace", "--locked", ...names.flatMap((name) => ["--test", name])];
  return [tests, run("cargo", [...args, "--", "--exact", "--test-threads=1", ...tests])];
}

function node() {
  const failed = text.split(/^not ok /m).slice(1);
  const places = failed.map((test) => test.match(/^\s*location: '(.*):\d+:\d+'$/m)?.[1]);
  const tests = [...new Set(places)].map((place) => place && relative(process.cwd(), place));
  if (tests.length === 0 || tests.includes(undefined)) giveUp("it is not known which file failed");
  if (tests.length > MOST) giveUp(`tests of ${tests.length} files failed`);
  return [tests, run("node", ["--test", "--test-concurrency=1", ...tests])];
}

const [tests, passed] = kind === "cargo" ? cargo() : node();
console.log(`${passed ? "FLAKY, passed when run again" : "failed again"}: ${tests.join(", ")}`);
process.exit(passed ? 0 : 1);
