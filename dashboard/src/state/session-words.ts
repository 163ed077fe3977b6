import { useMemo } from "react";
import { SessionNameDocument } from "../gql/graphql";
import { useAsk } from "./asking";
import { short, sourceWords } from "./words";

/** How a session of a filter is called: by the client's own id where it has one, else by what makes it a session. */
export function useSessionWords(id: string | undefined): string | undefined {
  const variables = useMemo(() => (id === undefined ? undefined : { id }), [id]);
  const { data, answered, problem } = useAsk(SessionNameDocument, variables);
  if (id === undefined) return undefined;
  const session = answered === variables ? data?.session : undefined;
  if (session) return session.wireId ? short(session.wireId) : sourceWords[session.source];
  // a filter may have the client's own id too, which the API does not take for one of its own
  return problem !== undefined || answered === variables ? short(id) : "…";
}
