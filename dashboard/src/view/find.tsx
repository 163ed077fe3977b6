import { type ReactNode, useEffect, useState } from "react";
import { Button, Input, SearchField } from "react-aria-components";
import type { Paged } from "../state/paging";
import { usePlace } from "../state/place";
import { count, many } from "../state/words";
import { Icon } from "./icon";

/**
 * A field that finds items of a list by their names, and the items that it leaves. The API does not find by a part of a name:
 * while something is typed, the pages that are missing are loaded. The address keeps it. `label`: the name of the field.
 */
export function useFind<Item extends { name: string }>(
  list: Paged<Item>,
  label: string,
): { items: readonly Item[] | undefined; typed: boolean; field: ReactNode } {
  const place = usePlace();
  const text = place.used.get("find") ?? "";
  const [failed, setFailed] = useState(false);
  const { more, loadingMore } = list;
  const wanted = text.trim().toLowerCase();
  const missing = wanted !== "" && more !== undefined && !loadingMore && !failed;
  useEffect(() => {
    if (missing) void more?.().then((why) => setFailed(why !== undefined));
  }, [missing, more]);
  const items = wanted ? list.items?.filter(({ name }) => name.toLowerCase().includes(wanted)) : list.items;
  const change = (next: string) => {
    place.change("find", next === "" ? undefined : next, true);
    setFailed(false);
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
  return { items, typed: wanted !== "", field };
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
