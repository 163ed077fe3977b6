import { type Form, forms, lists, readFilter, singles, writeFilter } from "./filter";
import { type OrderName, serverFields, toolFields } from "./order";
import { columns } from "./settings";
import { head } from "./words";

/** A parameter of the address that is no filter. */
interface Parameter extends Form {
  /** Whether its value is several, with commas between them. */
  several?: boolean;
}

const anything: Form = { is: () => true, right: "" };

const oneOf = (names: readonly string[]): Form => ({
  is: (value) => names.includes(value),
  right: names.join(", "),
});

const live = oneOf(["1"]);
const call = anything;
const shownColumns: Parameter = { ...oneOf(columns), several: true };
const table = (known: readonly OrderName[]): Record<string, Parameter> => ({
  sort: {
    is: (value) => known.some((name) => name === value.replace(/^-/, "")),
    right: `${known.join(", ")}; prefix with - for descending`,
  },
  find: anything,
});

const filters: Record<string, Parameter> = Object.fromEntries(
  [...lists.flatMap((name) => [name, `-${name}`]), ...singles].map((name) => [
    name,
    forms[name.replace(/^-/, "") as keyof typeof forms] ?? anything,
  ]),
);
const { server: _, "-server": __, ...filtersOfServer } = filters;

/** What the page at a path reads of its address. Undefined where there is no page. */
function readAt(path: string, parameters: URLSearchParams): Record<string, Parameter> | undefined {
  const [page = "", of] = path.split("/").slice(1);
  if (page === "" || page === "calls")
    return { ...filters, live, columns: shownColumns, ...(of === undefined ? { call } : {}) };
  if (page === "sessions") return of === undefined ? filters : { call };
  if (page === "overview") return filters;
  if (page === "servers" && of === undefined) return table(serverFields);
  if (page === "servers") {
    const tab = oneOf(["calls", "tools"]);
    return parameters.get("tab") === "tools"
      ? { tab, ...table(toolFields) }
      : { tab, ...filtersOfServer, live, columns: shownColumns, call };
  }
  return page === "setup" || page === "keys" || page === "docs" ? {} : undefined;
}

/** A part of an address that means nothing: it is left out, and nobody is to take the page for what it asks. */
export interface Ignored {
  /** As it stands in the address, such as `status=abc`. */
  words: string;
  /** Why, and what is right. */
  why: string;
}

/** What is too long to be read is not to fill the page. */
const shortened = (value: string) => (value.length > 60 ? `${head(value, 50)}…` : value);

/** The parts of an address that the page there does not read, or cannot. */
export function ignoredAt(path: string, parameters: URLSearchParams): Ignored[] {
  const known = readAt(path, parameters);
  if (!known) return [];
  const filter = writeFilter(readFilter(parameters));
  const seen = new Set<string>();
  return [...parameters].flatMap(([name, value]): Ignored[] => {
    const parameter = Object.hasOwn(known, name) ? known[name] : undefined;
    const told = (words: string, why: string) => [{ words: `${shortened(name)}=${shortened(words)}`, why }];
    if (!parameter) return told(value, "not used on this page");
    if (value.trim() === "") return told(value, "empty");
    const parts = parameter.several ? value.split(",") : [value.trim()];
    const wrong = parts.filter((part) => !parameter.is(part));
    const again = parts.filter((part, at) => parts.indexOf(part) < at);
    if (wrong.length + again.length > 0)
      return [
        ...wrong.flatMap((part) => told(part, `expected ${parameter.right}`)),
        ...again.filter((part) => !wrong.includes(part)).flatMap((part) => told(part, "given twice")),
      ];
    const isList = /^-/.test(name) || lists.some((list) => list === name);
    const as = isList ? `${name} ${value}` : name;
    if (seen.has(as)) return told(value, isList ? "given twice" : "given twice; the first value is used");
    seen.add(as);
    if ((name === "from" || name === "to") && !filter.has(name)) return told(value, "overridden by `range`");
    return [];
  });
}
