import { useState } from "react";
import { Button } from "react-aria-components";
import { root } from "../state/endpoint";
import { Icon } from "./icon";

/** In place of a page or a menu whose script did not come: mcptap is away, or has other scripts since an update. */
export function NotLoaded() {
  const [state, setState] = useState<"failed" | "asking" | "still">("failed");
  const again = async () => {
    setState("asking");
    try {
      await fetch(root, { method: "HEAD", cache: "no-store" });
      location.reload();
    } catch {
      // to load the page now would leave nothing of it
      setState("still");
    }
  };
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
