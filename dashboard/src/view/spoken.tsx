import { useEffect, useRef, useState } from "react";

/** How long words take to be noticed by a screen reader, in milliseconds. */
const notice = 1_000;
/** For how long changes are not said after one was, in milliseconds. */
const pause = 15_000;

/** Words that change by themselves, such as a number that grows: screen readers say a change, then none for a while. */
export function Spoken({ words }: { words: string }) {
  const [state, setState] = useState({ before: words, isQuiet: false });
  const latest = useRef(words);
  latest.current = words;
  const { before, isQuiet } = state;
  // another question was asked: its answer is said
  if (words === "" && isQuiet) setState({ before: words, isQuiet: false });
  const isSaid = !isQuiet && words !== "" && words !== before;
  useEffect(() => {
    if (!isSaid && !isQuiet) return;
    const timer = setTimeout(
      () => setState({ before: latest.current, isQuiet: isSaid }),
      isSaid ? notice : pause,
    );
    return () => clearTimeout(timer);
  }, [isSaid, isQuiet]);
  return (
    <span className="quiet" role="status" aria-live={isQuiet ? "off" : "polite"}>
      {words}
    </span>
  );
}
