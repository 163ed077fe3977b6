import { exactly, known, oneOf } from "./forms";
import { type OrderName, serverFields, toolFields } from "./order";
import { filterParameters, type Ignored, type Parameter, type Read, readParameters } from "./parameters";
import { columns } from "./settings";
import { count, visible } from "./words";

const live = oneOf(["1"]);
const tab = oneOf(["calls", "tools"]);
const call = exactly;
const shownColumns: Parameter = { ...oneOf(columns), several: "with commas" };
const table = (names: readonly OrderName[]): Record<string, Parameter> => ({
  sort: known(
    (value) => names.some((name) => name === value.replace(/^-/, "")),
    `${names.join(", ")}; prefix with - for descending`,
  ),
  find: exactly,
});

const { server: _, "-server": __, ...filtersOfServer } = filterParameters;

/** What the page at a path reads of its address. Undefined where there is no page. */
function readAt(path: string, parameters: URLSearchParams): Record<string, Parameter> | undefined {
  const [page = "", of] = path.split("/").slice(1);
  if (page === "" || page === "calls")
    return { ...filterParameters, live, columns: shownColumns, ...(of === undefined ? { call } : {}) };
  if (page === "sessions") return of === undefined ? filterParameters : { call };
  if (page === "overview") return filterParameters;
  if (page === "servers" && of === undefined) return table(serverFields);
  if (page === "servers")
    return readParameters({ tab }, parameters).used.get("tab") === "tools"
      ? { tab, ...table(toolFields) }
      : { tab, ...filtersOfServer, live, columns: shownColumns, call };
  return page === "setup" || page === "keys" || page === "docs" ? {} : undefined;
}

/** Reads the address of a page. Where there is none, nothing is used, and nothing said of it. */
export function readAddress(path: string, parameters: URLSearchParams): Read {
  const read = readAt(path, parameters);
  return read ? readParameters(read, parameters) : { used: new URLSearchParams(), ignored: [] };
}

/** How many ignored parts are told one by one. */
const mostTold = 5;

/** What of an address is ignored, in words that fill no page. */
export function ignoredWords(ignored: readonly Ignored[]): string {
  const told = ignored.slice(0, mostTold).map(({ words, why }) => `${visible(words)} (${why})`);
  const rest = ignored.length - told.length;
  return [...told, ...(rest > 0 ? [`and ${count(rest)} more`] : [])].join("; ");
}
