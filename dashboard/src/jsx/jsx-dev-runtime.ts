import * as react from "react/jsx-dev-runtime";
import { drawnProps } from "./jsx-runtime";

export { Fragment, type JSX } from "react/jsx-dev-runtime";

/** The same for `npm run dev`. */
export const jsxDEV: typeof react.jsxDEV = (type, props, ...rest) =>
  react.jsxDEV(type, drawnProps(props as Record<string, unknown>), ...rest);
