//! How much of a record is kept: names, texts, attributes and bodies are cut to bounds, marked and counted; and how much
//! memory the rest takes.

use std::collections::HashMap;
use std::sync::Arc;

use mcptap_model::{
    Batch, HttpSpan, LogLine, MAX_NAME, Observation, Origin, Payload, SpanRef, TextKind, TextVisitor,
    cut_name,
};
use serde_json::{Map, Value};

use crate::rows::body;

/// The longest URI.
const URI: usize = 8 << 10;
/// The longest error message.
const MESSAGE: usize = 64 << 10;
/// The longest stack trace.
const STACK_TRACE: usize = 256 << 10;
/// The largest value of an attribute; a structure counts as its JSON.
const VALUE: usize = 64 << 10;
/// How many bytes the attributes of one record may have together.
const ATTRIBUTES: usize = 256 << 10;
/// How many attributes one record may have.
const COUNT: usize = 512;
/// The attribute that tells how many others were dropped.
const DROPPED: &str = "mcptap.dropped_attributes";
/// The longest mark of a text that was cut.
const CUT_MARK: usize = 40;

/// What was cut of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cuts {
    /// Names.
    pub(crate) names: u64,
    /// Messages, stack traces, URIs, log bodies and values of attributes.
    pub(crate) texts: u64,
    /// Attributes that were dropped.
    pub(crate) attributes: u64,
}

/// Cuts a text to `cap` bytes at a character's end, and says at its end how much is missing.
fn cut_text(text: &mut String, cap: usize) -> bool {
    if text.len() <= cap {
        return false;
    }
    let before = text.len();
    truncate(text, cap.saturating_sub(CUT_MARK));
    let mark = format!("…[{} bytes cut]", before - text.len());
    if text.len() + mark.len() <= cap {
        text.reserve_exact(mark.len());
        text.push_str(&mark);
    }
    true
}

fn truncate(text: &mut String, most: usize) {
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text.shrink_to_fit();
}

/// Cuts what is too large in a batch; how many bytes of memory the batch takes then, and what was cut.
pub(crate) fn bound(batch: &mut Batch, body_cap: usize) -> (usize, Cuts) {
    let mut bounds = Bounds {
        body_cap,
        bytes: 0,
        cuts: Cuts::default(),
    };
    let mut origins = HashMap::new();
    for observation in &mut batch.observations {
        bounds.bytes += size_of::<Observation>() + observation.links.len() * size_of::<SpanRef>();
        bounds.origin(&mut observation.call.origin, &mut origins);
        observation.texts(&mut bounds);
    }
    for http in &mut batch.https {
        bounds.bytes += size_of::<HttpSpan>();
        bounds.origin(&mut http.origin, &mut origins);
        http.texts(&mut bounds);
    }
    for line in &mut batch.logs {
        bounds.bytes += size_of::<LogLine>();
        line.texts(&mut bounds);
    }
    (bounds.bytes, bounds.cuts)
}

struct Bounds {
    body_cap: usize,
    bytes: usize,
    cuts: Cuts,
}

impl Bounds {
    /// Bounds an origin once for all that share it.
    fn origin(&mut self, origin: &mut Arc<Origin>, seen: &mut HashMap<usize, (Arc<Origin>, Arc<Origin>)>) {
        let address = Arc::as_ptr(origin) as usize;
        let (_, bounded) = seen.entry(address).or_insert_with(|| {
            let mut bounded = Origin::clone(origin);
            let cuts = self.cuts;
            self.bytes += size_of::<Origin>();
            bounded.texts(self);
            let bounded = if self.cuts == cuts {
                Arc::clone(origin)
            } else {
                Arc::new(bounded)
            };
            // The first is held so that no other gets its address meanwhile.
            (Arc::clone(origin), bounded)
        });
        *origin = Arc::clone(bounded);
    }
}

impl TextVisitor for Bounds {
    fn text(&mut self, kind: TextKind, text: &mut String) {
        let cap = match kind {
            TextKind::Name => {
                self.cuts.names += u64::from(cut_name(text));
                usize::MAX
            }
            TextKind::Uri => URI,
            TextKind::Message => MESSAGE,
            TextKind::StackTrace => STACK_TRACE,
            // A log line may be as long as a body.
            TextKind::LogBody => self.body_cap,
        };
        self.cuts.texts += u64::from(cut_text(text, cap));
        self.bytes += text.capacity();
    }

    fn body(&mut self, payload: &mut Payload) {
        body::cut(payload, self.body_cap);
        self.bytes += payload.text.capacity();
    }

    fn attributes(&mut self, attributes: &mut Map<String, Value>) {
        let mut cuts = Cuts::default();
        let (mut total, mut count, mut dropped) = (0, 0_usize, 0_u64);
        let is_long = |name: &String| name.len() > MAX_NAME;
        if attributes.keys().any(is_long) {
            let renamed = std::mem::take(attributes).into_iter().map(|(mut name, value)| {
                cuts.names += u64::from(cut_name(&mut name));
                (name, value)
            });
            *attributes = renamed.collect();
        }
        // The name is ours: of a sender it may say a number, as in what was bounded before, and nothing else.
        let before = attributes.remove(DROPPED).map_or(0, |told| {
            told.as_u64().unwrap_or_else(|| {
                dropped += 1;
                0
            })
        });
        attributes.retain(|name, value| {
            cuts.texts += u64::from(cut_value(value));
            let bytes = name.len() + size_of::<(String, Value)>() + heap(value);
            let kept = count < COUNT && total + bytes <= ATTRIBUTES;
            if kept {
                count += 1;
                total += bytes;
            } else {
                dropped += 1;
            }
            kept
        });
        let told = before.saturating_add(dropped);
        if told > 0 {
            total += DROPPED.len() + size_of::<(String, Value)>();
            attributes.insert(DROPPED.to_owned(), told.into());
        }
        self.cuts.names += cuts.names;
        self.cuts.texts += cuts.texts;
        self.cuts.attributes += dropped;
        self.bytes += total;
    }
}

/// Cuts a value that is too large; a structure becomes the beginning of its JSON.
fn cut_value(value: &mut Value) -> bool {
    match value {
        Value::String(text) => cut_text(text, VALUE),
        Value::Array(_) | Value::Object(_) if heap(value) > VALUE => {
            let mut text = value.to_string();
            cut_text(&mut text, VALUE);
            *value = Value::String(text);
            true
        }
        _ => false,
    }
}

/// About how many bytes a value takes besides itself.
fn heap(value: &Value) -> usize {
    match value {
        Value::String(text) => text.capacity(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + heap(item)).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| size_of::<(String, Value)>() + name.capacity() + heap(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::{SpanKind, UnixNanos};
    use serde_json::json;

    use super::*;

    fn http(origin: &Arc<Origin>, session: &str) -> HttpSpan {
        HttpSpan {
            trace_id: mcptap_model::TraceId::from_bytes(&[1; 16]).unwrap(),
            span_id: mcptap_model::SpanId::from_bytes(&[1; 8]).unwrap(),
            parent_span_id: None,
            kind: SpanKind::Server,
            origin: Arc::clone(origin),
            started_at: UnixNanos(1),
            ended_at: UnixNanos(2),
            http_status: None,
            client_ip: None,
            country: None,
            authorization: None,
            user_agent: None,
            session_id: Some(session.to_owned()),
            protocol_version: None,
        }
    }

    fn line(body: String, attributes: Value) -> LogLine {
        LogLine {
            trace_id: mcptap_model::TraceId::from_bytes(&[1; 16]).unwrap(),
            span_id: None,
            service: None,
            time: UnixNanos(1),
            severity: "INFO".to_owned(),
            body,
            attributes: attributes.as_object().cloned().unwrap(),
        }
    }

    #[test]
    fn everything_is_bounded_marked_counted_and_weighed() {
        let many: Map<String, Value> = (0..600)
            .map(|number| (number.to_string(), number.into()))
            .collect();
        let long = "é".repeat(1 << 20);
        let origin = Arc::new(Origin {
            service: Some("s".repeat(5000)),
            resource: many.clone(),
            ..Origin::default()
        });
        let numbers: Vec<u32> = (0..100_000).collect();
        let mut batch = Batch {
            https: vec![http(&origin, &long), http(&origin, "short")],
            logs: vec![
                line(
                    long.clone(),
                    json!({ "text": long, "list": numbers, "small": [1, 2] }),
                ),
                line(String::new(), Value::Object(many)),
            ],
            ..Batch::default()
        };
        let (bytes, cuts) = bound(&mut batch, 1000);
        assert_eq!((cuts.names, cuts.texts, cuts.attributes), (2, 3, 88 + 88));
        let [one, two] = &batch.https[..] else {
            unreachable!()
        };
        assert!(Arc::ptr_eq(&one.origin, &two.origin));
        assert_eq!(one.origin.service.as_ref().unwrap().len(), MAX_NAME);
        assert_eq!(one.origin.resource.get(DROPPED), Some(&json!(88)));
        let [log, _] = &batch.logs[..] else { unreachable!() };
        assert!(log.body.ends_with("bytes cut]") && log.body.len() <= 1000);
        let text = |name: &str| log.attributes[name].as_str().unwrap();
        assert!(text("text").ends_with("bytes cut]") && text("text").len() <= VALUE);
        assert!(text("list").starts_with("[0,1,") && text("list").len() <= VALUE);
        assert_eq!(log.attributes["small"], json!([1, 2]));
        assert!((130_000..600_000).contains(&bytes), "{bytes}");
        // Once is enough.
        assert_eq!(bound(&mut batch, 1000).1, Cuts::default());
    }

    #[test]
    fn the_number_of_dropped_attributes_holds_nothing_else() {
        let large = "x".repeat(1 << 20);
        for (sent, told) in [
            (json!(large), 1),
            (json!([large]), 1),
            (json!({ "text": large }), 1),
            (json!(-1), 1),
            (json!(1.5), 1),
            (json!(7), 7),
            (json!(u64::MAX), u64::MAX),
        ] {
            let attributes = json!({ DROPPED: sent, "kept": 1 });
            let mut batch = Batch {
                logs: vec![line(String::new(), attributes)],
                ..Batch::default()
            };
            let (bytes, cuts) = bound(&mut batch, 1000);
            let kept = json!({ DROPPED: told, "kept": 1 });
            assert_eq!(Value::Object(batch.logs[0].attributes.clone()), kept);
            assert_eq!(cuts.attributes, u64::from(told == 1));
            assert!((100..2000).contains(&bytes), "{bytes}");
            assert_eq!(bound(&mut batch, 1000), (bytes, Cuts::default()));
        }
    }

    #[test]
    fn attributes_are_bounded_together() {
        let values: Map<String, Value> = (0..100)
            .map(|number| (number.to_string(), "x".repeat(VALUE).into()))
            .collect();
        let mut batch = Batch {
            logs: vec![line(String::new(), Value::Object(values))],
            ..Batch::default()
        };
        let (bytes, cuts) = bound(&mut batch, 1000);
        assert!(
            cuts.attributes > 90 && bytes < ATTRIBUTES + 1000,
            "{cuts:?} {bytes}"
        );
    }
}
