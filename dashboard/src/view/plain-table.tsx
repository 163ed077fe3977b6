import type { ReactNode } from "react";
import type { Order, OrderName } from "../state/order";
import { Icon } from "./icon";

/** A column's heading; of a column of numbers it stands on the right. `by`: what the table is sorted by when it is pressed. */
export type Heading = string | { number: string; by?: OrderName } | { words: string; by: OrderName };

/** A table of a page, whose rows are cards where the window is narrow. */
export function PlainTable({
  label,
  headings,
  busy = false,
  order,
  onSort,
  children,
}: {
  label: string;
  headings: readonly Heading[];
  busy?: boolean;
  order?: Order;
  onSort?: (by: OrderName) => void;
  children: ReactNode;
}) {
  return (
    <div className="card flat">
      <table className="plain-table cards-when-narrow" aria-label={label} aria-busy={busy}>
        <thead>
          <tr>
            {headings.map((heading) => {
              const words =
                typeof heading === "string" ? heading : "number" in heading ? heading.number : heading.words;
              const by = typeof heading === "string" ? undefined : heading.by;
              const isNumber = typeof heading !== "string" && "number" in heading;
              const sorted = by !== undefined && order?.by === by ? order : undefined;
              return (
                <th
                  key={words}
                  scope="col"
                  className={isNumber ? "number" : undefined}
                  aria-sort={sorted && (sorted.descending ? "descending" : "ascending")}
                >
                  {by && onSort ? (
                    <button type="button" className="sort" onClick={() => onSort(by)}>
                      {words}
                      {sorted && <Icon name={sorted.descending ? "down" : "up"} />}
                    </button>
                  ) : (
                    words
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
