import { type Form, forms, lists, readFilter, singles, writeFilter } from "./filter";
import { fields } from "./order";
import { columns } from "./settings";

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
const sort: Form = {
  is: (value) => Object.hasOwn(fields, value.replace(/^-/, "")),
  right: `${Object.keys(fields).join(", ")}, with - before it the greatest first`,
};
const tables = { sort, find: anything };

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
  if (page === "servers" && of === undefined) return tables;
  if (page === "servers") {
    const tab = oneOf(["calls", "tools"]);
    return parameters.get("tab") === "tools"
      ? { tab, ...tables }
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

/** The parts of an address that the page there does not read, or cannot. */
export function ignoredAt(path: string, parameters: URLSearchParams): Ignored[] {
  const known = readAt(path, parameters);
  if (!known) return [];
  const filter = writeFilter(readFilter(parameters));
  const seen = new Set<string>();
  return [...parameters].flatMap(([name, value]): Ignored[] => {
    const parameter = Object.hasOwn(known, name) ? known[name] : undefined;
    const told = (words: string, why: string) => [{ words: `${name}=${words}`, why }];
    if (!parameter) return told(value, "this page does not read it");
    // what is empty asks for nothing
    if (value.trim() === "") return [];
    const parts = parameter.several ? value.split(",") : [value.trim()];
    const wrong = parts.filter((part) => !parameter.is(part));
    if (wrong.length > 0) return wrong.flatMap((part) => told(part, `right: ${parameter.right}`));
    const isList = /^-/.test(name) || lists.some((list) => list === name);
    if (!isList && seen.has(name)) return told(value, "it stands there twice, and the first counts");
    seen.add(name);
    if ((name === "from" || name === "to") && !filter.has(name)) return told(value, "range stands there too");
    return [];
  });
}
