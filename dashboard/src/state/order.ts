import type { AggregateOrder, AggregateOrderField } from "../gql/graphql";

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

/** The columns of the table of servers that it can be sorted by; that of tools has all. */
export const serverFields: readonly OrderName[] = ["name", "calls", "errors"];
export const toolFields = Object.keys(fields) as readonly OrderName[];

/** The order of an address: `sort=calls`, or `sort=-calls` for the greatest first. By name, where no column is called so. */
export function readOrder(text: string | null, known: readonly OrderName[]): Order {
  const descending = text?.startsWith("-") ?? false;
  const by = text?.slice(descending ? 1 : 0) ?? "";
  const name = known.find((name) => name === by);
  return name ? { by: name, descending } : byName;
}

export function toOrderBy({ by, descending }: Order): AggregateOrder {
  return { field: fields[by], direction: descending ? "DESC" : "ASC" };
}
