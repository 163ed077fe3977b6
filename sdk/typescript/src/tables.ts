// The tables that all SDKs of mcptap share: names of attributes, and rules of redaction.

import tables from "./tables.json" with { type: "json" };

/** Names of attributes. */
export const semconv = tables.attributes;
/** The tables of redaction. */
export const redaction = tables.redaction;
