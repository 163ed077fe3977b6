//! The name that somebody meant who wrote one that there is not.

/// The one name that is near enough to be meant: a slip of the finger or two, or the only one that begins so and goes on
/// after a `_`.
pub(crate) fn nearest<'n>(name: &str, all: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    let slips = (name.len() / 4).clamp(1, 3);
    let near = all
        .clone()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(slipped, _)| *slipped <= slips)
        .min_by_key(|(slipped, _)| *slipped);
    if let Some((_, known)) = near {
        return Some(known);
    }
    let beginning = format!("{name}_");
    let mut longer = all.filter(|known| known.starts_with(&beginning));
    longer.next().filter(|_| longer.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_meant() {
        let all = ["retention", "log", "database_url", "redact_keys", "redact_env"];
        for (name, meant) in [
            ("retentoin", Some("retention")),
            ("lgo", Some("log")),
            ("database", Some("database_url")),
            ("redact_key", Some("redact_keys")),
            ("redact", None),
            ("nope", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, all.into_iter()), meant, "{name}");
        }
    }
}
