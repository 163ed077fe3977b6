//! Sending spans again while the collector cannot be reached.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Runtime;

use crate::parcel::parcels;

/// How long one batch is tried. Meanwhile new spans wait in the processor's bounded queue.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after the first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The end of the process, as the exporter sees it: retries stop then, whatever patience is left.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    deadline: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Closing {
    /// Leaves retries `within` more, and wakes the one that is waiting.
    pub(crate) fn begin(&self, within: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + within);
        self.changed.notify_all();
    }

    /// Waits, less long when the process ends meanwhile. Returns the deadline if there is one.
    fn pause(&self, pause: Duration) -> Option<Instant> {
        let deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *deadline;
        let (deadline, _) = self
            .changed
            .wait_timeout_while(deadline, pause, |deadline| *deadline == known)
            .unwrap_or_else(PoisonError::into_inner);
        *deadline
    }
}

/// An exporter that tries again. The official one gives a batch up after a few quick attempts.
///
/// It blocks while it waits, as it may: the batch processor gives it a thread of its own.
pub(crate) struct Retrying<E> {
    inner: E,
    closing: Arc<Closing>,
    patience: Duration,
    /// gRPC needs a running reactor, also while the server's own runtime is blocked in its shutdown.
    runtime: Reactor,
}

impl<E> Retrying<E> {
    pub(crate) fn new(inner: E, closing: Arc<Closing>, runtime: Option<Runtime>) -> Self {
        Self {
            inner,
            closing,
            patience: PATIENCE,
            runtime: Reactor(runtime),
        }
    }
}

impl<E> fmt::Debug for Retrying<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Retrying").finish_non_exhaustive()
    }
}

impl<E: SpanExporter> Retrying<E> {
    async fn attempt(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        match &self.runtime.0 {
            Some(runtime) => runtime.block_on(self.inner.export(spans)),
            None => self.inner.export(spans).await,
        }
    }

    async fn send(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let mut pause = FIRST_PAUSE;
        let mut give_up_at = Instant::now() + self.patience;
        loop {
            let Err(error) = self.attempt(spans.clone()).await else {
                return Ok(());
            };
            if is_final(&error) {
                tracing::warn!(%error, spans = spans.len(), "the collector refused spans; they are lost");
                return Err(error);
            }
            tracing::debug!(%error, spans = spans.len(), "spans could not be sent; trying again");
            if let Some(deadline) = self.closing.pause(pause) {
                give_up_at = give_up_at.min(deadline);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() >= give_up_at {
                tracing::warn!(%error, spans = spans.len(), "no collector could be reached; spans are lost");
                return Err(error);
            }
        }
    }
}

impl<E: SpanExporter + 'static> SpanExporter for Retrying<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut result = Ok(());
        for parcel in parcels(batch) {
            // One parcel refused says nothing about the next.
            if let Err(error) = self.send(parcel).await {
                result = Err(error);
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// A runtime that may be dropped anywhere: dropping a plain one inside another runtime panics.
struct Reactor(Option<Runtime>);

impl Drop for Reactor {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether trying again cannot help. The exporter says why only in words: HTTP statuses other than those that
/// OTLP names as worth a retry, and gRPC codes that mean the request itself is wrong. Whatever is not
/// recognised is tried again, for a bounded time.
fn is_final(error: &OTelSdkError) -> bool {
    let OTelSdkError::InternalFailure(message) = error else {
        return matches!(error, OTelSdkError::AlreadyShutdown);
    };
    if let Some((_, status)) = message.split_once("status code: ") {
        return status
            .trim()
            .parse::<u16>()
            .is_ok_and(|status| !matches!(status, 0 | 408 | 429 | 502..=504));
    }
    if let Some((_, code)) = message.split_once("gRPC code: ") {
        return [
            "InvalidArgument",
            "Unauthenticated",
            "PermissionDenied",
            "Unimplemented",
            "NotFound",
        ]
        .iter()
        .any(|name| code.starts_with(name));
    }
    message.contains("exceeding the configured limit")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Fails as often as told, then accepts.
    #[derive(Debug)]
    struct Flaky {
        failures: AtomicUsize,
        attempts: Arc<AtomicUsize>,
        message: &'static str,
        accepted: Arc<Mutex<Vec<usize>>>,
    }

    impl SpanExporter for Flaky {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.attempts.fetch_add(1, Ordering::SeqCst);
            if self
                .failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
            {
                return Err(OTelSdkError::InternalFailure(self.message.to_owned()));
            }
            self.accepted.lock().unwrap().push(batch.len());
            Ok(())
        }
    }

    fn flaky(failures: usize, message: &'static str) -> (Flaky, Arc<AtomicUsize>, Arc<Mutex<Vec<usize>>>) {
        let (attempts, accepted) = (Arc::default(), Arc::default());
        let flaky = Flaky {
            failures: AtomicUsize::new(failures),
            attempts: Arc::clone(&attempts),
            message,
            accepted: Arc::clone(&accepted),
        };
        (flaky, attempts, accepted)
    }

    fn spans(count: usize) -> Vec<SpanData> {
        crate::parcel::tests::spans(count, 1)
    }

    #[tokio::test]
    async fn a_collector_that_comes_back_gets_the_batch() {
        let (inner, attempts, accepted) = flaky(2, "HTTP export failed: network error");
        let exporter = Retrying::new(inner, Arc::default(), None);
        assert!(exporter.export(spans(3)).await.is_ok());
        assert_eq!(attempts.load(Ordering::SeqCst), 3);
        assert_eq!(*accepted.lock().unwrap(), [3]);
    }

    #[tokio::test]
    async fn a_refusal_is_not_tried_again() {
        let (inner, attempts, _) = flaky(9, "HTTP export failed with status code: 400");
        let exporter = Retrying::new(inner, Arc::default(), None);
        assert!(exporter.export(spans(1)).await.is_err());
        assert_eq!(attempts.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_worth_a_retry() {
        for (message, last) in [
            ("HTTP export failed: network error", false),
            ("HTTP export failed with status code: 503", false),
            ("HTTP export failed with status code: 429", false),
            ("HTTP export failed with status code: 413", true),
            (
                "TonicTracesClient export failed with gRPC code: Unavailable: tcp",
                false,
            ),
            (
                "TonicTracesClient export failed with gRPC code: InvalidArgument",
                true,
            ),
        ] {
            assert_eq!(
                is_final(&OTelSdkError::InternalFailure(message.to_owned())),
                last,
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn the_end_of_the_process_bounds_the_retries() {
        let (inner, _, _) = flaky(usize::MAX, "HTTP export failed: network error");
        let closing = Arc::new(Closing::default());
        let exporter = Retrying::new(inner, Arc::clone(&closing), None);
        let spans = spans(1);
        let sending =
            std::thread::spawn(move || futures_util::future::FutureExt::now_or_never(exporter.export(spans)));
        let started = Instant::now();
        closing.begin(Duration::from_millis(300));
        assert!(sending.join().unwrap().unwrap().is_err());
        assert!(started.elapsed() < Duration::from_secs(3));
    }
}
