import type { ApiKey } from "../state/api-keys";
import { visible } from "../state/words";

/** What a key is called, its number as on the command line and in the audit, and whether this tab uses it. */
export function KeyName({ apiKey, own }: { apiKey: Pick<ApiKey, "id" | "name">; own: boolean }) {
  return (
    <>
      <strong className="break">{visible(apiKey.name)}</strong>{" "}
      <span className="quiet code">{apiKey.id}</span>
      {own && (
        <>
          {" "}
          <span className="chip plain">This tab</span>
        </>
      )}
    </>
  );
}
