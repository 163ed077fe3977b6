// Pictures of our own, as many computers have no font that draws the flags of countries: Windows has none at all.
// Their addresses are part of the first script: one that comes later may fail, and browsers do not ask for a script twice.
const files = import.meta.glob<string>("/node_modules/country-flag-icons/3x2/*.svg", {
  eager: true,
  query: "?url",
  import: "default",
});

/** The address of the picture of a country's flag, by its ISO code. */
export const flags: ReadonlyMap<string, string> = new Map(
  Object.entries(files).map(([path, address]) => [
    path.slice(path.lastIndexOf("/") + 1, -".svg".length),
    address,
  ]),
);
