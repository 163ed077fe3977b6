import { Icon } from "./icon";

/** In place of what was said in a call, for a key that may not read it. Whether there was anything is not told. */
export function Hidden({ what }: { what: string }) {
  return (
    <p className="sight hidden-sight">
      <Icon name="lock" /> <strong>Hidden from this key.</strong> {what} only visible to keys with the
      Payloads scope.
    </p>
  );
}
