import type { Outcome } from "../gql/graphql";
import { lostWords, outcomeTone, outcomeWords, statusTone } from "../state/words";

interface Ended {
  httpStatus?: number | null | undefined;
  outcome: Outcome;
  rpcErrorCode?: number | null | undefined;
}

/** How a call ended in words, as a screen reader hears it. */
export function statusText({ httpStatus, outcome }: Ended): string {
  if (httpStatus == null) return outcomeWords[outcome];
  return outcome === "OK" ? String(httpStatus) : `${httpStatus} ${outcomeWords[outcome]}`;
}

/**
 * The HTTP status in its colour. Where nobody saw one it is the outcome in words; and where the status says less
 * than the outcome does (a tool that failed under a 200) both stand there.
 */
export function StatusChip({ call }: { call: Ended }) {
  const { httpStatus, outcome } = call;
  const words = (
    <span className={`chip ${outcomeTone(outcome)}`} title={outcome === "LOST" ? lostWords : undefined}>
      <span className="mark" aria-hidden="true" />
      {outcomeWords[outcome]}
    </span>
  );
  if (httpStatus == null) return words;
  return (
    <>
      <span className={`chip code ${statusTone(httpStatus)}`}>
        <span className="mark" aria-hidden="true" />
        {httpStatus}
      </span>
      {outcome !== "OK" && <span className={`also ${outcomeTone(outcome)}`}> {outcomeWords[outcome]}</span>}
    </>
  );
}
