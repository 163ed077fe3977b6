//! The one way in, under both transports: read within bounds, store, answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcptap_model::{Access, Batch, UnixNanos};
use mcptap_store::{Gate, MemoryBudget, Packed, Reservation, Writer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::arrival::Arrival;
use crate::codec::{Accepted, Encoding, Signal};
use crate::decode::{self, Decoded, decode};
use crate::first_arrivals::FirstArrivals;
use crate::guard::keep_own;
use crate::inflate::Codings;
use crate::normalise::{Normalised, Reader};
use crate::receive::Received;
use crate::rejections::{Reason, Rejections};
use crate::status::Refusal;
use crate::undated::Undated;

/// Receives OTLP and writes calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector {
    writer: Writer,
    reader: Arc<Reader>,
    counters: Arc<Counters>,
    arrivals: Arc<FirstArrivals>,
    gate: Option<Gate>,
    retention: Option<Duration>,
}

/// What was received, since the start. For `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Spans received.
    pub spans: AtomicU64,
    /// Of them, spans of MCP requests.
    pub mcp_spans: AtomicU64,
    /// Of them, HTTP spans, used for joining only.
    pub http_spans: AtomicU64,
    /// Of them, MCP spans that tell of no request: notifications, inner steps.
    pub skipped_spans: AtomicU64,
    /// Of them, spans that have nothing to do with MCP.
    pub foreign_spans: AtomicU64,
    /// Of them, spans that can never be stored.
    pub rejected_spans: AtomicU64,
    /// Log records received.
    pub log_records: AtomicU64,
    /// Of them, records without a trace id, which can belong to no call.
    pub uncorrelated_log_records: AtomicU64,
    /// Of them, records that can never be stored.
    pub rejected_log_records: AtomicU64,
    /// Metric exports answered without storing anything.
    pub metric_exports: AtomicU64,
    /// Values that could not be read, such as attributes. Their records are stored without them.
    pub unreadable_values: AtomicU64,
    /// Exports refused, for whatever reason.
    pub refused_exports: AtomicU64,
    /// Spans and log records rejected, by reason.
    rejections: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    /// How many spans and log records were rejected for that reason.
    pub fn rejected_for(&self, reason: Reason) -> u64 {
        let counter = self.rejections.get(reason as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    fn reject(&self, rejections: &Rejections) {
        for (counter, reason) in self.rejections.iter().zip(Reason::ALL) {
            Self::add(counter, rejections.of(reason));
        }
    }
}

/// An export as it came.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) signal: Signal,
    pub(crate) encoding: Encoding,
    pub(crate) codings: Codings,
    pub(crate) received: Received,
}

/// An export, read: the records to be stored, and those that the answer rejects.
struct Ready {
    records: Option<Records>,
    rejections: Rejections,
}

/// Records to be stored.
enum Records {
    /// With the memory they take.
    Packed(Packed, Reservation),
    /// Some are still to be given a time.
    Undated(Undated),
}

/// An export of somebody who may send, until it is read. Where its sender leaves first, nobody knows what was in it.
struct Unread<'a>(Option<&'a Writer>);

impl Unread<'_> {
    /// It was read, or its refusal is [told](Collector::refused).
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.0 {
            writer.missed();
        }
    }
}

impl Collector {
    /// A collector that reads spans with `reader` and stores through `writer`, whatever their age.
    pub fn new(writer: Writer, reader: Reader) -> Self {
        Self {
            writer,
            reader: Arc::new(reader),
            counters: Arc::default(),
            arrivals: Arc::default(),
            gate: None,
            retention: None,
        }
    }

    /// The same, letting in only whom the gate lets in with scope `ingest`. Without one, everybody may send.
    pub fn guarded(self, gate: Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    /// The same, rejecting what began longer ago than calls are kept: it would never be seen.
    pub fn keeping(self, retention: Option<Duration>) -> Self {
        Self { retention, ..self }
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The budget that bodies are read within.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        self.writer.memory()
    }

    /// The records received so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stores what the sender may send of an export; answered after the commit. The work is done on the writer's threads
    /// for it, so that nothing else waits.
    pub(crate) async fn export(&self, export: Export, sender: Access) -> Result<Accepted, Refusal> {
        if export.signal == Signal::Metrics {
            let reading = self.writer.cpu();
            reading.run(move |_| judge_metrics(export)).await??;
            Counters::add(&self.counters.metric_exports, 1);
            // Nothing is stored, and the sender is told so without an error.
            return Ok(Accepted {
                rejected: 0,
                message: "mcptap keeps traces and logs; metrics are not stored".to_owned(),
            });
        }
        let signal = export.signal;
        let collector = self.clone();
        let unread = Unread(Some(&self.writer));
        let reading = self.writer.cpu();
        let read = reading.run(move |cancelled| collector.read(export, &sender, &|| cancelled.get()));
        let read = read.await;
        unread.answered();
        let Ready {
            records,
            mut rejections,
        } = read??;
        let mut storing = None;
        let packed = match records {
            Some(Records::Packed(packed, held)) => Some((packed, held)),
            Some(Records::Undated(undated)) => {
                let begun = self.arrivals.begin(undated.export, undated.at);
                let dated = self.date(undated, begun.first).await?;
                // The events of a span come again with their span, however often.
                storing = Some(begun).filter(|_| signal == Signal::Logs);
                Some(dated)
            }
            None => None,
        };
        if let Some((packed, held)) = packed {
            let written = self.writer.send(packed, held).await?;
            if let Some(storing) = storing {
                storing.stored();
            }
            let mut refused = Rejections::default();
            for rejected in written.rejected {
                let text = || format!("the database cannot store it: {}", rejected.reason);
                refused.add_many(Reason::Refused, rejected.records, text);
            }
            refused.add_many(Reason::Foreign, written.foreign, || {
                "a span of another sender has its trace and span id".to_owned()
            });
            self.counters.reject(&refused);
            let counter = match signal {
                Signal::Logs => &self.counters.rejected_log_records,
                _ => &self.counters.rejected_spans,
            };
            Counters::add(counter, refused.total());
            rejections.merge(refused);
        }
        Ok(Accepted {
            rejected: i64::try_from(rejections.total()).unwrap_or(i64::MAX),
            message: rejections.to_string(),
        })
    }

    /// Gives records the time at which they came first.
    async fn date(&self, undated: Undated, first: UnixNanos) -> Result<(Packed, Reservation), Refusal> {
        let writer = self.writer.clone();
        let packing = self.writer.cpu().run(move |_| {
            let (batch, held) = undated.dated(first);
            pack(&writer, batch, held)
        });
        packing.await?
    }

    /// Counts a refusal. One that tells the sender to come again may keep heartbeats away for a while.
    pub(crate) fn refused(&self, comes_again: bool) {
        Counters::add(&self.counters.refused_exports, 1);
        if comes_again {
            self.writer.missed();
        }
    }

    /// Everything that is to be done before an export is queued. Memory is reserved before it is taken. It ends early where
    /// nobody waits any more: nothing was promised to that sender.
    fn read(&self, export: Export, sender: &Access, stop: &dyn Fn() -> bool) -> Result<Ready, Refusal> {
        let unwanted = || Refusal::Unavailable("nobody waits for the answer".to_owned());
        let Export {
            signal,
            encoding,
            codings,
            received: Received { body, mut held },
        } = export;
        let body = codings.undo(body, &mut held)?;
        held.resize(body.capacity())?;
        if stop() {
            return Err(unwanted());
        }
        let (mut decoded, mut losses) = decode(encoding, signal == Signal::Logs, &body, &mut held)?;
        drop(body);
        let arrival = Arrival::now(self.retention);
        let normalised = match &mut decoded {
            Decoded::Traces(request) => self.reader.traces_unless(request, &arrival, sender, stop),
            Decoded::Logs(request) => self.reader.logs_unless(request, &arrival, sender, stop),
        };
        let mut normalised = normalised.ok_or_else(unwanted)?;
        Counters::add(&self.counters.unreadable_values, losses.values.count);
        // It names attributes as they came.
        if let Some(text) = &mut losses.values.example {
            self.reader.redactor.redact_in_place(text);
        }
        normalised.rejections.lose(losses);
        keep_own(sender, &mut normalised);
        self.count(&decoded, &normalised);
        for (process, heard) in &normalised.heartbeats {
            self.writer.heard(process);
            self.writer.ended(process, heard.ended.iter().copied());
        }
        drop(decoded);
        let Normalised {
            batch,
            undated,
            rejections,
            ..
        } = normalised;
        let records = if !undated.is_empty() {
            Some(Records::Undated(Undated::new(batch, undated, arrival.at, held)))
        } else if !batch.is_empty() {
            let (packed, held) = pack(&self.writer, batch, held)?;
            Some(Records::Packed(packed, held))
        } else {
            None
        };
        Ok(Ready { records, rejections })
    }

    fn count(&self, decoded: &Decoded, normalised: &Normalised) {
        let counters = &self.counters;
        let rejected = normalised.rejections.total();
        counters.reject(&normalised.rejections);
        match decoded {
            Decoded::Traces(request) => {
                let unreadable = normalised.rejections.of(Reason::Unreadable);
                Counters::add(&counters.spans, spans(request) + unreadable);
                Counters::add(&counters.mcp_spans, normalised.batch.observations.len() as u64);
                Counters::add(&counters.http_spans, normalised.batch.https.len() as u64);
                Counters::add(&counters.skipped_spans, normalised.skipped);
                Counters::add(&counters.foreign_spans, normalised.foreign);
                Counters::add(&counters.rejected_spans, rejected);
            }
            Decoded::Logs(_) => {
                let lines = normalised.batch.logs.len() + normalised.undated.len();
                let received = lines as u64
                    + normalised.batch.observations.len() as u64
                    + normalised
                        .heartbeats
                        .values()
                        .map(|heard| heard.count)
                        .sum::<u64>()
                    + normalised.uncorrelated
                    + rejected;
                Counters::add(&counters.log_records, received);
                Counters::add(&counters.uncorrelated_log_records, normalised.uncorrelated);
                Counters::add(&counters.rejected_log_records, rejected);
            }
        }
    }
}

/// Refuses an export of another signal that was sent as metrics. What cannot be unpacked is lost as metrics are.
fn judge_metrics(export: Export) -> Result<(), Refusal> {
    let Received { body, mut held } = export.received;
    let Ok(body) = export.codings.undo(body, &mut held) else {
        return Ok(());
    };
    held.resize(body.capacity())?;
    decode::judge_metrics(export.encoding, &body, &mut held)
}

/// Makes records ready for the queue. From now on they take as much memory as that.
fn pack(writer: &Writer, batch: Batch, mut held: Reservation) -> Result<(Packed, Reservation), Refusal> {
    let packed = writer.pack(batch);
    held.resize(packed.bytes())?;
    Ok((packed, held))
}

fn spans(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}
