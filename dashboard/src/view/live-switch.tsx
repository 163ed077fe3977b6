import type { LiveState } from "../state/list-state";
import { Toggle } from "./toggle";

const words: Record<LiveState, string> = {
  paused: "Paused",
  "catching up": "Catching up",
  live: "Live",
  reconnecting: "Reconnecting",
  "not connected": "Not connected",
};
const more: Record<LiveState, string> = {
  paused: "Turn on Live to see new calls as they arrive.",
  "catching up": "Connected; loading the calls that were missed.",
  live: "Each call appears as it is stored.",
  "not connected": "The calls could not be loaded; new ones appear once they are.",
  reconnecting: "Connection lost. The list catches up once it is restored.",
};

/** The switch, and beside it a dot and a word for what is really so. */
export function LiveSwitch({
  on,
  state,
  onChange,
}: {
  on: boolean;
  state: LiveState;
  onChange: (on: boolean) => void;
}) {
  return (
    <div className="live">
      <Toggle on={on} onChange={onChange} label="Live" />
      <span className={`dot ${state.replace(" ", "-")}`} aria-hidden="true" />
      <span role="status" title={more[state]} className="live-words">
        {words[state]}
      </span>
    </div>
  );
}
