import { Copy } from "./copy";

/** A step in words, and what to copy for it. `done`: what it is for has happened. */
export function Snippet({ words, code, done = false }: { words: string; code?: string; done?: boolean }) {
  return (
    <div className="step">
      <p>{words}</p>
      {code && (
        <div className={done ? "snippet done" : "snippet"}>
          <pre tabIndex={0}>
            <code>{code}</code>
          </pre>
          <Copy text={code} label="Copy the snippet" words="Copy" />
        </div>
      )}
    </div>
  );
}
