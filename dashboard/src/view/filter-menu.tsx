import { useMemo, useState } from "react";
import {
  Autocomplete,
  Button,
  Dialog,
  DialogTrigger,
  Input,
  ListBox,
  ListBoxItem,
  Popover,
  SearchField,
  useFilter as useTextFilter,
} from "react-aria-components";
import { FacetsDocument, type FacetsQueryVariables } from "../gql/graphql";
import { useAsk } from "../state/asking";
import { clock } from "../state/clock";
import { type Filter, type ListName, listLabels, outcomeNames, pickAll, toCallFilter } from "../state/filter";
import { count, countryName, outcomeOf, visible } from "../state/words";
import { Country } from "./country";
import { Icon } from "./icon";

/** A value, and how many calls have it where that is known. */
type Facet = { value: string; count: number | undefined };
type Menu = Exclude<ListName, "ip" | "kind">;

const facetOf = {
  server: "servers",
  tool: "tools",
  method: "methods",
  status: "httpStatuses",
  outcome: "outcomes",
  country: "countries",
  client: "clients",
} as const satisfies Record<Menu, keyof FacetsQueryVariables>;

/** Offered even when no call has them. */
const always: Partial<Record<Menu, readonly string[]>> = {
  status: ["200", "400", "401", "403", "404", "500", "502", "503"],
  method: [
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "prompts/list",
    "prompts/get",
    "server/discover",
  ],
  outcome: outcomeNames,
};

/** A value as words. */
export function valueWords(name: ListName, value: string): string {
  if (name === "outcome") return outcomeOf(value);
  if (name === "kind") return value === "STREAM" ? "Stream" : "Request";
  if (name === "country") return `${value} ${countryName(value)}`;
  return visible(value);
}

/** A button with the name of the filter, and behind it the values with their counts. */
export function FilterMenu({
  name,
  filter,
  onChange,
}: {
  name: Menu;
  filter: Filter;
  onChange: (filter: Filter) => void;
}) {
  const chosen = filter.include[name]?.length ?? 0;
  const [open, setOpen] = useState(false);
  const label = listLabels[name];
  return (
    <DialogTrigger isOpen={open} onOpenChange={setOpen}>
      <Button className={chosen ? "filter on" : "filter"}>
        {label} {chosen > 0 && <span className="badge">{chosen}</span>}
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom start">
        <Dialog aria-label={label} className="menu">
          {open && <Values name={name} filter={filter} onChange={onChange} />}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

function Values({
  name,
  filter,
  onChange,
}: {
  name: Menu;
  filter: Filter;
  onChange: (filter: Filter) => void;
}) {
  const facet = facetOf[name];
  // the API leaves the list's own part out, so choosing does not change what is offered
  const others = useMemo(
    () => ({ filter: toCallFilter(pickAll(filter, name, []), new Date(clock())), [facet]: true }),
    [filter, name, facet],
  );
  const { data, loading, problem, again } = useAsk(FacetsDocument, others);
  const [typed, setTyped] = useState("");
  const { contains } = useTextFilter({ sensitivity: "base" });
  const label = listLabels[name];
  const selected = filter.include[name] ?? [];

  const offered = useMemo(() => {
    const found: readonly Facet[] = data?.facets[facet] ?? [];
    const known = new Set(found.map(({ value }) => value));
    const more = [...new Set([...selected, ...(always[name] ?? [])])].filter((value) => !known.has(value));
    // below the last value of a list that goes on, a value may have calls all the same
    const rest = data?.facets.more[facet] ? undefined : 0;
    return [...found, ...more.map((value) => ({ value, count: rest }))];
  }, [data, facet, name, selected]);

  const none = () => {
    if (loading) return "Loading…";
    if (problem !== undefined && !data) return "";
    return offered.length > 0 ? `Nothing matches ${typed}.` : "No values.";
  };

  return (
    <Autocomplete filter={contains}>
      <SearchField
        aria-label={`Find in ${label}`}
        className="search"
        autoFocus
        value={typed}
        onChange={setTyped}
      >
        <Icon name="search" />
        <Input placeholder={`Find in ${label}`} />
      </SearchField>
      {problem !== undefined && (
        <p className="hint">
          The counts could not be loaded.{" "}
          <Button className="small" onPress={again}>
            Try again
          </Button>
        </p>
      )}
      {data?.facets.more[facet] && (
        <p className="hint">Top {count(data.facets[facet]?.length ?? 0)} by calls; there are more.</p>
      )}
      <ListBox
        aria-label={label}
        className="options"
        selectionMode="multiple"
        // Escape closes the menu; it must not take back what was chosen
        escapeKeyBehavior="none"
        selectedKeys={selected}
        onSelectionChange={(keys) =>
          onChange(
            pickAll(filter, name, keys === "all" ? offered.map(({ value }) => value) : [...keys].map(String)),
          )
        }
        items={offered}
        renderEmptyState={() => <p className="hint">{none()}</p>}
      >
        {(item: Facet) => (
          <ListBoxItem id={item.value} textValue={valueWords(name, item.value)} className="option">
            <span className="tick" aria-hidden="true">
              <Icon name="check" />
            </span>
            <span className="words">
              {name === "country" ? <Country code={item.value} named /> : valueWords(name, item.value)}
            </span>
            <span className="number">{data && item.count !== undefined ? count(item.count) : ""}</span>
          </ListBoxItem>
        )}
      </ListBox>
    </Autocomplete>
  );
}
