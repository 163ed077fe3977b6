import "./style/base.css";
import "./style/controls.css";
import "./style/list.css";
import "./style/detail.css";
import "./style/pages.css";
import "./style/keys.css";
import "./style/docs.css";
import "./style/forced.css";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { App } from "./app";
import { root } from "./state/endpoint";
import { keepFocus } from "./state/focus";
import { parseRoute } from "./state/place";
import { keepMarks } from "./state/refocus";

// React Aria would write this rule into a style element of its own, which the policy of the page forbids. It does
// not where an element of this id is there already; the rule is in style/controls.css.
const mark = document.createElement("meta");
mark.id = "react-aria-pressable-style";
document.head.append(mark);

// relative to the first address; at the next one, which may lie deeper, it would be looked for elsewhere
for (const link of document.querySelectorAll<HTMLLinkElement>("link[rel=icon]"))
  link.setAttribute("href", link.href);

keepFocus();
keepMarks();

const place = document.getElementById("page");
if (place) {
  createRoot(place).render(
    <Router base={root.pathname.replace(/\/$/, "")} parser={parseRoute}>
      <App />
    </Router>,
  );
}
