//! Recording for the commands that watch servers: set up from the environment, taken down without loss, and never in
//! the server's way.

use mcptap_sdk::{Capture, Guard, Telemetry, Watch};

use crate::Captured;

/// Telemetry of a server that is being watched.
#[derive(Debug)]
pub struct Recording {
    telemetry: Guard,
    watch: Watch,
}

impl Recording {
    /// Starts it, as `OTEL_…` and `MCPTAP_…` say, and `captured` where they do not. The server's name is the one given, else
    /// that of `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES`, else what the server calls itself, and `fallback` until it
    /// has said so. Where a variable has a wrong value, it says so in the log and there is none: the server runs all the same.
    pub fn start(name: Option<&str>, fallback: &str, captured: &Captured) -> Option<Self> {
        match Self::try_start(name, fallback, captured) {
            Ok(recording) => Some(recording),
            Err(error) => {
                tracing::warn!("nothing is recorded: {error:#}");
                None
            }
        }
    }

    fn try_start(name: Option<&str>, fallback: &str, captured: &Captured) -> anyhow::Result<Self> {
        let capture = Capture::from_env_over(captured.defaults())?;
        let telemetry = Telemetry::builder(name.unwrap_or(fallback))
            .capture(capture)
            .service_name_is_default(name.is_none())
            .start()?;
        let mut watch = Watch::outside(&telemetry);
        if !telemetry.service_name_was_given() {
            watch = watch.server_names_itself();
        }
        Ok(Self { telemetry, watch })
    }

    /// What watches.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Whether every request that begins a trace is sent.
    pub fn sends_every_span(&self) -> bool {
        self.telemetry.sends_every_span()
    }

    /// The URL that records are sent to. None where nothing is sent.
    pub fn collector(&self) -> Option<&str> {
        self.telemetry.collector()
    }

    /// Delivers what is left, or keeps it for later; at most 5 seconds.
    pub fn stop(self) {
        if let Err(error) = self.telemetry.shutdown() {
            tracing::warn!("the last records were not delivered: {error}");
        }
        let stats = self.telemetry.stats();
        if stats.lost + stats.refused > 0 {
            tracing::warn!(
                lost = stats.lost,
                refused = stats.refused,
                "records did not reach the collector"
            );
        }
    }
}
