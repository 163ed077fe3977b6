import { useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { explain } from "../state/api";
import { readFilter } from "../state/filter";
import { useStore } from "../state/store";
import type { Viewer } from "../state/viewer";
import {
  forgetLocalView,
  keepLocalViews,
  type LocalView,
  leftOut,
  localViews,
  maySave,
  saveView,
  toViewInput,
} from "../state/views";
import { Icon } from "./icon";
import { notice } from "./notice";

/** What moving a view out of this browser would cost it, in words. */
function cost({ query }: LocalView): string {
  const parameters = new URLSearchParams(query);
  return leftOut(readFilter(parameters), parameters.get("live") === "1").join(" and ");
}

const moveWords = (view: LocalView) => (cost(view) ? `Move without ${cost(view)}` : "Move");

/** Views that an earlier version kept in this browser. They work as they did, and can be moved to mcptap. */
export function LocalViews({
  viewer,
  onMoved,
  close,
}: {
  viewer: Viewer;
  onMoved: () => void;
  close: () => void;
}) {
  const views = useStore(localViews);
  const [problem, setProblem] = useState("");
  const [moving, setMoving] = useState(false);
  const move = async (chosen: readonly LocalView[]) => {
    setMoving(true);
    setProblem("");
    try {
      for (const view of chosen) {
        const refusal = await saveView(toViewInput(view), false);
        if (refusal !== undefined) throw new Error(refusal);
        forgetLocalView(view.name);
        notice(`Moved ${view.name}`);
      }
    } catch (error) {
      setProblem(explain(error) || "mcptap does not answer");
    }
    setMoving(false);
    onMoved();
  };
  if (views.length === 0) return null;
  const whole = views.filter((view) => cost(view) === "");
  return (
    <section aria-label="In this browser" className="local-views">
      <h3>In this browser</h3>
      <ul className="views">
        {views.map((view) => (
          <li key={view.name}>
            <div className="view-line">
              <Link href={view.query ? `/?${view.query}` : "/"} onClick={close}>
                {view.name}
              </Link>
              <span className="space" />
              {maySave(viewer) && (
                <Button
                  className="small"
                  isDisabled={moving}
                  aria-label={`${moveWords(view)}: ${view.name}`}
                  onPress={() => move([view])}
                >
                  {moveWords(view)}
                </Button>
              )}
              <Button
                className="plain icon-only"
                aria-label={`Remove ${view.name} from this browser`}
                onPress={() => {
                  forgetLocalView(view.name);
                  notice(`The view ${view.name} is removed`, () => keepLocalViews(views));
                }}
              >
                <Icon name="close" />
              </Button>
            </div>
          </li>
        ))}
      </ul>
      {maySave(viewer) && whole.length > 1 && (
        <Button className="small" isDisabled={moving} onPress={() => move(whole)}>
          Move {whole.length === views.length ? "all" : whole.length} to mcptap
        </Button>
      )}
      {problem && (
        <p role="alert" className="field-error">
          {problem}
        </p>
      )}
    </section>
  );
}
