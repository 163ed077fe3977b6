//! OpenTelemetry's side of the queue: finished spans and log records come in here, on the server's own threads.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::ledger::Ledger;
use super::queue::{Queue, Record};

/// How long a flush waits for the collector.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Puts everything into the queue, and never waits. Stopping is the guard's business: a provider that shuts down
/// only flushes.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    pub(super) queue: Arc<Queue>,
    pub(super) ledger: Arc<Ledger>,
}

impl Intake {
    fn flush(&self, limit: Duration) -> OTelSdkResult {
        self.queue.hurry();
        match self.ledger.settled(limit) {
            0 => Ok(()),
            left => Err(OTelSdkError::InternalFailure(format!(
                "the collector has not taken {left} records yet; they are kept and sent later"
            ))),
        }
    }
}

impl SpanProcessor for Intake {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.queue.push(Record::Span(Box::new(span)));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(FLUSH_LIMIT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout)
    }
}

impl LogProcessor for Intake {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.queue
            .push(Record::Log(Box::new((record.clone(), scope.clone()))));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(FLUSH_LIMIT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout)
    }
}
