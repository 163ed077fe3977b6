//! Telemetry that runs, and how it is taken down without loss.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::logs::{LogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanProcessor};

use super::error::Error;
#[cfg(feature = "logs")]
use super::layer;
use super::ledger::Stats;
use super::line::Line;
use super::naming::Naming;
use super::processor::{LogIntake, SpanIntake};
use crate::recorder::{self, Destination, Home};

/// Telemetry that runs for as long as this is kept. Dropping it sends what is left, as
/// [`shutdown`](Self::shutdown) does.
#[derive(Debug)]
#[must_use = "telemetry ends when the guard is dropped"]
pub struct Guard {
    destination: Arc<Destination>,
    home: Arc<Home>,
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    /// None when both signals are switched off; else whether spans are sent, and log records.
    line: Option<(Line, bool, bool)>,
    has_given_name: bool,
    sends_every_span: bool,
    is_done: AtomicBool,
}

impl Guard {
    pub(super) fn new(
        destination: Arc<Destination>,
        home: Arc<Home>,
        tracers: SdkTracerProvider,
        loggers: SdkLoggerProvider,
        line: Option<(Line, bool, bool)>,
        has_given_name: bool,
        sends_every_span: bool,
    ) -> Self {
        Self {
            destination,
            home,
            tracers,
            loggers,
            line,
            has_given_name,
            sends_every_span,
            is_done: AtomicBool::new(false),
        }
    }

    /// The tracer provider, for spans of one's own. To record MCP requests give the guard itself to
    /// [`instrument_with`](crate::instrument_with).
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.tracers
    }

    /// The logger provider, for log records of one's own.
    pub fn logger_provider(&self) -> &SdkLoggerProvider {
        &self.loggers
    }

    /// A processor for the application's own tracer provider, which then exports to this telemetry, too:
    ///
    /// ```no_run
    /// # use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
    /// # fn run(mine: impl SpanExporter + 'static) -> Result<(), mcptap_sdk::Error> {
    /// let telemetry = mcptap_sdk::Telemetry::builder("shop").start()?;
    /// let provider = SdkTracerProvider::builder()
    ///     .with_batch_exporter(mine)
    ///     .with_span_processor(telemetry.span_processor())
    ///     .build();
    /// opentelemetry::global::set_tracer_provider(provider);
    /// # Ok(()) }
    /// ```
    ///
    /// What it is given is kept on disk while the collector is away, and sent again, as all of this telemetry is; secrets are cut
    /// out; and calls that run are announced. From now on [`instrument`](crate::instrument) and [`layer`](crate::layer) record
    /// through the application's global provider, whose sampler then decides, hold what the [`Capture`](crate::Capture) of
    /// this telemetry allows, and give no secret to any of its exporters. The resource is that of this telemetry, with the attributes of the
    /// application's that it has not.
    pub fn span_processor(&self) -> impl SpanProcessor + 'static {
        recorder::join(&self.home);
        match &self.line {
            Some((line, true, _)) => line.span_intake(&self.home),
            _ => SpanIntake::closed(),
        }
    }

    /// As [`span_processor`](Self::span_processor), for the application's own logger provider. Where that has it, let one of
    /// [`log_layer`](crate::log_layer) and the application's bridge from `tracing` be enough: with both, lines come twice.
    pub fn log_processor(&self) -> impl LogProcessor + 'static {
        match &self.line {
            Some((line, _, true)) => line.log_intake(&self.home.rules.capture),
            _ => LogIntake::closed(),
        }
    }

    pub(crate) fn destination(&self) -> Arc<Destination> {
        Arc::clone(&self.destination)
    }

    /// Its destination for who watches a server from outside its process.
    pub(crate) fn outside(&self) -> Arc<Destination> {
        Destination::outside(&self.tracers, &self.loggers, &self.home)
    }

    #[cfg(feature = "logs")]
    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The name of the service, to be told when it is learned; none where somebody gave it one.
    pub(crate) fn naming(&self) -> Option<Naming> {
        let (line, ..) = self.line.as_ref().filter(|_| !self.has_given_name)?;
        Some(line.naming().clone())
    }

    /// Whether somebody gave the service its name: `OTEL_SERVICE_NAME`, `service.name` in
    /// `OTEL_RESOURCE_ATTRIBUTES`, or an argument that is no default.
    pub fn service_name_was_given(&self) -> bool {
        self.has_given_name
    }

    /// Whether every span is sent that has no parent: none is left out by a sampler, and spans are switched on.
    pub fn sends_every_span(&self) -> bool {
        self.sends_every_span
    }

    /// The URL that spans are sent to, or log records where spans are switched off; without credentials. None where telemetry
    /// is switched off.
    pub fn collector(&self) -> Option<&str> {
        self.line.as_ref()?.0.collector()
    }

    /// What became of everything that was recorded so far; all zero when telemetry is switched off.
    pub fn stats(&self) -> Stats {
        let line = self.line.as_ref();
        line.map(|(line, ..)| line.stats()).unwrap_or_default()
    }

    /// Sends everything that was recorded so far, without waiting for more. Blocks for `limit` at most, and only while the
    /// collector answers.
    ///
    /// # Errors
    /// [`Error::Unsent`] when the collector has not taken all of it; what is left is kept and sent later.
    pub fn flush(&self, limit: Duration) -> Result<(), Error> {
        match self.line.as_ref().map_or(0, |(line, ..)| line.flush(limit)) {
            0 => Ok(()),
            left => Err(Error::Unsent(left)),
        }
    }

    /// Sends what is left, and stops telemetry, with the spans of requests still
    /// being handled. Blocks for about 5 seconds at most, and only while the collector answers: if it does not, what
    /// is left stays on disk, and a later process sends it. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::Lost`] when records were neither taken nor kept on disk; [`Error::Refused`] when the collector refused some.
    pub fn shutdown(&self) -> Result<(), Error> {
        if self.is_done.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.home.open.end_all();
        recorder::leave(&self.home);
        #[cfg(feature = "logs")]
        layer::leave(&self.home);
        let stopped = self.line.as_ref().map_or(Ok(()), |(line, ..)| line.stop());
        // Everything is done already; spans from now on cost nothing.
        let _ = self.tracers.shutdown_with_timeout(Duration::ZERO);
        let _ = self.loggers.shutdown_with_timeout(Duration::ZERO);
        stopped
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown() {
            super::notice::warn(format_args!("telemetry did not end well: {error}"));
        }
    }
}
