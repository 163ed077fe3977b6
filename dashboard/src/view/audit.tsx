import { AuditDocument, type AuditQuery } from "../gql/graphql";
import { useAskAgain } from "../state/asking";
import { usePages } from "../state/paging";
import { visible } from "../state/words";
import { LoadMore } from "./load-more";
import { Moment } from "./moment";
import { Outdated } from "./outdated";
import { PlainTable } from "./plain-table";
import { Problem } from "./problem";
import { Skeleton } from "./skeleton";

/** How often the entries are asked for again, in milliseconds. */
const refresh = 15_000;

const firstPage = () => ({ first: 50 });
const entriesOf = ({ audit }: AuditQuery) => ({ items: audit.edges, pageInfo: audit.pageInfo });

/** The actions in words; those of a later version stand as they are called. */
const actions: Record<string, string> = {
  createApiKey: "Created a key",
  revokeApiKey: "Revoked a key",
  deleteCalls: "Deleted calls",
  saveView: "Saved a view",
  updateView: "Changed a view",
  deleteView: "Removed a view",
};

/** What was done with the rights of an administrator, newest first. */
export function Audit({ round }: { round: number }) {
  const entries = usePages(AuditDocument, firstPage, entriesOf, round);
  useAskAgain(entries, refresh);
  const { items, problem } = entries;
  return (
    <section aria-label="Audit log" className="audit">
      <h2>Audit log</h2>
      {problem !== undefined && !items && <Problem problem={problem} again={entries.again} />}
      <Outdated of={entries} />
      {!items && problem === undefined && <Skeleton lines={4} />}
      {items?.length === 0 && <p className="hint">No entries yet.</p>}
      {items && items.length > 0 && (
        <PlainTable label="Audit log" headings={["Time", "Action", "Target", "By"]}>
          {items.map(({ cursor, node }) => (
            <tr key={cursor}>
              <td>
                <Moment time={node.time} />
              </td>
              <td>{actions[node.action] ?? <span className="code">{node.action}</span>}</td>
              <td className="wraps">{visible(node.subject)}</td>
              <td>
                {node.keyId === null ? (
                  <span className="quiet">No key</span>
                ) : (
                  <>
                    Key <span className="code">{node.keyId}</span>
                  </>
                )}
              </td>
            </tr>
          ))}
        </PlainTable>
      )}
      <LoadMore list={entries} what="older entries" label="Audit log" />
    </section>
  );
}
