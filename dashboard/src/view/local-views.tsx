import { useState } from "react";
import { Button } from "react-aria-components";
import { Link } from "wouter";
import { explain } from "../state/api";
import { useStore } from "../state/store";
import type { Viewer } from "../state/viewer";
import {
  forgetLocalView,
  isLive,
  keepLocalViews,
  type LocalView,
  localViews,
  maySave,
  saveView,
  toViewInput,
} from "../state/views";
import { Icon } from "./icon";
import { notice } from "./notice";

const moveWords = (view: LocalView) => (isLive(view) ? "Move (Live is not saved)" : "Move");

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
  const whole = views.filter((view) => !isLive(view));
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
