//! JSON in, JSON out: each string and number for itself, everything else byte for byte as it was.

use serde::de::IgnoredAny;

use super::REDACTED;
use super::bytes::{byte, is_space, run};
use super::named::is_cut;
use super::rules::{Compiled, Cut, Found};

/// Whether a text is JSON.
pub(super) fn is_valid(text: &str) -> bool {
    // Most that is not says so with its first byte.
    let start = text.trim_start().as_bytes().first().copied().unwrap_or_default();
    matches!(
        start,
        b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
    ) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Redacts valid JSON; `None` when nothing is to be cut. What is `crossing` the border of a value takes the whole value.
pub(super) fn redact(
    rules: &Compiled,
    text: &str,
    crossing: &[Cut],
    told: &mut dyn FnMut(Found),
) -> Option<String> {
    let bytes = text.as_bytes();
    let mut redacted = String::with_capacity(text.len());
    let mut changed = false;
    // For each open list, the rule that makes its strings secrets; for an object none.
    let mut open: Vec<Option<Found>> = Vec::new();
    // The rule of the key just read.
    let mut key: Option<Found> = None;
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        let start = at;
        let secret = key.or_else(|| open.last().copied().flatten());
        let replaced = match byte(bytes, at) {
            b'"' => {
                at = string_end(bytes, at);
                let content = text.get(start + 1..at - 1).unwrap_or_default();
                let is_key = byte(bytes, run(bytes, at, usize::MAX, is_space)) == b':';
                let replaced = match secret.filter(|_| !is_key) {
                    Some(found) if !is_cut(content.as_bytes()) => {
                        told(found);
                        Some(REDACTED.to_owned())
                    }
                    Some(_) => None,
                    None => rules.redact_part(content, told),
                };
                key = if is_key { rules.secret_name(content) } else { None };
                replaced.map(|content| {
                    let quoted = format!("\"{content}\"");
                    if is_valid(&quoted) {
                        quoted
                    } else {
                        format!("\"{REDACTED}\"")
                    }
                })
            }
            b'{' | b'[' if matches!(secret, Some(Found::Key(_))) => {
                at = structure_end(bytes, at);
                key = None;
                secret.map(|found| {
                    told(found);
                    format!("\"{REDACTED}\"")
                })
            }
            b'{' | b'[' => {
                open.push(key.take().filter(|_| byte(bytes, at) == b'['));
                at += 1;
                None
            }
            b'}' | b']' => {
                open.pop();
                at += 1;
                None
            }
            b'-' | b'0'..=b'9' | b't' | b'f' => {
                at = run(bytes, at, usize::MAX, |byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                });
                key = None;
                match secret {
                    Some(found @ Found::Key(_)) => {
                        told(found);
                        Some(format!("\"{REDACTED}\""))
                    }
                    _ => {
                        let scalar = text.get(start..at).unwrap_or_default();
                        rules.redact_part(scalar, told).map(|_| format!("\"{REDACTED}\""))
                    }
                }
            }
            b'n' => {
                at += 4;
                key = None;
                None
            }
            _ => {
                at += 1;
                None
            }
        };
        let is_value = at > start + 1 || byte(bytes, start).is_ascii_digit();
        let first = crossing.partition_point(|cut| cut.end <= start);
        let last = crossing.partition_point(|cut| cut.start < at);
        let over = crossing.get(first..last).filter(|_| is_value).unwrap_or_default();
        let crossed = [over.first(), over.last()].into_iter().flatten();
        let replaced = match crossed
            .into_iter()
            .find(|cut| cut.start <= start || cut.end >= at)
        {
            Some(cut) => {
                told(cut.found);
                Some(format!("\"{REDACTED}\""))
            }
            None => replaced,
        };
        if let Some(replaced) = replaced {
            changed = true;
            redacted.push_str(text.get(kept..start).unwrap_or_default());
            redacted.push_str(&replaced);
            kept = at;
        }
    }
    redacted.push_str(text.get(kept..).unwrap_or_default());
    changed.then_some(redacted)
}

/// Where the string that begins at `at` ends.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match byte(bytes, at) {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the object or list that begins at `at` ends.
fn structure_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        match byte(bytes, at) {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
