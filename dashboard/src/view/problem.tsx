import { Button } from "react-aria-components";
import { AskError, explain, isBadInput } from "../state/api";
import { endpoint } from "../state/endpoint";
import { Icon } from "./icon";

/** What went wrong, and what to do about it. */
export function Problem({ problem, again }: { problem: unknown; again: () => void }) {
  const kind = problem instanceof AskError ? problem.kind : "wrong";
  if (kind === "refused") return null;
  // the words of a proxy say more than the title does
  const said = kind === "away" && !(problem as AskError).status ? "" : explain(problem);
  return (
    <div className="problem" role="alert">
      <h2>{isUnavailable(problem) ? "mcptap cannot read its database now" : titles[kind]}</h2>
      {kind === "away" ? (
        <Away status={problem instanceof AskError ? problem.status : undefined} />
      ) : (
        <p>{advice(problem)}</p>
      )}
      {said && <p className="said">{said}</p>}
      <Button className="primary" onPress={again}>
        <Icon name="again" />
        Try again
      </Button>
    </div>
  );
}

/** Whether it is the database that does not answer, and not mcptap. */
function isUnavailable(problem: unknown): boolean {
  return problem instanceof AskError && problem.code === "UNAVAILABLE";
}

const titles = {
  away: "mcptap does not answer",
  busy: "mcptap cannot answer right now",
  wrong: "The API answered with an error",
};

function Away({ status }: { status: number | undefined }) {
  return (
    <p>
      {status === undefined ? "Nothing answers" : "A proxy answers, but cannot reach mcptap,"} at{" "}
      <code>{endpoint.href}</code>. Check that <code>mcptap serve</code> is running
      {status === undefined && " and that no proxy or VPN is in the way"}. Your filters are kept in the
      address of this page.
    </p>
  );
}

function advice(problem: unknown): string {
  if (isUnavailable(problem))
    return "mcptap is running; its log says why. This page tries again by itself until the database answers.";
  if (problem instanceof AskError && problem.kind === "busy")
    return "It is running, but busy, or its database does not answer. Try again in a moment.";
  if (isBadInput(problem)) return "The address of this page, or one of its filters, is not valid.";
  if (problem instanceof AskError && problem.code === "TIMED_OUT")
    return "Ask for less, such as a shorter time, or try again later.";
  return "Try again. If it keeps happening, include the message below in a bug report.";
}
