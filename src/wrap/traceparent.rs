//! Requests on their way to the server that are part of no trace are given one, where the user asks for it: a member
//! `traceparent` of `params._meta`, as MCP has it. Everything else in the message stays as it is, byte for byte.

use std::ops::Range;

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use serde::de::IgnoredAny;

/// The longest message that is given a trace, in bytes; it is held until its line ends.
const LONGEST: usize = 1 << 20;

/// Adds to the messages of one client, line by line.
#[derive(Debug, Default)]
pub(super) struct Traceparents {
    /// The beginning of a line.
    line: Vec<u8>,
    /// The rest of a line that is too long.
    is_passing: bool,
    /// Messages are not framed by lines.
    is_off: bool,
    ids: RandomIdGenerator,
}

impl Traceparents {
    /// What the server gets of these bytes, and of those that were held back before.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if self.is_off || self.is_passing {
                self.is_passing &= !ends;
                out.extend_from_slice(piece);
                continue;
            }
            self.line.extend_from_slice(piece);
            let is_framed = self
                .line
                .get(..15)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"content-length:"));
            self.is_off = is_framed;
            if is_framed || self.line.len() > LONGEST {
                self.is_passing = !ends;
                out.append(&mut self.line);
            } else if ends {
                let line = std::mem::take(&mut self.line);
                out.extend(self.traced(&line).unwrap_or(line));
            }
        }
        out
    }

    /// What was held back, at the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// The message with a trace. None where it has one, or is no request. One that cannot be read counts as none.
    fn traced(&self, line: &[u8]) -> Option<Vec<u8>> {
        serde_json::from_slice::<IgnoredAny>(line).ok()?;
        let start = next(line, 0);
        let message = members(line, start)?;
        let of = |name: &[u8]| only(&message, name);
        (of(b"method").is_some() && of(b"id").is_some()).then_some(())?;
        let value = format!(
            "\"traceparent\":\"00-{}-{}-01\"",
            self.ids.new_trace_id(),
            self.ids.new_span_id()
        );
        let (at, added) = match of(b"params") {
            None if !has(&message, b"params") => (start, format!("\"params\":{{\"_meta\":{{{value}}}}}")),
            None => return None,
            Some(params) => {
                let inside = members(line, params.start)?;
                match only(&inside, b"_meta") {
                    None if !has(&inside, b"_meta") => (params.start, format!("\"_meta\":{{{value}}}")),
                    None => return None,
                    Some(meta) => {
                        let known = members(line, meta.start)?;
                        if has(&known, b"traceparent") {
                            let invalid = only(&known, b"traceparent").filter(|at| is_none(line, at))?;
                            let (before, after) = (line.get(..invalid.start)?, line.get(invalid.end..)?);
                            let value = value.strip_prefix("\"traceparent\":")?;
                            return Some([before, value.as_bytes(), after].concat());
                        }
                        (meta.start, value)
                    }
                }
            }
        };
        let (before, after) = line.split_at_checked(at.checked_add(1)?)?;
        let comma: &[u8] = if after.get(next(after, 0)) == Some(&b'}') {
            b""
        } else {
            b","
        };
        Some([before, added.as_bytes(), comma, after].concat())
    }
}

/// Whether this value of a `traceparent` names no trace, and so counts as none.
fn is_none(line: &[u8], value: &Range<usize>) -> bool {
    let text = line
        .get(value.clone())
        .and_then(|value| serde_json::from_slice::<String>(value).ok());
    !text.is_some_and(|text| mcptap_sdk::internals::is_traceparent(text.trim()))
}

/// A member of an object: its name as it is written, and where its value stands.
type Member<'a> = (&'a [u8], Range<usize>);

fn has(members: &[Member<'_>], name: &[u8]) -> bool {
    members.iter().any(|(known, _)| *known == name)
}

/// The value of the only member of that name.
fn only(members: &[Member<'_>], name: &[u8]) -> Option<Range<usize>> {
    let mut named = members.iter().filter(|(known, _)| *known == name);
    let (_, value) = named.next()?;
    named.next().is_none().then(|| value.clone())
}

/// The members of the object that begins at `at` of a text that is JSON. None where there is another value.
fn members(text: &[u8], at: usize) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::new();
    let mut at = match text.get(at)? {
        b'{' => next(text, at + 1),
        _ => return None,
    };
    while *text.get(at)? != b'}' {
        let name_ends = value_end(text, at)?;
        let name = text.get(at + 1..name_ends.checked_sub(1)?)?;
        // Behind the colon.
        let value = next(text, next(text, name_ends) + 1);
        let end = value_end(text, value)?;
        if name.contains(&b'\\') {
            // It may be any name.
            return None;
        }
        members.push((name, value..end));
        at = next(text, end);
        if *text.get(at)? == b',' {
            at = next(text, at + 1);
        }
    }
    Some(members)
}

/// Where the next token begins.
fn next(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the value ends that begins at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0_usize);
    loop {
        match *text.get(at)? {
            b'"' => {
                at += 1;
                while *text.get(at)? != b'"' {
                    at += if *text.get(at)? == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        let is_scalar = |byte: &u8| !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace();
        let last = text.get(at.checked_sub(1)?)?;
        let ends = matches!(last, b'"' | b'}' | b']') || !text.get(at).is_some_and(is_scalar);
        if depth == 0 && ends {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the server gets of this text, with `TRACE` in the place of what was made up.
    fn fed(text: &str, piece: usize) -> String {
        let mut traceparents = Traceparents::default();
        let mut out: Vec<u8> = text
            .as_bytes()
            .chunks(piece)
            .flat_map(|piece| traceparents.feed(piece))
            .collect();
        out.extend(traceparents.finish());
        let mut out = String::from_utf8(out).unwrap();
        while let Some(at) = out.find(":\"00-") {
            out.replace_range(at..at + 58, ":TRACE");
        }
        out
    }

    #[test]
    fn only_requests_without_a_trace_are_given_one() {
        for (line, expected) in [
            (
                r#"{"id":1,"method":"ping"}"#,
                r#"{"params":{"_meta":{"traceparent":TRACE}},"id":1,"method":"ping"}"#,
            ),
            (
                r#" { "method" : "a" , "params" : { } , "id" : "\"}" } "#,
                r#" { "method" : "a" , "params" : {"_meta":{"traceparent":TRACE} } , "id" : "\"}" } "#,
            ),
            (
                r#"{"id":1,"params":{"name":"x\\","n":1.50},"method":"tools/call"}"#,
                r#"{"id":1,"params":{"_meta":{"traceparent":TRACE},"name":"x\\","n":1.50},"method":"tools/call"}"#,
            ),
            (
                r#"{"id":1,"method":"a","params":{"x":[{"_meta":{}}],"_meta":{"progressToken":7}}}"#,
                r#"{"id":1,"method":"a","params":{"x":[{"_meta":{}}],"_meta":{"traceparent":TRACE,"progressToken":7}}}"#,
            ),
            (
                r#"{"id":1,"method":"a","params":{"_meta":{"a":1, "traceparent":"mine" ,"b":2}}}"#,
                r#"{"id":1,"method":"a","params":{"_meta":{"a":1, "traceparent":TRACE ,"b":2}}}"#,
            ),
        ] {
            for piece in [1, 3, 1000] {
                assert_eq!(
                    fed(&format!("{line}\n"), piece),
                    format!("{expected}\n"),
                    "{piece}"
                );
            }
        }
    }

    #[test]
    fn everything_else_passes_byte_for_byte() {
        let long = format!("{{\"id\":1,\"method\":\"{}\"}}", "x".repeat(LONGEST));
        for text in [
            "{\"method\":\"notifications/cancelled\"}\n",
            "{\"id\":1,\"result\":{}}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":{\"_meta\":{\"traceparent\":\"ab-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\"}}}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":{\"_meta\":{\"trac\\u0065parent\":\"mine\"}}}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":[1]}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":null}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":{\"_meta\":3}}\n",
            "{\"id\":1,\"method\":\"a\",\"params\":{},\"params\":{}}\n",
            "[{\"id\":1,\"method\":\"a\"}]\n",
            "{\"id\":1,\"method\":\"a\"\n",
            "not JSON\r\n\n  \n",
            "{\"id\":1,\"method\":\"without an end\"}",
            "Content-Length: 24\r\n\r\n{\"id\":1,\"method\":\"ping\"}{\"id\":1,\"method\":\"ping\"}\n",
            &format!("{long}\n"),
        ] {
            for piece in [7, 100_000] {
                assert!(fed(text, piece) == *text, "{}", text.get(..80).unwrap_or(text));
            }
        }
        // What follows is not affected.
        assert!(
            fed(&format!("{long}\n{{\"id\":1,\"method\":\"a\"}}\n"), 1000).ends_with("\"method\":\"a\"}\n")
        );
        assert!(fed(&format!("{long}\n{{\"id\":1,\"method\":\"a\"}}\n"), 1000).contains("TRACE"));
    }

    #[test]
    fn what_was_added_is_a_traceparent() {
        let out = Traceparents::default().feed(b"{\"id\":1,\"method\":\"ping\"}\n");
        let message: Value = serde_json::from_slice(&out).unwrap();
        let given = message["params"]["_meta"]["traceparent"].as_str().unwrap();
        assert_eq!(given.len(), 55);
        assert_eq!((&message["id"], &message["method"]), (&json!(1), &json!("ping")));
    }
}
