import { expect, test } from "vitest";

test("a key is read as it is pasted, with or without the header that it was shown in", async () => {
  // of a page, which the module reads its first key from
  Object.assign(globalThis, { sessionStorage: { getItem: () => null } });
  const { readKey } = await import("../../src/state/key");
  for (const pasted of [
    "mcptap_abc-123",
    "  mcptap_abc-123\n",
    "Bearer mcptap_abc-123",
    "bearer  mcptap_abc-123",
    "Authorization: Bearer mcptap_abc-123",
    "'Authorization: Bearer mcptap_abc-123'",
    '"mcptap_abc-123",',
    "x-api-key=mcptap_abc-123",
    "x-api-key: mcptap_abc-123",
  ])
    expect(readKey(pasted), pasted).toBe("mcptap_abc-123");
  expect(readKey("Bearer ")).toBe("");
});
