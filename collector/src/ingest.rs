//! The one way in, under both transports: read, store, answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use mcptap_model::{Access, UnixNanos};
use mcptap_store::{Gate, Writer};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::codec::Accepted;
use crate::guard::keep_own;
use crate::normalise::{Normalised, Reader};
use crate::status::Refusal;

/// At most so many reasons are told of rejected spans, each once.
const REASONS_TOLD: usize = 3;

/// Receives OTLP and writes calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector {
    writer: Writer,
    reader: Arc<Reader>,
    counters: Arc<Counters>,
    gate: Option<Gate>,
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
    /// Metric exports answered without storing anything.
    pub metric_exports: AtomicU64,
    /// Exports refused, for whatever reason.
    pub refused_exports: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Collector {
    /// A collector that reads spans with `reader` and stores through `writer`.
    pub fn new(writer: Writer, reader: Reader) -> Self {
        Self {
            writer,
            reader: Arc::new(reader),
            counters: Arc::default(),
            gate: None,
        }
    }

    /// The same, letting in only whom the gate lets in with scope `ingest`. Without one, everybody may send.
    pub fn guarded(self, gate: Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// What was received so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stores of a trace export what the sender may send; answered after the commit.
    pub async fn traces(
        &self,
        request: &ExportTraceServiceRequest,
        sender: &Access,
    ) -> Result<Accepted, Refusal> {
        let mut normalised = self.reader.traces(request, now());
        keep_own(sender, &mut normalised);
        let scopes = request
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        let counters = &self.counters;
        Counters::add(&counters.spans, spans as u64);
        Counters::add(&counters.mcp_spans, normalised.batch.observations.len() as u64);
        Counters::add(&counters.http_spans, normalised.batch.https.len() as u64);
        Counters::add(&counters.skipped_spans, normalised.skipped);
        Counters::add(&counters.foreign_spans, normalised.foreign);
        Counters::add(&counters.rejected_spans, normalised.rejections.len() as u64);
        self.store(normalised).await
    }

    /// Stores of a log export what the sender may send; answered after the commit.
    pub async fn logs(
        &self,
        request: &ExportLogsServiceRequest,
        sender: &Access,
    ) -> Result<Accepted, Refusal> {
        let mut normalised = self.reader.logs(request);
        keep_own(sender, &mut normalised);
        Counters::add(
            &self.counters.log_records,
            normalised.batch.logs.len() as u64 + normalised.uncorrelated,
        );
        Counters::add(&self.counters.uncorrelated_log_records, normalised.uncorrelated);
        self.store(normalised).await
    }

    /// Answers a metric export: nothing is stored, and the sender is told so without an error.
    pub fn metrics(&self) -> Accepted {
        Counters::add(&self.counters.metric_exports, 1);
        Accepted {
            rejected: 0,
            message: "mcptap keeps traces and logs; metrics are not stored".to_owned(),
        }
    }

    /// Counts a refusal that a transport made by itself.
    pub(crate) fn refused(&self) {
        Counters::add(&self.counters.refused_exports, 1);
    }

    async fn store(&self, normalised: Normalised) -> Result<Accepted, Refusal> {
        let mut rejected = normalised.rejections.len();
        let mut rejections = normalised.rejections;
        if !normalised.batch.is_empty() {
            let written = self.writer.write(normalised.batch).await?;
            for unstorable in written.rejected {
                rejected += unstorable.records;
                rejections.push(unstorable.reason);
            }
        }
        let mut reasons: Vec<String> = Vec::new();
        let mut untold = 0_usize;
        for reason in rejections {
            if reasons.contains(&reason) {
                continue;
            }
            if reasons.len() < REASONS_TOLD {
                reasons.push(reason);
            } else {
                untold += 1;
            }
        }
        if untold > 0 {
            reasons.push(format!("and {untold} more"));
        }
        Ok(Accepted {
            rejected: i64::try_from(rejected).unwrap_or(i64::MAX),
            message: reasons.join("; "),
        })
    }
}

fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
