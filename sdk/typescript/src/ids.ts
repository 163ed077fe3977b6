// Ids of JSON-RPC, compared by value: the number 1 and the text "1" are two ids; 1, 1.0 and 1e0 are one.

/** The longest integer that is written out, in digits; what is longer keeps its exponent. */
const LONGEST_INTEGER = 64;
/** The longest id that is kept, in characters. */
const LONGEST = 4096;
const NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,9}))?$/;

/**
 * A JSON number in the one form that all numbers of its value have: an integer written out, or digits without zeros around them and an
 * exponent. Undefined for what is no number of JSON.
 */
export function canonical(token: string): string | undefined {
  const found = token.length > LONGEST ? null : NUMBER.exec(token);
  if (!found) return undefined;
  const [, sign = "", whole = "", fraction = "", power = "0"] = found;
  const leading = (whole + fraction).replace(/^0+/, "");
  const digits = leading.replace(/0+$/, "");
  if (!digits) return "0";
  const exponent = Number(power) - fraction.length + leading.length - digits.length;
  if (exponent >= 0 && exponent <= LONGEST_INTEGER - digits.length) return sign + digits + "0".repeat(exponent);
  return `${sign}${digits}${exponent === 0 ? "" : `e${exponent}`}`;
}

/** An id as records have it. */
export function written(id: unknown): string {
  if (typeof id === "string") return id.slice(0, LONGEST);
  const token = JSON.stringify(id) ?? "";
  return canonical(token) ?? token.slice(0, LONGEST);
}

/** An id as it is compared. */
export const exact = (id: unknown): string => (typeof id === "string" ? `"${id.slice(0, LONGEST)}` : written(id));

/** The same for ids that some peer takes for the same: a text counts as the number that it spells. */
export const digits = (id: unknown): string => (typeof id === "string" ? (canonical(id) ?? id.slice(0, LONGEST)) : written(id));
