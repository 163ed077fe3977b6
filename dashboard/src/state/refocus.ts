import { address, onReturn } from "./returning";

/** How many addresses are remembered. */
const most = 50;
/** For how long what had the focus is waited for, in milliseconds: lists are asked for again. */
const patience = 10_000;

/** An element of the page that can be used, as it is found again when the page is drawn anew. */
interface Mark {
  tag: string;
  words: string;
  /** Which of those that are alike. */
  index: number;
}

/** What is the same about an element however often it is drawn. */
function wordsOf(element: HTMLElement): string {
  const name = ["data-call", "href", "aria-label"].map((of) => element.getAttribute(of)).find(Boolean);
  return name ?? element.textContent ?? "";
}

function alike(tag: string, words: string): HTMLElement[] {
  const all = document.querySelectorAll<HTMLElement>(`#main ${tag}`);
  return [...all].filter((element) => wordsOf(element) === words);
}

function markOf(element: HTMLElement): Mark | undefined {
  const tag = element.tagName.toLowerCase();
  if (!["a", "button", "input", "summary"].includes(tag)) return undefined;
  const words = wordsOf(element);
  return { tag, words, index: alike(tag, words).indexOf(element) };
}

const marks = new Map<string, Mark>();

/** Whether something has the focus that a reader put there. A heading has it where nothing else could. */
function isTaken(): boolean {
  const at = document.activeElement;
  if (at?.closest("[role=dialog], [role=alertdialog]")) return true;
  return at?.closest("#main") != null && !at.matches("#main, h1");
}

/** Gives the focus back to what had it, where somebody goes back or forward to a page: browsers do so between documents. */
export function keepMarks(): void {
  document.addEventListener("focusin", ({ target }) => {
    const mark = target instanceof HTMLElement && target.closest("#main") ? markOf(target) : undefined;
    if (!mark) return;
    marks.delete(address());
    marks.set(address(), mark);
    const [oldest] = marks.keys();
    if (marks.size > most && oldest !== undefined) marks.delete(oldest);
  });

  let stop = () => {};
  const look = (mark: Mark) => {
    if (isTaken()) return;
    const element = alike(mark.tag, mark.words)[mark.index];
    element?.focus({ preventScroll: true });
  };
  onReturn(() => {
    stop();
    const mark = marks.get(address());
    if (!mark) return;
    const watch = new MutationObserver(() => look(mark));
    // the page that is left is still there
    requestAnimationFrame(() => requestAnimationFrame(() => look(mark)));
    watch.observe(document.body, { childList: true, subtree: true });
    const timer = setTimeout(() => stop(), patience);
    stop = () => {
      watch.disconnect();
      clearTimeout(timer);
      stop = () => {};
    };
  });
  // whoever goes on by themselves is not called back
  for (const act of ["keydown", "pointerdown", "pushState"]) window.addEventListener(act, () => stop(), true);
}
