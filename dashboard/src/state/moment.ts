const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):(\d\d))$/;

/** The years that the API takes moments of, in UTC. */
const [firstYear, lastYear] = [1678, 2261];

/** What a moment looks like, in words. */
export const momentWords = `a timestamp with time zone of the years ${firstYear}–${lastYear}, such as 2026-11-24T06:00:00Z`;

/** Nanoseconds since 1970 of an RFC 3339 time with a time zone. Undefined where the text is none, or none that the API takes. */
export function nanoseconds(text: string): bigint | undefined {
  const found = pattern.exec(text);
  // the browser draws it, and knows fewer time zones
  if (!found || Number.isNaN(Date.parse(text))) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  // browsers take the 30th of February for a day of March, and the year 1 for 1901
  const isThere =
    at.getUTCFullYear() === year &&
    at.getUTCMonth() === month - 1 &&
    at.getUTCDate() === day &&
    at.getUTCHours() === hour &&
    at.getUTCMinutes() === minute &&
    at.getUTCSeconds() === second;
  if (!isThere) return undefined;
  const [sign, hours, minutes] = found.slice(8, 11);
  const [aheadHours, aheadMinutes] = [Number(hours ?? 0), Number(minutes ?? 0)];
  if (aheadHours > 23 || aheadMinutes > 59) return undefined;
  const ahead = (sign === "-" ? -1 : 1) * (aheadHours * 60 + aheadMinutes) * 60_000;
  const utc = new Date(at.getTime() - ahead);
  if (utc.getUTCFullYear() < firstYear || utc.getUTCFullYear() > lastYear) return undefined;
  return BigInt(utc.getTime()) * 1_000_000n + BigInt((found[7] ?? "").padEnd(9, "0"));
}
