//! Secrets that only the order of lines tells, and secrets at the ends of what is kept.

use opentelemetry_sdk::logs::{InMemoryLogExporter, SdkLoggerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde_json::{Value, json};

use super::*;
use crate::capture::Capture;
use crate::recorder::Recorder;

/// The bytes of a body that are kept.
const BODY_CAP: usize = 8 * 1024;

/// A pipe, and everything that is recorded of it.
struct Watched {
    pipe: Pipe,
    spans: InMemorySpanExporter,
    logs: InMemoryLogExporter,
    _providers: (SdkTracerProvider, SdkLoggerProvider),
}

impl Watched {
    fn new() -> Self {
        let (spans, logs) = (InMemorySpanExporter::default(), InMemoryLogExporter::default());
        let tracer = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let logger = SdkLoggerProvider::builder()
            .with_simple_exporter(logs.clone())
            .build();
        let capture = Capture::full().body_cap(BODY_CAP);
        let recorder = Recorder::given(&tracer, Some(&logger));
        Self {
            pipe: Pipe::new(Observer::new(recorder.with(capture))),
            spans,
            logs,
            _providers: (tracer, logger),
        }
    }

    fn client(&self, message: &Value) {
        self.pipe.from_client(format!("{message}\n").as_bytes());
    }

    fn server(&self, message: &Value) {
        self.pipe.from_server(format!("{message}\n").as_bytes());
    }

    fn call(&self, arguments: &Value) {
        self.client(&json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "t", "arguments": arguments, "_meta": {"progressToken": 5}},
        }));
    }

    /// Whatever was recorded.
    fn recorded(self) -> String {
        self.pipe.close("the test ends");
        let (spans, logs) = (
            self.spans.get_finished_spans().unwrap(),
            self.logs.get_emitted_logs().unwrap(),
        );
        format!("{spans:?}\n{logs:?}")
    }
}

/// One way for a line of text to be recorded.
type Say = fn(&Watched, &str);

const LINES: [(&str, Say); 3] = [
    ("standard error", |watched, line| {
        watched.pipe.from_stderr(format!("{line}\n").as_bytes());
    }),
    ("standard output", |watched, line| {
        watched.pipe.from_server(format!("{line}\n").as_bytes());
    }),
    ("messages", |watched, line| {
        watched.server(&json!({
            "jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": line},
        }));
    }),
];

/// The last line of a key, which only those before it tell.
const LAST: &str = "aZ3xQ9kT7wB1mC5vR8nD2p==";

fn key() -> [String; 4] {
    [
        "-----BEGIN PRIVATE KEY-----".to_owned(),
        "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL".repeat(2),
        LAST.to_owned(),
        "-----END PRIVATE KEY-----".to_owned(),
    ]
}

#[test]
fn a_key_that_comes_line_by_line_is_cut() {
    for (name, say) in LINES {
        for prefix in ["", "12:00:00 INFO "] {
            let watched = Watched::new();
            watched.call(&json!({}));
            for line in key() {
                say(&watched, &format!("{prefix}{line}"));
            }
            say(&watched, "that was all");
            let recorded = watched.recorded();
            assert!(recorded.contains("that was all"), "{name}: {recorded}");
            for line in &key()[1..3] {
                assert!(
                    !recorded.contains(line.trim_end_matches('=')),
                    "{name}: {recorded}"
                );
            }
        }
    }
}

#[test]
fn a_password_in_the_line_below_its_name_is_cut() {
    for (name, say) in LINES {
        let watched = Watched::new();
        watched.call(&json!({}));
        for line in ["Enter password:", "kV9zQ2mLw7", "that was all"] {
            say(&watched, line);
        }
        let recorded = watched.recorded();
        assert!(recorded.contains("that was all"), "{name}: {recorded}");
        assert!(!recorded.contains("kV9zQ2mLw7"), "{name}: {recorded}");
    }
}

#[test]
fn lines_of_several_streams_do_not_interrupt_each_other() {
    let watched = Watched::new();
    watched.call(&json!({}));
    for line in key() {
        for (_, say) in LINES {
            say(&watched, &line);
        }
    }
    let recorded = watched.recorded();
    assert!(!recorded.contains(LAST.trim_end_matches('=')), "{recorded}");
    assert_eq!(recorded.matches("-----END PRIVATE KEY").count(), LINES.len());
}

/// Each text of which the beginning is kept, with how much of it.
const CAPS: [(&str, usize, Say); 10] = [
    ("standard error", LONGEST_LINE, |watched, text| {
        watched.pipe.from_stderr(format!("{text}\n").as_bytes());
    }),
    ("standard output", 2 * 1024, |watched, text| {
        watched.pipe.from_server(format!("{text}\n").as_bytes());
    }),
    ("message", 64 * 1024, |watched, text| {
        watched.server(&json!({"method": "notifications/message", "params": {"data": text}}));
    }),
    ("logger", 4 * 1024, |watched, text| {
        watched.server(
            &json!({"method": "notifications/message", "params": {"logger": text, "data": "filler"}}),
        );
    }),
    ("progress", 4 * 1024, |watched, text| {
        let params = json!({"progressToken": 5, "progress": 1, "message": text});
        watched.server(&json!({"method": "notifications/progress", "params": params}));
    }),
    ("reason", 4 * 1024, |watched, text| {
        let params = json!({"requestId": 1, "reason": text});
        watched.client(&json!({"method": "notifications/cancelled", "params": params}));
    }),
    ("error", 64 * 1024, |watched, text| {
        watched.server(&json!({"id": 1, "error": {"code": -32000, "message": text}}));
    }),
    ("result", BODY_CAP, |watched, text| {
        watched.server(&json!({"id": 1, "result": {"content": [{"type": "text", "text": text}]}}));
    }),
    ("arguments", BODY_CAP, |watched, text| {
        watched.client(&json!({"id": 2, "method": "tools/call", "params": {"name": "u", "arguments": text}}));
    }),
    ("resource", 4 * 1024, |watched, text| {
        watched.client(&json!({"id": 2, "method": "resources/read", "params": {"uri": text}}));
    }),
];

#[test]
fn a_token_at_the_end_of_what_is_kept_is_not_kept_in_part() {
    let token = ["gh", "p_", "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yLaZ3x"].concat();
    for (name, cap, say) in CAPS {
        // Wherever the value begins, one of these tokens is at the cap.
        for begin in (cap - 90..=cap).step_by(15) {
            let text = format!("{}{token}", "filler ".repeat(begin.div_ceil(7)));
            let watched = Watched::new();
            watched.call(&json!({}));
            say(&watched, &text);
            // A whole one is cut where it is exported.
            let recorded = watched.recorded().replace(&token, "");
            assert!(recorded.contains("filler"), "{name} is not recorded: {recorded}");
            assert!(!recorded.contains(&token[..6]), "{name} at {begin}");
        }
    }
}
