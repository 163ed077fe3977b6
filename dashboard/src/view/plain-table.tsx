import type { ReactNode } from "react";

/** A column's heading; of a column of numbers it stands on the right. */
export type Heading = string | { number: string };

/** A table of a page, whose rows are cards where the window is narrow. */
export function PlainTable({
  label,
  headings,
  busy = false,
  children,
}: {
  label: string;
  headings: readonly Heading[];
  busy?: boolean;
  children: ReactNode;
}) {
  return (
    <div className="card flat">
      <table className="plain-table cards-when-narrow" aria-label={label} aria-busy={busy}>
        <thead>
          <tr>
            {headings.map((heading) =>
              typeof heading === "string" ? (
                <th key={heading} scope="col">
                  {heading}
                </th>
              ) : (
                <th key={heading.number} scope="col" className="number">
                  {heading.number}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
