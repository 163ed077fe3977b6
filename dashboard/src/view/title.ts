import { useEffect } from "react";

/** The title of the window, which is what a history of pages shows. */
export function useTitle(words: string): void {
  useEffect(() => {
    document.title = words ? `${words} · mcptap` : "mcptap";
  }, [words]);
}
