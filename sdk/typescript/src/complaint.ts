// What is said on standard error.

import fs from "node:fs";

/**
 * Says something on standard error, which is never the transport's. By its number: where nobody reads it any more, a write to the stream
 * would end the process.
 */
export function complain(said: string): void {
  try {
    fs.writeSync(2, `mcptap: ${said}\n`);
  } catch {
    // Nobody reads it.
  }
}
