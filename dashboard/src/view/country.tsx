import { countryName, flag } from "../state/words";

/** The flag and the ISO code of a country. */
export function Country({ code, named = false }: { code: string; named?: boolean }) {
  return (
    <span className="country" title={countryName(code)}>
      <span className="flag" aria-hidden="true">
        {flag(code)}
      </span>
      {code}
      {named && <span className="quiet"> {countryName(code)}</span>}
    </span>
  );
}
