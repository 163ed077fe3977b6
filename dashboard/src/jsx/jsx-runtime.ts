import * as react from "react/jsx-runtime";
import { drawn } from "../state/words";

export { Fragment, type JSX } from "react/jsx-runtime";

/** The properties that are texts on the screen or for a screen reader. */
const texts = ["title", "aria-label", "aria-description", "alt", "placeholder", "textValue"] as const;

type Props = Record<string, unknown>;

function drawnChildren(children: unknown): unknown {
  if (typeof children === "string") return drawn(children);
  // only an array that changes is made anew: React has marked the others as checked
  if (Array.isArray(children) && children.some((child) => typeof child === "string"))
    return children.map(drawnChildren);
  return children;
}

/** The same properties, whose texts hide and reorder nothing: every text of the pages goes through here, whoever wrote it. */
export function drawnProps(props: Props): Props {
  const changed: Props = {};
  const children = drawnChildren(props.children);
  if (children !== props.children) changed.children = children;
  for (const name of texts) {
    const text = props[name];
    if (typeof text === "string") changed[name] = drawn(text);
  }
  return Object.keys(changed).length > 0 ? { ...props, ...changed } : props;
}

export const jsx: typeof react.jsx = (type, props, key) => react.jsx(type, drawnProps(props as Props), key);

export const jsxs: typeof react.jsxs = (type, props, key) =>
  react.jsxs(type, drawnProps(props as Props), key);
