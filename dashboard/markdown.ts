import { Marked } from "marked";
import type { Plugin } from "vite";
import { anchorOf } from "./src/state/anchor.ts";

/** A document as the page shows it. */
export interface Document {
  title: string;
  html: string;
}

/**
 * What a document tells to run or to set, by the headings that it stands below: blocks of code, and code in the text. Without the
 * reference, where code is no more than a name.
 */
export type Codes = Readonly<Record<string, readonly string[]>>;

/** The code of a document in Markdown, in its order. */
export function codesOf(markdown: string): Codes {
  const marked = new Marked({ gfm: true });
  const codes: Record<string, string[]> = {};
  let section: string[] | undefined;
  marked.walkTokens(marked.lexer(markdown), (token) => {
    if (token.type === "heading" && token.depth === 2) {
      section = token.text === "Reference" ? undefined : [];
      if (section) codes[token.text] = section;
    }
    if (token.type === "code" || token.type === "codespan") section?.push(token.text);
  });
  return codes;
}

/** Where a link of a document leads to on the pages. Undefined where that is a file of the repository alone. */
function target(href: string): string | undefined {
  if (/^(https?:|#)/.test(href)) return href;
  const [, name, anchor = ""] = /^(?:\.\.\/|docs\/)?([\w-]+)\.md(#.*)?$/.exec(href) ?? [];
  return name && name.toLowerCase() + anchor;
}

/** A document in Markdown, made HTML. */
export function render(markdown: string): Document {
  let title = "";
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth, text }) {
        if (depth === 1) title ||= text;
        return `<h${depth} id="${anchorOf(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      link({ href, tokens }) {
        const words = this.parser.parseInline(tokens);
        const to = target(href);
        return to === undefined ? words : `<a href="${to}" rel="noreferrer">${words}</a>`;
      },
      // the pages have none of their own
      image: () => "",
      // comments are for the tests of the documents
      html: () => "",
      code({ text }) {
        const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
        return `<pre tabindex="0"><code>${escaped}</code></pre>\n`;
      },
    },
  });
  const html = String(marked.parse(markdown))
    .replaceAll("<table>", '<div class="doc-table" tabindex="0"><table>')
    .replaceAll("</table>", "</table></div>");
  return { title, html };
}

/** The documentation is part of the pages, as the binary has no files beside it. */
export function documents(): Plugin {
  return {
    name: "documents",
    transform(code, id) {
      const made = id.endsWith(".md") ? render(code) : id.endsWith(".md?codes") ? codesOf(code) : undefined;
      return made && { code: `export default ${JSON.stringify(made)}`, moduleType: "js", map: null };
    },
  };
}
