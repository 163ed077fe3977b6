import type { ReactNode } from "react";

/** A switch: on or off at once, without a button to confirm. `children` are its visible words. */
export function Toggle({
  on,
  onChange,
  label,
  children,
}: {
  on: boolean;
  onChange: (on: boolean) => void;
  label?: string;
  children?: ReactNode;
}) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={on}
      aria-label={label}
      className="switch"
      onClick={() => onChange(!on)}
    >
      <span className="track" aria-hidden="true" />
      {children}
    </button>
  );
}
