//! Tests of redaction. Samples of tokens are put together here, so that no scanner takes these files for a leak.

mod fields;
mod harmless;
mod hidden;
mod key_lines;
mod linear;
mod names;
mod operator;
mod random;
mod rule_sets;
mod structures;
mod tokens;

use super::Redactor;

fn redact(text: &str) -> String {
    Redactor::default().redact(text).into_owned()
}

/// Letters and digits as services draw them, `length` of them.
fn drawn(length: usize) -> String {
    "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL"
        .chars()
        .cycle()
        .take(length)
        .collect()
}

fn hex(length: usize) -> String {
    "3f9a1c7be2d4806b5a".chars().cycle().take(length).collect()
}
