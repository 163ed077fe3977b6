//! Texts of others as they stand in logs and on terminals.

/// The text on one line, as it is but for what cannot be seen or would move the cursor, which is escaped as in Rust.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => printable.push(character),
            _ => printable.extend(character.escape_debug()),
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_as_they_are_and_nothing_begins_a_line() {
        assert_eq!(printable("o'neil \"x\" c:\\d naïve"), "o'neil \"x\" c:\\d naïve");
        assert_eq!(printable("a\nWARN\u{1b}[31m"), "a\\nWARN\\u{1b}[31m");
    }
}
