//! Pairs of a name and a value: `{"name": "API_KEY", "value": "…"}`, and headers one after the other in a list.

/// Names of members that hold the value of a pair, or of what an object wraps.
const VALUES: &[&str] = &[
    "value",
    "val",
    "stringvalue",
    "string_value",
    "secretvalue",
    "secret_value",
    "plaintext",
    "raw",
    "_value",
    "$value",
    "#text",
    "data",
    "s",
    "$secure",
    "v",
    // Of what tells of a change.
    "new",
    "newvalue",
    "new_value",
];
/// Names of members that hold the name of a pair.
const NAMES: &[&str] = &[
    "name",
    "key",
    "header",
    "field",
    "param",
    "parameter",
    "id",
    "k",
    "path",
    "property",
];

/// Names of members in which a schema or a form gives values of the kind that it describes.
const SAMPLES: &[&str] = &[
    "default",
    "defaultvalue",
    "default_value",
    "const",
    "enum",
    "example",
    "examples",
    "initial",
    "fallback",
];
/// Names of members that say that what an object holds is a secret.
const MARKS: &[&str] = &[
    "issecret",
    "is_secret",
    "sensitive",
    "is_sensitive",
    "issensitive",
    "x-secret",
];

/// Whether the member of this name holds a value of what an object describes: a secret only if it looks drawn by lot.
pub(super) fn is_sample(name: &str) -> bool {
    SAMPLES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the member of this name says, when it is true, that the object's value is a secret.
pub(super) fn is_mark(name: &str) -> bool {
    MARKS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the member of this name holds the value of a pair, or of what an object wraps.
pub(super) fn is_value(name: &str) -> bool {
    VALUES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the member of this name holds the name of a pair.
pub(super) fn is_name(name: &str) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a text is a credential behind its scheme, as `Authorization` has it.
pub(super) fn has_scheme(text: &str) -> bool {
    text.starts_with("Bearer ") || text.starts_with("Basic ")
}
