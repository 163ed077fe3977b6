import { defineConfig } from "vitest/config";
import { documents } from "./markdown.ts";

// One browser and one mcptap at a time: the machines of CI are small.
export default defineConfig({
  plugins: [documents()],
  test: {
    include: ["tests/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 60_000,
    // as long as a page's own locators wait
    expect: { poll: { timeout: 15_000 } },
  },
});
