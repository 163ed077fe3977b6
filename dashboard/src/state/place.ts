import { useCallback, useMemo } from "react";
import { useLocation } from "wouter";
// the one of "wouter" itself decodes once too often
import { useSearch } from "wouter/use-browser-location";
import { readAddress } from "./address";
import { root } from "./endpoint";
import { type Filter, writeFilter } from "./filter";
import { filterOf } from "./parameters";
import { type Column, changeSettings, readColumns, settings } from "./settings";
import { useStore } from "./store";

/** How routes are matched: letter by letter, as the server does it. The router's own way ignores the case of letters. */
export function parseRoute(route: string): { pattern: RegExp; keys: string[] } {
  // the router's word for a route without a path
  if (route === "*") return { pattern: /^/, keys: [] };
  const keys = [...route.matchAll(/:(\w+)/g)].map(([, key = ""]) => key);
  return { pattern: new RegExp(`^${route.replace(/:\w+/g, "([^/]+)").replace(/\/$/, "")}/?$`), keys };
}

/** The path below the root, as it stands in the address: the router's own is decoded in part. */
function rawPath(): string {
  return location.pathname.slice(root.pathname.length - 1) || "/";
}

/** What the last part of the path names: an id, or the name of a server. */
export function lastPart(): string {
  return decoded(rawPath().split("/").at(-1) ?? "");
}

/** A part of an address as it is meant, or as it stands where it means nothing. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * The address of the page, which is the state of the view: `used` is what the page goes by, `parameters` all that stands there.
 * What a person does is pushed, so that going back undoes it; typing and what the page does by itself replaces.
 */
export function usePlace() {
  const search = useSearch();
  const [, navigate] = useLocation();
  const path = rawPath();
  const parameters = useMemo(() => new URLSearchParams(search), [search]);
  const { used, ignored } = useMemo(() => readAddress(path, parameters), [path, parameters]);

  const go = useCallback(
    (next: URLSearchParams, replace = false) => {
      const text = next.toString();
      navigate(text ? `${path}?${text}` : path, { replace });
    },
    [path, navigate],
  );
  const change = useCallback(
    (name: string, value: string | undefined, replace = false) => {
      const next = new URLSearchParams(search);
      if (value === undefined) next.delete(name);
      else next.set(name, value);
      go(next, replace);
    },
    [search, go],
  );
  return { path, parameters, used, ignored, go, change, navigate };
}

/** The filter in the address, and how to change it. */
export function useFilter() {
  const { parameters, used, go } = usePlace();
  // an object of its own for the filter alone, so that opening a row does not ask for the list again
  const text = writeFilter(filterOf(used)).toString();
  const filter = useMemo(() => filterOf(new URLSearchParams(text)), [text]);
  const setFilter = useCallback(
    (next: Filter, replace = false) => go(writeFilter(next, new URLSearchParams(parameters)), replace),
    [parameters, go],
  );
  return { filter, setFilter };
}

/** The columns of the list: those of the address, as a view puts them there, else those that the reader prefers. */
export function useColumns() {
  const { used, change } = usePlace();
  const { columns: preferred } = useStore(settings);
  const text = used.get("columns");
  const given = useMemo(() => readColumns(text?.split(",") ?? []), [text]);
  const setColumns = (next: readonly Column[]) => {
    if (given) change("columns", next.join(), true);
    else changeSettings({ columns: next });
  };
  /** Back to the preferred ones. Undefined where these are shown. */
  const forget = given && (() => change("columns", undefined));
  return { columns: given ?? preferred, setColumns, forget };
}

/** The address of a call, which keeps the list that it is from: filters, range, Live and columns. */
export function callAddress(id: string, list: URLSearchParams): string {
  const text = listParameters(list).toString();
  const path = `/calls/${encodeURIComponent(id)}`;
  return text ? `${path}?${text}` : path;
}

/** The parameters of an address that are those of a list, and not of what is open beside it. */
export function listParameters(parameters: URLSearchParams): URLSearchParams {
  const list = new URLSearchParams(parameters);
  for (const name of ["call", "tab"]) list.delete(name);
  return list;
}

/** The address of the list with a filter. */
export function listAddress(filter: Filter, path = "/"): string {
  const text = writeFilter(filter).toString();
  return text ? `${path}?${text}` : path;
}
