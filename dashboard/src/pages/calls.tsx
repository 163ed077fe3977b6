import { Calls } from "../view/calls";
import { useTitle } from "../view/title";

export function CallsPage() {
  useTitle("Calls");
  return <Calls title="Calls" />;
}
