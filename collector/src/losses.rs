//! The parts of an export that cannot be read. They are left out, so that they cost nothing beside them, and told to the
//! sender.

/// How long an example may be, in characters.
const EXAMPLE: usize = 200;

/// As much of a sender's text as stands in an answer, in characters.
const SHOWN: usize = 80;

/// As much of a sender's text as an answer shows.
pub(crate) fn beginning(text: &str) -> String {
    cut(text, SHOWN)
}

/// The beginning of a text. It ends where a word does: redaction does not recognise half a secret.
fn cut(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return text.to_owned();
    };
    let shown = text.get(..end).unwrap_or_default();
    let whole = shown.trim_end_matches(|letter: char| !letter.is_whitespace());
    format!("{whole}…")
}

/// How many parts were left out, with an example of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Values, such as attributes. Their records are kept without them.
    pub(crate) values: Lost,
    /// Spans, log records, and groups of them.
    pub(crate) records: Lost,
}

/// One kind of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) count: u64,
    pub(crate) example: Option<String>,
}

impl Lost {
    /// Counts one. The text is made only for the first.
    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        self.example.get_or_insert_with(|| cut(&text(), EXAMPLE));
    }

    /// Says where the example is, if it was found since there were so many.
    pub(crate) fn locate(&mut self, before: u64, place: impl FnOnce() -> String) {
        if let Some(example) = &mut self.example
            && before == 0
        {
            *example = format!("{}: {example}", place());
        }
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.example = self.example.take().or(other.example);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_half_word_is_shown() {
        assert_eq!(beginning("tools/call add"), "tools/call add");
        let fits = "x".repeat(SHOWN);
        assert_eq!(beginning(&fits), fits);
        let long = format!("tools/call {}", "ä".repeat(SHOWN));
        assert_eq!(beginning(&long), "tools/call …");
        let mut lost = Lost::default();
        lost.add(|| format!("attribute {} {}", "y".repeat(180), "mcptap_0123456789abcdef"));
        assert_eq!(lost.example, Some(format!("attribute {} …", "y".repeat(180))));
    }
}
