import { useState } from "react";
import { Button } from "react-aria-components";
import { type ApiKey, isLastAdmin, type KeyState, keyState, scopeName } from "../state/api-keys";
import { useNow } from "../state/now";
import { visible } from "../state/words";
import { KeyName } from "./key-name";
import { Moment } from "./moment";
import { PlainTable } from "./plain-table";
import { RevokeKey } from "./revoke-key";

const stateWords: Record<KeyState, { words: string; tone: string }> = {
  active: { words: "Active", tone: "good" },
  expired: { words: "Expired", tone: "warn" },
  revoked: { words: "Revoked", tone: "bad" },
};

const headings = ["Name", "State", "Scopes", "Servers", "Created", "Expires", "Last used", "Revoke"];

interface Props {
  keys: readonly ApiKey[];
  /** Whether these are all of them. */
  complete: boolean;
  /** The key that this tab uses. */
  own: string | undefined;
  onRevoked: (id: string) => void;
}

/** All keys, also those that are over. */
export function KeyTable({ keys, complete, own, onRevoked }: Props) {
  const now = useNow();
  const [revoking, setRevoking] = useState<ApiKey>();
  return (
    <>
      <PlainTable label="Keys" headings={headings}>
        {keys.map((key) => {
          const state = keyState(key, now);
          const { words, tone } = stateWords[state];
          return (
            <tr key={key.id} className={state === "active" ? undefined : "over"}>
              <td className="wraps">
                <KeyName apiKey={key} own={key.id === own} />
              </td>
              <td>
                <span className={`chip ${tone}`}>
                  <span className="mark" aria-hidden="true" />
                  {words}
                </span>{" "}
                {key.revokedAt && <Moment time={key.revokedAt} />}
              </td>
              <td>{key.scopes.map(scopeName).join(", ")}</td>
              <td className="wraps">
                {key.servers.length === 0 ? "All servers" : key.servers.map(visible).join(", ")}
              </td>
              <td data-before="created">
                <Moment time={key.createdAt} />
              </td>
              <td data-before="expires">{key.expiresAt ? <Moment time={key.expiresAt} ahead /> : "Never"}</td>
              <td data-before="used">
                <LastUsed apiKey={key} own={key.id === own} />
              </td>
              <td>
                {state !== "revoked" && (
                  <Button
                    className="small"
                    aria-label={`Revoke ${visible(key.name)}`}
                    onPress={() => setRevoking(key)}
                  >
                    Revoke
                  </Button>
                )}
              </td>
            </tr>
          );
        })}
      </PlainTable>
      <RevokeKey
        apiKey={revoking}
        own={revoking?.id === own}
        last={revoking !== undefined && complete && isLastAdmin(revoking, keys, now)}
        onClose={() => setRevoking(undefined)}
        onRevoked={onRevoked}
      />
    </>
  );
}

/** The API writes it down once a minute, and until then would deny the key that asks. */
function LastUsed({ apiKey, own }: { apiKey: ApiKey; own: boolean }) {
  if (own) return "Now";
  return apiKey.lastUsedAt ? <Moment time={apiKey.lastUsedAt} /> : "Never";
}
