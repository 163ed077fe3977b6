import { type ReactNode, useCallback, useEffect, useState } from "react";
import { Button, Input, SearchField } from "react-aria-components";
import { explain, mayPass } from "../state/api";
import { useAskAgain } from "../state/asking";
import type { Paged } from "../state/paging";
import { usePlace } from "../state/place";
import { healPause } from "../state/repeat";
import { count, many } from "../state/words";
import { Icon } from "./icon";

/**
 * A field that finds items of a list by their names, and the items that it leaves. The API does not find by a part of a name:
 * while something is typed, the pages that are missing are loaded. The address keeps it. `label`: the name of the field.
 * `unsearched` says why pages are still missing, where one did not come.
 */
export function useFind<Item extends { name: string }>(
  list: Paged<Item>,
  label: string,
): { items: readonly Item[] | undefined; typed: boolean; field: ReactNode; unsearched: ReactNode } {
  const place = usePlace();
  const text = place.used.get("find") ?? "";
  /** Why the last page did not come, and whether it is to be asked for again. */
  const [failed, setFailed] = useState<{ problem: unknown; again: boolean }>();
  const { more, loading } = list;
  const wanted = text.trim().toLowerCase();
  const isPartial = wanted !== "" && more !== undefined;
  const missing = isPartial && !loading && (failed === undefined || failed.again);
  useEffect(() => {
    if (missing)
      void more?.().then((problem) =>
        setFailed(problem === undefined ? undefined : { problem, again: false }),
      );
  }, [missing, more]);
  const again = useCallback(() => setFailed((before) => before && { ...before, again: true }), []);
  useAskAgain({ loading, again }, isPartial && mayPass(failed?.problem) ? healPause : undefined);
  const items = wanted ? list.items?.filter(({ name }) => name.toLowerCase().includes(wanted)) : list.items;
  const change = (next: string) => {
    place.change("find", next === "" ? undefined : next, true);
    setFailed(undefined);
  };
  const field = (
    <SearchField aria-label={label} className="search find" value={text} onChange={change}>
      <Icon name="search" />
      <Input placeholder={label} maxLength={200} />
      {text !== "" && (
        <Button className="plain icon-only" aria-label="Clear the search">
          <Icon name="close" />
        </Button>
      )}
    </SearchField>
  );
  const unsearched = isPartial && failed && (
    <p className="sight cut outdated">
      <span role="status">
        <strong>Results are incomplete.</strong> The rest of the list could not be loaded:{" "}
        {explain(failed.problem) || "mcptap does not answer"}.
      </span>
      <Button className="small" onPress={again}>
        Try again
      </Button>
    </p>
  );
  return { items, typed: wanted !== "", field, unsearched };
}

/** How many there are, and whether that is all, in words. `one`: what a single item is called. */
export function loadedWords(
  list: Paged<unknown>,
  found: { items: readonly unknown[] | undefined; typed: boolean },
  one: string,
): string {
  const loaded = list.items?.length ?? 0;
  if (found.typed)
    return `${count(found.items?.length ?? 0)} of ${list.more ? "the first " : ""}${many(loaded, one)}`;
  return list.more ? `First ${many(loaded, one)}` : many(loaded, one);
}
