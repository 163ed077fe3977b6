import { Marked } from "marked";
import type { Plugin } from "vite";
import { anchorOf } from "./src/state/anchor.ts";

/** A document as the page shows it. */
export interface Document {
  title: string;
  html: string;
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
      if (!id.endsWith(".md")) return undefined;
      return { code: `export default ${JSON.stringify(render(code))}`, moduleType: "js", map: null };
    },
  };
}
