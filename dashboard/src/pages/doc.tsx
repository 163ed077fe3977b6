import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import type { Document } from "../../markdown";
import { explain } from "../state/api";
import { decoded } from "../state/place";
import { takeReturn } from "../state/returning";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

const load = import.meta.glob<Document>(
  ["../../../docs/*.md", "../../../README.md", "../../../CHANGELOG.md"],
  { import: "default" },
);

/** The documents by their names in addresses, in the order in which they are listed. */
const documents: readonly (readonly [name: string, words: string])[] = [
  ["readme", "Start"],
  ["instrumenting", "Servers"],
  ["api", "API"],
  ["dashboard", "Dashboard"],
  ["security", "Security"],
  ["database", "Database"],
  ["architecture", "Architecture"],
  ["changelog", "Changes"],
];

const loaderOf = (name: string) =>
  Object.entries(load).find(([path]) => path.toLowerCase().endsWith(`/${name}.md`))?.[1];

/** A document of mcptap's, as this version of it has it. */
export default function DocPage({ name }: { name: string }) {
  const [state, setState] = useState<{ document?: Document; problem?: unknown }>({});
  const [turn, setTurn] = useState(0);
  const loader = documents.some(([known]) => known === name) ? loaderOf(name) : undefined;
  useEffect(() => {
    let wanted = true;
    setState({});
    loader?.().then(
      (document) => wanted && setState({ document }),
      (problem: unknown) => wanted && setState({ problem }),
    );
    return () => {
      wanted = false;
    };
  }, [loader, turn]);
  const { document: shown, problem } = state;
  useTitle(shown?.title ?? (loader ? "Documentation" : "Page not found"));
  // the browser looks for it before it is there
  useEffect(() => {
    const id = decoded(location.hash.slice(1));
    if (shown && id) document.getElementById(id)?.scrollIntoView();
    else if (shown && !takeReturn()) document.getElementById("main")?.scrollTo({ top: 0 });
  }, [shown]);
  // links between documents stay in the application, as all of its own do
  const article = useRef<HTMLElement>(null);
  const [, navigate] = useLocation();
  useEffect(() => {
    const element = shown && article.current;
    if (!element) return;
    const follow = (event: MouseEvent) => {
      const link = event.target instanceof Element ? event.target.closest("a") : null;
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      const { origin, pathname, hash } = new URL(link.href);
      if (origin !== location.origin || pathname === location.pathname) return;
      event.preventDefault();
      // as it stands, below whatever path all of this is served
      navigate(`~${pathname}${hash}`);
    };
    element.addEventListener("click", follow);
    return () => element.removeEventListener("click", follow);
  }, [shown, navigate]);
  return (
    <div className="page doc-page">
      <nav className="doc-list" aria-label="Documentation">
        {documents.map(([other, words]) => (
          <Link key={other} href={`/docs/${other}`} aria-current={other === name ? "page" : undefined}>
            {words}
          </Link>
        ))}
      </nav>
      {!loader && (
        <div className="problem">
          <h1>There is no such document</h1>
          <p>The list above has all of them.</p>
        </div>
      )}
      {problem !== undefined && (
        <Problem problem={new Error(explain(problem))} again={() => setTurn((before) => before + 1)} />
      )}
      {loader && !shown && problem === undefined && <Skeleton lines={12} />}
      {shown && (
        // biome-ignore lint/security/noDangerouslySetInnerHtml: made of mcptap's own documents when it is built
        <article className="doc" ref={article} dangerouslySetInnerHTML={{ __html: shown.html }} />
      )}
    </div>
  );
}
