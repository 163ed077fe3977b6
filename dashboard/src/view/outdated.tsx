import { Button } from "react-aria-components";
import { AskError, explain } from "../state/api";
import type { Asked } from "../state/asking";
import { useNow } from "../state/now";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { ago, dayTime } from "../state/words";

type Shown = Pick<Asked<unknown>, "at" | "problem" | "again">;

/** Says of what is shown how old it is and why, where the last question after it was not answered. */
export function Outdated({ of }: { of: Shown | readonly Shown[] }) {
  const shown: readonly Shown[] = "problem" in of ? [of] : of;
  const failed = shown.find(({ at, problem }) => at !== undefined && problem !== undefined);
  const oldest = Math.min(...shown.flatMap(({ at }) => at ?? []));
  const now = useNow(failed !== undefined);
  const { zone } = useStore(settings);
  if (!failed) return null;
  const { problem, again } = failed;
  const away = problem instanceof AskError && problem.kind === "away";
  const time = new Date(oldest).toISOString();
  return (
    <p className="sight cut outdated">
      <span>
        <span role="status">
          <strong>Not up to date.</strong> {away ? "mcptap does not answer" : explain(problem)}. Data as of{" "}
          <time dateTime={time}>{dayTime(oldest, zone, now)}</time>
        </span>{" "}
        ({ago(time, now)}).
      </span>
      <Button className="small" onPress={again}>
        Try again
      </Button>
    </p>
  );
}
