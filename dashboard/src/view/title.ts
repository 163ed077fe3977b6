import { useEffect } from "react";
import { drawn } from "../state/words";

/** The title of the window, which is what a history of pages shows. */
export function titleOf(words: string): string {
  return words ? `${drawn(words)} · mcptap` : "mcptap";
}

/** Titles the window for as long as the component is shown. */
export function useTitle(words: string): void {
  useEffect(() => {
    document.title = titleOf(words);
  }, [words]);
}
