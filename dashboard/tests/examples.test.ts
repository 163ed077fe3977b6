import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { transformWithOxc } from "vite";
import { afterAll, expect, test } from "vitest";
import { Mcptap } from "./mcptap";

const examples = join(import.meta.dirname, "../../examples");
const scratch = mkdtempSync(join(tmpdir(), "mcptap-examples-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The command that runs each example. */
const commands: Record<string, () => Promise<string[]>> = {
  "tail.ts": async () => {
    // as Node.js does it itself from 22.18 on
    const path = join(examples, "tail.ts");
    const { code } = await transformWithOxc(readFileSync(path, "utf8"), path);
    const script = join(scratch, "tail.mjs");
    writeFileSync(script, code);
    return [process.execPath, script];
  },
  "tail.py": async () => ["python3", join(examples, "tail.py")],
  "tail.rs": async () => {
    const binary = join(dirname(process.env.MCPTAP_BIN ?? ""), "examples/tail");
    if (!existsSync(binary))
      throw new Error(`${binary} is not there; build it with: cargo build --example tail`);
    return [binary];
  },
};

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill();
  });
}

for (const [name, command] of Object.entries(commands)) {
  test(`${name} shows each call once, also those it was away for`, async () => {
    const mcptap = await Mcptap.start();
    const [program = "", ...args] = await command();
    await mcptap.report({ tool: "older" });
    await mcptap.report({ tool: "newer", error: "sold out" });
    const child = spawn(program, [...args, `${mcptap.url}/graphql`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (data) => {
      output += data;
    });
    const shown = () =>
      output
        .split("\n")
        .slice(0, -1)
        .map((line) => line.split(" ").slice(1).join(" "));
    try {
      await expect
        .poll(shown, { timeout: 20_000 })
        .toEqual(["OK tools/call older", "TOOL_ERROR tools/call newer"]);
      await mcptap.report({ tool: "live" });
      await expect.poll(shown, { timeout: 20_000 }).toHaveLength(3);
      await mcptap.terminate();
      await mcptap.launch();
      await mcptap.report({ tool: "missed" });
      await expect
        .poll(shown, { timeout: 20_000 })
        .toEqual([
          "OK tools/call older",
          "TOOL_ERROR tools/call newer",
          "OK tools/call live",
          "OK tools/call missed",
        ]);
    } finally {
      await end(child);
      await mcptap.stop();
    }
  });
}

for (const [name, command] of Object.entries(commands)) {
  test(`${name} takes an API key, and without one ends and says why`, async () => {
    const mcptap = await Mcptap.start();
    await mcptap.report({ tool: "forecast" });
    const key = await mcptap.createKey("reader", "read");
    const [program = "", ...args] = await command();
    const children: ChildProcess[] = [];
    const run = (given: string | undefined) => {
      const { API_KEY: _, ...others } = process.env;
      const child = spawn(program, [...args, `${mcptap.url}/graphql`], {
        env: given === undefined ? others : { ...others, API_KEY: given },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      const said = { child, output: "", complaints: "" };
      child.stdout.on("data", (data) => {
        said.output += data;
      });
      child.stderr.on("data", (data) => {
        said.complaints += data;
      });
      return said;
    };
    try {
      const known = run(key);
      await expect.poll(() => known.output, { timeout: 20_000 }).toContain("forecast");
      for (const wrong of [undefined, "mcptap_wrong"]) {
        const unknown = run(wrong);
        await expect.poll(() => unknown.child.exitCode, { timeout: 20_000 }).toBeGreaterThan(0);
        await expect.poll(() => unknown.complaints).toContain("API key");
        expect(unknown.output).toBe("");
      }
    } finally {
      await Promise.all(children.map(end));
      await mcptap.stop();
    }
  });
}
