import { count } from "./words";

/** The longest duration that is asked for, in milliseconds: some thirty years. */
const longest = 1e12;

/** What a number of milliseconds looks like, in words. */
export const millisecondsWords = `milliseconds, such as 250 or 1.5, at most ${count(longest)}`;

/** Reads a number of milliseconds as a person types it. Nothing typed is no bound. */
export function readMilliseconds(text: string): { value: number | undefined } | { problem: string } {
  const typed = text.trim();
  if (typed === "") return { value: undefined };
  if (/^\d+,\d+$/.test(typed)) return { problem: `Write ${typed.replace(",", ".")}, with a point.` };
  if (/^-/.test(typed)) return { problem: "A duration is not negative." };
  if (!/^\d*\.?\d+(e[+-]?\d+)?$/i.test(typed)) return { problem: "Write a number, such as 250 or 1.5." };
  const value = Number(typed);
  return value <= longest ? { value } : { problem: `Write at most ${count(longest)}.` };
}
