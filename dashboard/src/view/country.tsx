import { countryName } from "../state/words";
import { flags } from "./flags";

/** The flag and the ISO code of a country. */
export function Country({ code, named = false }: { code: string; named?: boolean }) {
  const flag = flags.get(code);
  return (
    <span className="country" title={countryName(code)}>
      {flag ? <img className="flag" src={flag} alt="" width="18" height="12" /> : <span className="flag" />}
      {code}
      {named && <span className="quiet"> {countryName(code)}</span>}
    </span>
  );
}
