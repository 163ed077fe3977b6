import { defineConfig } from "vitest/config";

// One browser and one mcptap at a time: the machines of CI are small.
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 60_000,
    // as long as a page's own locators wait
    expect: { poll: { timeout: 15_000 } },
  },
});
