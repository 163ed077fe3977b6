import { type Order, type OrderName, readOrder } from "./order";
import { usePlace } from "./place";

/** The order in the address. To choose one that holds turns it round; names begin with the least, figures with the greatest. */
export function useOrder(known: readonly OrderName[]): { order: Order; sortBy: (by: OrderName) => void } {
  const { used, change } = usePlace();
  const { by, descending } = readOrder(used.get("sort"), known);
  const sortBy = (next: OrderName) => {
    const turned = next === by ? !descending : next !== "name";
    const isUsual = next === "name" && !turned;
    change("sort", isUsual ? undefined : `${turned ? "-" : ""}${next}`);
  };
  return { order: { by, descending }, sortBy };
}
