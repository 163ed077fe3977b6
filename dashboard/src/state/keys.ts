import { createContext, useContext, useEffect, useLayoutEffect, useRef } from "react";
import { openDialog } from "./focus";
import { settings } from "./settings";

export interface Shortcut {
  key: string;
  does: string;
}

/** What `?` shows. */
export const shortcuts: readonly { group: string; keys: readonly Shortcut[] }[] = [
  {
    group: "Everywhere",
    keys: [
      { key: "?", does: "This list" },
      { key: "g c", does: "Go to Calls" },
      { key: "g s", does: "Go to Sessions" },
      { key: "g o", does: "Go to Overview" },
      { key: "g v", does: "Go to Servers" },
      { key: "g u", does: "Go to Setup" },
      { key: "g k", does: "Go to Keys, for administrators" },
      { key: "Esc", does: "Close what is open" },
    ],
  },
  {
    group: "Calls",
    keys: [
      { key: "/", does: "Search" },
      { key: "j", does: "Next call (older)" },
      { key: "k", does: "Previous call (newer)" },
      { key: "Enter", does: "Open the call; in the search, go to what it found" },
      { key: "L", does: "Live on or off" },
      { key: "r", does: "Refresh the list, or the call that is open" },
      { key: "t", does: "To the top" },
    ],
  },
];

type Handlers = Record<string, () => void>;

/** Whether a key is meant for what has the focus: text is typed, or a menu is searched. */
function isTaken(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest(
      "input, textarea, select, [contenteditable], [role=listbox], [role=menu], [role=spinbutton]",
    ) !== null
  );
}

/** Whether a component is in the drawer, whose keys count while it is open. */
export const InDrawer = createContext(false);

/** Whether a dialog is open before what keys are for: whoever is in it does not mean them. */
function isCovered(overDrawer: boolean): boolean {
  const open = openDialog();
  return open !== undefined && !(overDrawer && open.matches(".drawer-dialog"));
}

/**
 * Single keys, by their names in `KeyboardEvent.key`, while the component is shown and no dialog is open before it.
 * `everywhere`: they count over the drawer, too.
 */
export function useKeys(handlers: Handlers, everywhere = false): void {
  const overDrawer = useContext(InDrawer) || everywhere;
  const latest = useRef({ handlers, overDrawer });
  latest.current = { handlers, overDrawer };
  // undone as soon as the component is out of sight, also while the next page is still being loaded
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!settings.get().keys || isTaken(event.target)) return;
      const name = event.key.length === 1 && event.key !== "?" ? event.key.toLowerCase() : event.key;
      const { handlers: known, overDrawer: over } = latest.current;
      const handler = known[name];
      if (!handler || isCovered(over)) return;
      event.preventDefault();
      handler();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}

/** `g`, then a letter within a second. */
export function useGoKeys(go: (letter: string) => boolean): void {
  const latest = useRef(go);
  latest.current = go;
  useEffect(() => {
    let since = 0;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (!settings.get().keys || isTaken(event.target) || isCovered(true)) return;
      if (event.key === "g") {
        since = event.timeStamp;
        return;
      }
      const waiting = since > 0 && event.timeStamp - since < 1000;
      since = 0;
      // before the pages see the letter as one of their own
      if (waiting && latest.current(event.key)) {
        event.preventDefault();
        event.stopImmediatePropagation();
      }
    };
    window.addEventListener("keydown", pressed, { capture: true });
    return () => window.removeEventListener("keydown", pressed, { capture: true });
  }, []);
}
