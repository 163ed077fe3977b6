import { defined, type Filter, lists, ranges, singles } from "./filter";
import { type Form, forms } from "./forms";
import { count, head } from "./words";

/** A parameter that a page reads. */
export interface Parameter extends Form {
  /** Whether it has several values: as parameters of the same name, or in one with commas between them. Else it has one. */
  several?: "named alike" | "with commas";
}

/** A part of an address that means nothing: it is left out, and nobody is to take the page for what it asks. */
export interface Ignored {
  /** As it stands in the address, such as `status=abc`. */
  words: string;
  /** Why, and what is right. */
  why: string;
}

/** An address as it is read: each part of it is either used or ignored. */
export interface Read {
  /** What the page goes by. */
  used: URLSearchParams;
  ignored: readonly Ignored[];
}

/** How many values a list may have; the API refuses more. */
const mostValues = 500;
/** How many values all lists may have together. The API takes 2,000, and pages add a server or a kind of their own. */
const mostOfAll = 1_990;

/** What is too long to be read is not to fill the page. */
const shortened = (value: string) => (value.length > 60 ? `${head(value, 50)}…` : value);

/** Reads parameters by their forms. The one place that says what of an address is used and what is ignored. */
export function readParameters(known: Record<string, Parameter>, parameters: URLSearchParams): Read {
  const used = new URLSearchParams();
  const ignored: Ignored[] = [];
  const seen = new Set<string>();
  const sizes = new Map<string, number>();
  let all = 0;
  const { range } = known;
  const hasRange = range && parameters.getAll("range").some((value) => range.read(value) !== undefined);

  /** Why a value is not used, now that these are. */
  const whyNot = (name: string, { several, right }: Parameter, value: string, read: string | undefined) => {
    if (read === undefined) return value.trim() === "" ? "empty" : `expected ${right}`;
    if (hasRange && (name === "from" || name === "to")) return "overridden by `range`";
    if (!several) return seen.has(name) ? "given twice; the first value is used" : undefined;
    if (seen.has(`${name} ${read}`)) return "given twice";
    if (several === "with commas") return undefined;
    if ((sizes.get(name) ?? 0) >= mostValues) return `at most ${count(mostValues)} values`;
    return all >= mostOfAll ? `at most ${count(mostOfAll)} values of all filters together` : undefined;
  };

  for (const [name, value] of parameters) {
    const tell = (words: string, why: string) =>
      ignored.push({ words: `${shortened(name)}=${shortened(words)}`, why });
    const parameter = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!parameter) {
      tell(value, "not used on this page");
      continue;
    }
    const commas = parameter.several === "with commas";
    if (commas && used.has(name)) {
      tell(value, "given twice; the first value is used");
      continue;
    }
    const right: string[] = [];
    for (const part of commas ? value.split(",") : [value]) {
      const read = parameter.read(part);
      const why = whyNot(name, parameter, part, read);
      if (why !== undefined || read === undefined) {
        tell(part, why ?? "");
        continue;
      }
      seen.add(parameter.several ? `${name} ${read}` : name);
      right.push(read);
    }
    if (right.length === 0) continue;
    used.append(name, right.join());
    if (parameter.several !== "named alike") continue;
    sizes.set(name, (sizes.get(name) ?? 0) + 1);
    all += 1;
  }
  return { used, ignored };
}

/** The parameters of a filter. */
export const filterParameters: Record<string, Parameter> = Object.fromEntries([
  ...lists.flatMap((name) => {
    const list: Parameter = { ...forms[name], several: "named alike" };
    return [
      [name, list],
      [`-${name}`, list],
    ];
  }),
  ...singles.map((name) => [name, forms[name]]),
]);

/** The filter of parameters that are used. */
export function filterOf(used: URLSearchParams): Filter {
  const filter: Filter = { include: {}, exclude: {} };
  for (const name of lists) {
    const [include, exclude] = [used.getAll(name), used.getAll(`-${name}`)];
    if (include.length > 0) filter.include[name] = include;
    if (exclude.length > 0) filter.exclude[name] = exclude;
  }
  const text = (name: (typeof singles)[number]) => used.get(name) ?? undefined;
  const number = (name: "min" | "max") => (used.has(name) ? Number(used.get(name)) : undefined);
  return defined({
    ...filter,
    session: text("session"),
    trace: text("trace"),
    min: number("min"),
    max: number("max"),
    search: text("q"),
    range: ranges.find(([name]) => name === used.get("range"))?.[0],
    from: text("from"),
    to: text("to"),
  });
}

/** Everything that parameters say of a filter. */
export function readFilter(parameters: URLSearchParams): Filter {
  return filterOf(readParameters(filterParameters, parameters).used);
}
