import { useEffect, useState } from "react";
import { Button } from "react-aria-components";
import { root } from "../state/endpoint";
import { healPause, repeat } from "../state/repeat";
import { Icon } from "./icon";

/** Whether there is a page to load. A proxy may answer in the place of mcptap. */
async function isThere(): Promise<boolean> {
  try {
    const { status } = await fetch(root, { method: "HEAD", cache: "no-store" });
    return status < 500;
  } catch {
    return false;
  }
}

// whether mcptap was away since this page was loaded. What does not come from one that is there would be loaded anew for ever
let wasAway = false;

/**
 * In place of a page or a menu whose script did not come: mcptap is away, or has other scripts since an update. When mcptap is
 * seen to come back, the page is loaded anew.
 */
export function NotLoaded() {
  const [state, setState] = useState<"failed" | "asking" | "still">("failed");
  const again = async () => {
    setState("asking");
    if (await isThere()) location.reload();
    // to load the page now would leave nothing of it
    else setState("still");
  };
  useEffect(() => {
    const look = async () => {
      const isBack = await isThere();
      if (isBack && wasAway) location.reload();
      wasAway ||= !isBack;
    };
    void look();
    return repeat(healPause, look);
  }, []);
  return (
    <div className="problem" role="alert">
      <h2>This part of the page could not be loaded</h2>
      <p>
        Nothing answers at <code>{root.href}</code>, or mcptap was updated since this tab was opened. Check
        that <code>mcptap serve</code> is running and that no proxy or VPN is in the way.
      </p>
      {state === "still" && <p className="said">Still no answer.</p>}
      <Button className="primary" isDisabled={state === "asking"} onPress={again}>
        <Icon name="again" />
        Try again
      </Button>
    </div>
  );
}
