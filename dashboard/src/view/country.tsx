import { useEffect } from "react";
import { createStore, useStore } from "../state/store";
import { countryName } from "../state/words";

// loaded with the first country that is shown
const known = createStore<ReadonlyMap<string, string> | undefined>(undefined);
let loading = false;

function loadFlags(): void {
  if (loading) return;
  loading = true;
  import("./flags").then(
    ({ flags }) => known.set(flags),
    () => {
      // the code stands there without it, and the next country tries again
      loading = false;
    },
  );
}

/** The flag and the ISO code of a country. */
export function Country({ code, named = false }: { code: string; named?: boolean }) {
  const flags = useStore(known);
  useEffect(loadFlags, []);
  const flag = flags?.get(code);
  return (
    <span className="country" title={countryName(code)}>
      {flag ? <img className="flag" src={flag} alt="" width="18" height="12" /> : <span className="flag" />}
      {code}
      {named && <span className="quiet"> {countryName(code)}</span>}
    </span>
  );
}
