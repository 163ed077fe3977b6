//! Spans and log records of any instrumentation, read into the model's words. Pure: no clock, no I/O.
//!
//! A span is laid out by the attribute names we know ([`keys`]); its instrumentation's peculiarities are looked up
//! ([`dialect`]); then each field is the first of a list of places that holds something ([`method`], [`session`],
//! [`peer`], [`body`], [`failure`]). A span for which a method is found becomes an observation; one of HTTP is kept
//! for joining; some are log lines in disguise; the rest is counted and forgotten.

mod body;
mod dialect;
mod failure;
mod http;
mod keys;
mod log;
mod method;
mod origin;
mod peer;
mod session;
mod span;

use std::collections::{BTreeMap, BTreeSet};

use mcptap_model::redact::{Redactor, Sequence};
use mcptap_model::{Access, Batch, LogLine, SpanId, UnixNanos, semconv};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::arrival::Arrival;
use crate::border;
use crate::country::Countries;
use crate::losses::beginning;
use crate::rejections::{Reason, Rejections};
use origin::Origins;

/// How spans are read, apart from the rules.
#[derive(Debug, Default)]
pub struct Reader {
    /// Countries of addresses.
    pub countries: Countries,
    /// Whether the first hop of `X-Forwarded-For` is believed. Only behind a proxy that sets it.
    pub trust_forwarded_for: bool,
    /// Cuts secrets out of all that is read.
    pub redactor: Redactor,
}

/// What an export comes to.
#[derive(Debug, Default)]
pub struct Normalised {
    /// The records to be stored.
    pub batch: Batch,
    /// Log lines without any time, to be stored with the moment at which they came first.
    pub undated: Vec<LogLine>,
    /// Spans or records that can never be stored.
    pub rejections: Rejections,
    /// MCP spans that tell of no request of their own: notifications, inner steps, duplicates made by libraries.
    pub skipped: u64,
    /// Spans that have nothing to do with MCP.
    pub foreign: u64,
    /// Processes that say that they live ([`Origin::process`](mcptap_model::Origin::process)), and how often each does.
    pub heartbeats: BTreeMap<String, Heard>,
    /// Log records without a trace id, which can belong to no call.
    pub uncorrelated: u64,
}

/// The heartbeats of one process in an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many there are.
    pub count: u64,
    /// The spans that they name as ended ([`semconv::ENDED`]).
    pub ended: BTreeSet<SpanId>,
}

impl Normalised {
    /// Adds a log line, whose time is zero where it has none, as in OTLP.
    fn add(&mut self, line: LogLine) {
        match line.time {
            UnixNanos(0) => self.undated.push(line),
            _ => self.batch.logs.push(line),
        }
    }

    /// Adds a heartbeat. A process is kept once, however many of its heartbeats there are.
    fn hear(&mut self, process: String, heartbeat: &LogRecord) {
        let heard = self.heartbeats.entry(process).or_default();
        heard.count += 1;
        heard.ended.extend(log::ended(heartbeat));
    }
}

/// Returns whether nobody waits for the result any more. Called for every record.
type Stop<'a> = &'a dyn Fn() -> bool;

impl Reader {
    /// Reads a trace export, out of which secrets are cut first. What its sender may not send is dropped before the
    /// work that it would make.
    pub fn traces(
        &self,
        request: &mut ExportTraceServiceRequest,
        arrival: &Arrival,
        sender: &Access,
    ) -> Normalised {
        self.traces_unless(request, arrival, sender, &|| false)
            .unwrap_or_default()
    }

    /// The same; nothing where it was stopped half-way.
    pub(crate) fn traces_unless(
        &self,
        request: &mut ExportTraceServiceRequest,
        arrival: &Arrival,
        sender: &Access,
        stop: Stop<'_>,
    ) -> Option<Normalised> {
        let mut normalised = Normalised::default();
        for group in &mut request.resource_spans {
            border::resource(&self.redactor, group.resource.as_mut(), &mut group.schema_url);
            for of_scope in &mut group.scope_spans {
                border::scope(&self.redactor, of_scope.scope.as_mut(), &mut of_scope.schema_url);
                let origin = Origins::new(group.resource.as_ref(), of_scope.scope.as_ref());
                for span in &mut of_scope.spans {
                    if stop() {
                        return None;
                    }
                    self.take(span, &origin, arrival, sender, &mut normalised);
                }
            }
        }
        Some(normalised)
    }

    /// Reads a log export, as [`traces`](Self::traces) reads spans.
    pub fn logs(
        &self,
        request: &mut ExportLogsServiceRequest,
        arrival: &Arrival,
        sender: &Access,
    ) -> Normalised {
        self.logs_unless(request, arrival, sender, &|| false)
            .unwrap_or_default()
    }

    /// The same; nothing where it was stopped half-way.
    pub(crate) fn logs_unless(
        &self,
        request: &mut ExportLogsServiceRequest,
        arrival: &Arrival,
        sender: &Access,
        stop: Stop<'_>,
    ) -> Option<Normalised> {
        let mut normalised = Normalised::default();
        for group in &mut request.resource_logs {
            border::resource(&self.redactor, group.resource.as_mut(), &mut group.schema_url);
            for of_scope in &mut group.scope_logs {
                border::scope(&self.redactor, of_scope.scope.as_mut(), &mut of_scope.schema_url);
                // One for all records of the scope, which share what it holds.
                let origin = Origins::new(group.resource.as_ref(), of_scope.scope.as_ref());
                let service = origin.service();
                let mut lines = Sequence::default();
                for record in &mut of_scope.log_records {
                    if stop() {
                        return None;
                    }
                    if record.event_name == semconv::CALL_RUNNING {
                        self.take(
                            &mut log::announced(record),
                            &origin,
                            arrival,
                            sender,
                            &mut normalised,
                        );
                        continue;
                    }
                    if !may_send(sender, service) {
                        not_allowed(&mut normalised, sender, "service", service);
                        continue;
                    }
                    if record.event_name == semconv::HEARTBEAT {
                        // A sender that may not send for a service keeps no calls of it running either.
                        normalised.hear(origin.origin().process(), record);
                        continue;
                    }
                    border::log_record(&self.redactor, &mut lines, record);
                    match log::line(record, service, arrival) {
                        Ok(Some(line)) => normalised.add(line),
                        Ok(None) => normalised.uncorrelated += 1,
                        Err((reason, why)) => {
                            normalised.rejections.add(reason, || format!("log record: {why}"));
                        }
                    }
                }
            }
        }
        Some(normalised)
    }

    /// Reads a span that its sender may send, out of which secrets are cut first.
    fn take(
        &self,
        span: &mut Span,
        origin: &Origins<'_>,
        arrival: &Arrival,
        sender: &Access,
        into: &mut Normalised,
    ) {
        if self.is_allowed(span, origin, sender, into) {
            border::span(&self.redactor, span);
            self.span(span, origin, arrival, into);
        }
    }
}

/// Whether a key may send what belongs to that server or service. A key bound to none may send everything.
pub(crate) fn may_send(sender: &Access, name: Option<&str>) -> bool {
    sender.servers().is_empty() || name.is_some_and(|name| sender.reaches(name))
}

/// Counts what a key may not send.
pub(crate) fn not_allowed(into: &mut Normalised, sender: &Access, kind: &str, name: Option<&str>) {
    into.rejections.add(Reason::NotAllowed, || {
        format!(
            "{kind} {:?} is not among those that this API key may send for ({})",
            beginning(name.unwrap_or_default()),
            shown(sender.servers())
        )
    });
}

/// How many servers of a key an answer names.
const SHOWN: usize = 5;

/// The first of some names, and how many more there are.
fn shown(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| beginning(name)).collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use mcptap_model::{ApiKey, Scope, UnixNanos};
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    const RECORDS: usize = 20;

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    }

    fn method() -> KeyValue {
        attribute(
            "mcp.method.name",
            any_value::Value::StringValue("ping".to_owned()),
        )
    }

    fn traces() -> ExportTraceServiceRequest {
        let method = method();
        let span = |number: usize| Span {
            trace_id: vec![7; 16],
            span_id: vec![number as u8 + 1; 8],
            kind: 2,
            start_time_unix_nano: 1_000,
            end_time_unix_nano: 2_000,
            attributes: vec![method.clone()],
            ..Span::default()
        };
        let scope_spans = vec![ScopeSpans {
            spans: (0..RECORDS).map(span).collect(),
            ..ScopeSpans::default()
        }];
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans,
                ..ResourceSpans::default()
            }],
        }
    }

    fn logs() -> ExportLogsServiceRequest {
        let record = LogRecord {
            trace_id: vec![7; 16],
            time_unix_nano: 1_000,
            ..LogRecord::default()
        };
        let scope_logs = vec![ScopeLogs {
            log_records: vec![record; RECORDS],
            ..ScopeLogs::default()
        }];
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs,
                ..ResourceLogs::default()
            }],
        }
    }

    #[test]
    fn reading_ends_when_nobody_waits_for_it() {
        let (reader, arrival) = (Reader::default(), Arrival::replayed(UnixNanos(0)));
        let everybody = Access::everything();
        let (mut traces, mut logs) = (traces(), logs());
        for last in [1, RECORDS / 2, RECORDS] {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() == last
            };
            let read = reader.traces_unless(&mut traces, &arrival, &everybody, &stop);
            assert!(read.is_none() && asked.get() == last, "{last}: {}", asked.get());
            asked.set(0);
            let read = reader.logs_unless(&mut logs, &arrival, &everybody, &stop);
            assert!(read.is_none() && asked.get() == last, "{last}: {}", asked.get());
        }
        let whole = reader.traces(&mut traces, &arrival, &everybody);
        assert_eq!(whole.batch.observations.len(), RECORDS);
    }

    #[test]
    fn what_one_record_of_a_scope_begins_goes_on_in_the_next() {
        let line = "aZ3xQ9kT7wB1mC5vR8nD2pF6sG4hJ0yL".repeat(2);
        let said = [
            "-----BEGIN PRIVATE KEY-----",
            &line,
            "aZ3xQ9kT7wB1mC5vR8nD2p==",
            "-----END PRIVATE KEY-----",
            "Enter password:",
            "kV9zQ2mLw7",
        ];
        let mut request = logs();
        let of_scope = &mut request.resource_logs[0].scope_logs[0];
        of_scope.log_records.truncate(said.len());
        for (record, text) in of_scope.log_records.iter_mut().zip(said) {
            record.body = Some(AnyValue {
                value: Some(any_value::Value::StringValue(text.to_owned())),
            });
        }
        // Another scope is another writer: there it is the last word of nothing.
        let mut other = of_scope.clone();
        other.log_records.drain(..5);
        request.resource_logs[0].scope_logs.push(other);
        let arrival = Arrival::replayed(UnixNanos(0));
        let read = Reader::default().logs(&mut request, &arrival, &Access::everything());
        let bodies: Vec<&str> = read.batch.logs.iter().map(|line| line.body.as_str()).collect();
        let cut = mcptap_model::redact::REDACTED;
        assert_eq!(bodies, [cut, cut, cut, said[3], said[4], cut, said[5]]);
    }

    #[test]
    fn heartbeats_of_others_are_rejected() {
        let mut request = logs();
        let beating = &mut request.resource_logs[0];
        beating.scope_logs[0].log_records.truncate(1);
        beating.scope_logs[0].log_records[0].event_name = semconv::HEARTBEAT.to_owned();
        let named = |name: &str| ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute(
                    semconv::SERVICE_NAME,
                    any_value::Value::StringValue(name.to_owned()),
                )],
                ..Resource::default()
            }),
            ..request.resource_logs[0].clone()
        };
        let mut request = ExportLogsServiceRequest {
            resource_logs: vec![named("shop"), named("bank"), request.resource_logs[0].clone()],
        };
        let arrival = Arrival::replayed(UnixNanos(0));
        let sender = Access::of(Arc::new(ApiKey {
            id: 1,
            name: "of a shop".to_owned(),
            scopes: vec![Scope::Ingest],
            servers: vec!["shop".to_owned()],
            created_at: UnixNanos(0),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }));
        let read = Reader::default().logs(&mut request, &arrival, &sender);
        let heard = Heard {
            count: 1,
            ended: BTreeSet::new(),
        };
        assert_eq!(read.heartbeats, BTreeMap::from([("4:shop".to_owned(), heard)]));
        assert_eq!(read.rejections.of(Reason::NotAllowed), 2);
    }

    #[test]
    fn records_of_a_scope_share_its_origin_and_a_process_is_heard_once() {
        let mut request = logs();
        let records = &mut request.resource_logs[0].scope_logs[0].log_records;
        for (number, record) in records.iter_mut().enumerate() {
            record.span_id = vec![number as u8 + 1; 8];
            record.event_name = semconv::CALL_RUNNING.to_owned();
            record.attributes = vec![
                method(),
                attribute(semconv::SPAN_KIND, any_value::Value::IntValue(2)),
            ];
        }
        let text = |text: &str| AnyValue {
            value: Some(any_value::Value::StringValue(text.to_owned())),
        };
        let ids = |ids: &[&str]| {
            let values = ids.iter().map(|id| text(id)).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        };
        // One of them names nothing that is a span.
        let ended = [
            ids(&["000000000000000a", "000000000000000b"]),
            ids(&[
                "000000000000000B",
                "no id",
                "",
                "0000000000000000",
                "000000000000000c",
            ]),
            text("000000000000000d").value.unwrap(),
        ];
        for ended in ended {
            records.push(LogRecord {
                event_name: semconv::HEARTBEAT.to_owned(),
                attributes: vec![attribute(semconv::ENDED, ended)],
                ..LogRecord::default()
            });
        }
        let arrival = Arrival::replayed(UnixNanos(0));
        let read = Reader::default().logs(&mut request, &arrival, &Access::everything());
        let origins: Vec<_> = read
            .batch
            .observations
            .iter()
            .map(|observation| &observation.call.origin)
            .collect();
        assert_eq!(origins.len(), RECORDS);
        assert!(origins.iter().all(|origin| Arc::ptr_eq(origin, origins[0])));
        let heard = Heard {
            count: 3,
            ended: [10, 11, 12]
                .map(|last| SpanId::from_bytes(&[0, 0, 0, 0, 0, 0, 0, last]).unwrap())
                .into(),
        };
        assert_eq!(read.heartbeats, BTreeMap::from([(String::new(), heard)]));
    }
}
