import { Button } from "react-aria-components";
import { Link } from "wouter";
import { signOut } from "../state/key";
import { may, type Viewer } from "../state/viewer";
import { visible } from "../state/words";

/** For a key that is let in and reads no calls. */
export function NoReading({ viewer }: { viewer: Viewer }) {
  return (
    <div className="none">
      <h1>This key cannot read calls</h1>
      <p>
        {visible(viewer.key?.name ?? "")} does not have the scope Read, which is required by all pages except{" "}
        {may(viewer, "ADMIN") && "Keys and "}
        <Link href="/setup">Setup</Link>.
      </p>
      <p className="answers">
        {may(viewer, "ADMIN") && (
          <Link href="/keys" className="primary">
            Go to Keys
          </Link>
        )}
        <Button className="small" onPress={signOut}>
          Use another key
        </Button>
      </p>
    </div>
  );
}
