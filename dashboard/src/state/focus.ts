import { useEffect, useRef } from "react";

/** How many pictures are drawn before the focus counts as lost: whoever takes an element away may place the focus itself. */
const patience = 3;

/** The dialog that was opened last, if one is open. A notice is none: it comes by itself, and whoever works goes on. */
export function openDialog(): HTMLElement | undefined {
  const all = document.querySelectorAll<HTMLElement>(
    "[role=dialog], [role=alertdialog]:not([aria-modal=false])",
  );
  return [...all].at(-1);
}

/** Gives the focus to the heading of the page, or to its content while there is no heading. */
export function focusPage(): void {
  const main = document.getElementById("main");
  focusOn(main?.querySelector<HTMLElement>("h1") ?? main);
}

/** Gives the focus to something that Tab does not stop at. */
export function focusOn(element: Element | null | undefined): void {
  if (!(element instanceof HTMLElement)) return;
  if (!element.hasAttribute("tabindex")) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

/**
 * Keeps the focus in the page. Where the element that has it is taken away or disabled, browsers give the focus to nothing:
 * Tab then starts from elsewhere, and a screen reader says nothing. It goes to the dialog that is open, else to the heading.
 */
export function keepFocus(): void {
  let last: Element | undefined;
  let waiting = false;
  document.addEventListener("focusin", ({ target }) => {
    last = target instanceof Element ? target : undefined;
  });
  // a click beside everything takes the focus away on purpose
  document.addEventListener("pointerdown", () => {
    last = undefined;
  });
  const isLost = () =>
    last !== undefined &&
    (document.activeElement === null || document.activeElement === document.body) &&
    (!last.isConnected || last.matches(":disabled"));
  const look = (left: number) => {
    if (!isLost()) waiting = false;
    else if (left > 0) requestAnimationFrame(() => look(left - 1));
    else {
      waiting = false;
      last = undefined;
      const open = openDialog();
      if (open) focusOn(open);
      else focusPage();
    }
  };
  new MutationObserver(() => {
    if (waiting || !isLost()) return;
    waiting = true;
    look(patience);
  }).observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
}

/** Gives the focus to an item of the list with this name, counted from 0: to the first thing in it that can be used, else to itself. */
export function focusItem(label: string, index: number): void {
  const list = document.querySelector(`[aria-label="${CSS.escape(label)}"]`);
  const item = list?.querySelectorAll<HTMLElement>("tbody > tr, :scope > li:not(.pause)")[index];
  const inside = item?.querySelector<HTMLElement>("a, button");
  if (inside) inside.focus();
  else focusOn(item);
}

/**
 * Gives the focus to a call of the list in sight, when the next pictures are drawn: by then a drawer beside it is gone.
 * `may`: whether it is wanted still.
 */
export function focusCall(id: string, may = () => true): void {
  const find = () => {
    const line = document.querySelector<HTMLElement>(`#main [data-call="${CSS.escape(id)}"]`);
    return line?.matches("a, button") ? line : line?.querySelector<HTMLElement>("a");
  };
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      if (may()) find()?.focus({ preventScroll: true });
    }),
  );
}

/** Whether something is being typed: whoever went to a field meanwhile wants to stay there. */
const isTyping = () => document.activeElement?.matches("input, textarea") ?? false;

/** The keyboard goes on from the call that was `shown` last, wherever its drawer was opened and however it is closed. */
export function useReturnTo(shown: string | undefined): void {
  const last = useRef(shown);
  useEffect(() => {
    if (last.current !== undefined && shown === undefined) focusCall(last.current, () => !isTyping());
    last.current = shown;
  }, [shown]);
}
