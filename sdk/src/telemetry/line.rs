//! The running machinery: two threads, and how they are stopped.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::courier::{Courier, Deadline};
use super::encoder::Encoder;
use super::error::Error;
use super::ledger::{Ledger, Stats};
use super::naming::Naming;
use super::outbox::Outbox;
use super::processor::{Intake, LogIntake, SpanIntake};
use super::queue::Queue;
use super::redaction::Redaction;
use super::route::Route;
use super::settings::Settings;
use super::shelf::Addresses;
use super::signal::{Lanes, Signal};
use super::spool::Spool;
use super::transport::Transport;
use super::worker::Worker;
use crate::capture::Capture;
use crate::recorder::Home;

/// How long a process that ends waits for its last records to be taken.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How often what dead processes left is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long the threads may take to end after that.
const LEAST_WAIT: Duration = Duration::from_millis(500);

/// The way out, from queue to collector.
#[derive(Debug)]
pub(super) struct Line {
    queue: Arc<Queue>,
    ledger: Arc<Ledger>,
    naming: Naming,
    collector: Option<String>,
    deadline: watch::Sender<Deadline>,
    /// Each says when its thread has ended.
    worker: Mutex<Receiver<()>>,
    couriers: Mutex<Receiver<()>>,
}

impl Line {
    /// Starts the threads.
    pub(super) fn start(settings: Settings, resource: &Resource, capture: &Capture) -> Result<Self, Error> {
        let redaction = Redaction::of(capture);
        let encoder = Encoder::new(&settings.targets, &redaction.resource(resource))?;
        let mut addresses = Addresses::default();
        let mut collector = None;
        let mut transports = Lanes::<Option<Transport>>::default();
        for signal in Signal::ALL {
            if let (Some(mut address), Some(target)) = (encoder.address(signal), settings.targets.of(signal))
            {
                for (name, value) in &settings.headers {
                    address.headers.insert(name, value.clone());
                }
                let transport = Transport::new(Route::new(address, target)?);
                let url = transport.url().to_string();
                collector.get_or_insert_with(|| url.clone());
                *addresses.of_mut(signal) = Some(url);
                *transports.of_mut(signal) = Some(transport);
            }
        }
        let ledger = Arc::new(Ledger::default());
        let spool = settings
            .spool
            .map(|spool| Spool::new(spool, addresses, Arc::clone(&ledger)));
        let outbox = Arc::new(Outbox::new(spool, Arc::clone(&ledger)));
        let queue = Arc::new(Queue::new(settings.limits, Arc::clone(&ledger)));
        let (deadline, told) = watch::channel(None);
        let couriers = Signal::ALL
            .into_iter()
            .filter_map(|signal| {
                let transport = transports.of_mut(signal).take()?;
                Some(Courier::new(signal, transport, Arc::clone(&outbox), told.clone()))
            })
            .collect();
        let couriers = start_couriers(couriers, Arc::clone(&outbox))?;
        let naming = Naming::default();
        let worker = Worker {
            queue: Arc::clone(&queue),
            resource: resource.clone(),
            naming: naming.clone(),
            redaction,
            encoder,
            batch_records: settings.batch_records.clone(),
            outbox,
            ledger: Arc::clone(&ledger),
        };
        let (ended, worker_ended) = channel();
        thread::Builder::new()
            .name("mcptap-encoder".to_owned())
            .spawn(move || {
                let _ended: Sender<()> = ended;
                let _quiet = Context::enter_telemetry_suppressed_scope();
                worker.run();
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            queue,
            ledger,
            naming,
            collector,
            deadline,
            worker: Mutex::new(worker_ended),
            couriers: Mutex::new(couriers),
        })
    }

    /// Where the spans of a guard go in.
    pub(super) fn span_intake(&self, home: &Arc<Home>) -> SpanIntake {
        SpanIntake::new(self.intake(), home)
    }

    /// Where log records go in, with no more of the application's than may be recorded.
    pub(super) fn log_intake(&self, capture: &Capture) -> LogIntake {
        LogIntake::new(self.intake(), capture.clone())
    }

    fn intake(&self) -> Intake {
        Intake {
            queue: Arc::clone(&self.queue),
            ledger: Arc::clone(&self.ledger),
            naming: self.naming.clone(),
        }
    }

    /// Sends what is queued, for `limit` at most. Returns how many records the collector has not taken.
    pub(super) fn flush(&self, limit: Duration) -> u64 {
        self.intake().send(limit)
    }

    /// The name of the service, to be told when it is learned.
    pub(super) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// The URL of the first signal that is sent.
    pub(super) fn collector(&self) -> Option<&str> {
        self.collector.as_deref()
    }

    pub(super) fn stats(&self) -> Stats {
        self.ledger.stats()
    }

    /// Sends what is left, for 5 seconds at most; what is not taken stays on disk.
    pub(super) fn stop(&self) -> Result<(), Error> {
        let before = self.stats();
        let deadline = Instant::now() + FLUSH_LIMIT;
        self.queue.close();
        wait(&self.worker, deadline);
        // Only now: couriers that find nothing to do at the end go home.
        self.deadline.send_replace(Some(deadline.into()));
        wait(&self.couriers, deadline + LEAST_WAIT);
        let stats = self.stats();
        let lost = stats
            .lost
            .saturating_sub(before.lost)
            .saturating_add(stats.waiting);
        match (lost, stats.refused) {
            (0, 0) => Ok(()),
            (0, refused) => Err(Error::Refused(refused)),
            (lost, _) => Err(Error::Lost(lost)),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Also when it was never stopped, so that no thread stays behind.
        self.queue.close();
        self.deadline.send_replace(Some(tokio::time::Instant::now()));
    }
}

/// Waits for a thread to end.
fn wait(ended: &Mutex<Receiver<()>>, deadline: Instant) {
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
    let left = deadline.saturating_duration_since(Instant::now());
    if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
        tracing::debug!("a thread of telemetry did not end in time");
    }
}

/// The couriers have a runtime of their own, so that they work whether or not the server has one, and also while
/// that is shutting down.
fn start_couriers(couriers: Vec<Courier>, outbox: Arc<Outbox>) -> Result<Receiver<()>, Error> {
    let (started, start) = channel();
    let (ended, couriers_ended) = channel();
    thread::Builder::new()
        .name("mcptap-courier".to_owned())
        .spawn(move || {
            let _ended: Sender<()> = ended;
            let _quiet = Context::enter_telemetry_suppressed_scope();
            let mut runtime = Builder::new_current_thread();
            // Names are looked up on threads of their own, which say nothing either.
            runtime.on_thread_start(|| std::mem::forget(Context::enter_telemetry_suppressed_scope()));
            let runtime = match runtime.enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Nobody waits any more only if the whole start failed.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(()));
            carry(&runtime, couriers, &outbox);
            // A look-up of a name may hang for long.
            runtime.shutdown_background();
        })
        .map_err(Error::Thread)?;
    match start.recv() {
        Ok(Ok(())) => Ok(couriers_ended),
        Ok(Err(error)) => Err(Error::Thread(error)),
        Err(gone) => Err(Error::Thread(std::io::Error::other(gone))),
    }
}

fn carry(runtime: &Runtime, couriers: Vec<Courier>, outbox: &Outbox) {
    outbox.adopt();
    let mut running = tokio::task::JoinSet::new();
    for courier in couriers {
        running.spawn_on(courier.run(), runtime.handle());
    }
    runtime.block_on(async {
        loop {
            tokio::select! {
                ended = running.join_next() => if ended.is_none() { return },
                () = tokio::time::sleep(LOOK_EVERY) => outbox.adopt(),
            }
        }
    });
    outbox.close();
}
