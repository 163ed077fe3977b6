import type { AggregateOrder, AggregateOrderField } from "../gql/graphql";
import { usePlace } from "./place";

/** What tables of tools and servers are sorted by, as the address has it. */
export const fields = {
  name: "KEY",
  calls: "CALL_COUNT",
  errors: "ERROR_COUNT",
  p50: "P50",
  p95: "P95",
  p99: "P99",
} as const satisfies Record<string, AggregateOrderField>;

export type OrderName = keyof typeof fields;

export interface Order {
  by: OrderName;
  /** Whether the greatest comes first. */
  descending: boolean;
}

const byName: Order = { by: "name", descending: false };

/** The order of an address: `sort=calls`, or `sort=-calls` for the greatest first. By name, where it says nothing that is known. */
export function readOrder(text: string | null): Order {
  const descending = text?.startsWith("-") ?? false;
  const by = text?.slice(descending ? 1 : 0) ?? "";
  return Object.hasOwn(fields, by) ? { by: by as OrderName, descending } : byName;
}

export function toOrderBy({ by, descending }: Order): AggregateOrder {
  return { field: fields[by], direction: descending ? "DESC" : "ASC" };
}

/** The order in the address. To choose one that holds turns it round; names begin with the least, figures with the greatest. */
export function useOrder(): { order: Order; sortBy: (by: OrderName) => void } {
  const { parameters, change } = usePlace();
  const { by, descending } = readOrder(parameters.get("sort"));
  const sortBy = (next: OrderName) => {
    const turned = next === by ? !descending : next !== "name";
    const isUsual = next === "name" && !turned;
    change("sort", isUsual ? undefined : `${turned ? "-" : ""}${next}`);
  };
  return { order: { by, descending }, sortBy };
}
