//! Carries the parcels of one signal to the collector, the oldest first, one at a time, again and again until they
//! are taken.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::delivery::Delivery;
use super::notice::{Notice, warn};
use super::outbox::{Job, Outbox};
use super::parcel::Parcel;
use super::signal::Signal;
use super::tolerance::Tolerance;
use super::transport::Transport;
use super::verdict::Verdict;

/// The pause after the first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a parcel may be in memory only, when there is a disk: what a process that is killed may lose.
const IN_MEMORY: Duration = Duration::from_millis(100);
/// How long a process that ends waits for one answer, when what it waits for is on disk already.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many kinds of refusals are remembered.
const KINDS: usize = 100;

/// When the process ends, as told by the guard: nothing is tried after that.
pub(super) type Deadline = Option<Instant>;

/// Carries for one signal.
#[derive(Debug)]
pub(super) struct Courier {
    signal: Signal,
    transport: Transport,
    outbox: Arc<Outbox>,
    deadline: watch::Receiver<Deadline>,
    away: Notice,
    is_away: bool,
    /// What refusals have been warned about.
    refusals: BTreeSet<String>,
    tolerance: Tolerance,
    /// Parcels that are delivered in part: one of this process and one of a dead one at most.
    begun: Vec<Delivery>,
}

impl Courier {
    pub(super) fn new(
        signal: Signal,
        transport: Transport,
        outbox: Arc<Outbox>,
        deadline: watch::Receiver<Deadline>,
    ) -> Self {
        Self {
            signal,
            transport,
            outbox,
            deadline,
            away: Notice::default(),
            is_away: false,
            refusals: BTreeSet::new(),
            tolerance: Tolerance::default(),
            begun: Vec::new(),
        }
    }

    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return;
            }
            let Some(job) = self.outbox.next(self.signal) else {
                if deadline.is_some() {
                    return;
                }
                self.idle().await;
                continue;
            };
            if deadline.is_some() && job.is_adopted() {
                return;
            }
            let mut delivery = self.resume(job);
            if let Some(piece) = delivery.next().cloned() {
                match self.attempt(&piece).await {
                    Verdict::Later {
                        why,
                        after,
                        unread,
                        answered,
                    } => {
                        // The next attempt, without compression, need not wait.
                        if !(unread && delivery.decompress(&self.tolerance)) {
                            delivery.put_off();
                            self.begun.push(delivery);
                            self.outbox.hold(self.signal);
                            self.warn_of_absence(&why);
                            let wait = after.unwrap_or(pause);
                            pause = (pause * 2).min(LONGEST_PAUSE);
                            if !self.wait(wait, after.is_some(), answered).await {
                                return;
                            }
                            continue;
                        }
                    }
                    verdict => {
                        self.heed(verdict, &mut delivery);
                        pause = FIRST_PAUSE;
                    }
                }
            }
            if delivery.next().is_none() {
                self.outbox.settle(&delivery.job, delivery.refused());
            } else {
                self.begun.push(delivery);
            }
        }
    }

    /// The delivery of the parcel: the one that was begun, or a new one.
    fn resume(&mut self, job: Job) -> Delivery {
        let is_adopted = job.is_adopted();
        if let Some(at) = self.begun.iter().position(|begun| begun.job.is_same(&job)) {
            return self.begun.swap_remove(at);
        }
        // Another one in its place: that parcel went to make room.
        self.begun.retain(|begun| begun.job.is_adopted() != is_adopted);
        Delivery::new(job, &self.tolerance)
    }

    /// Applies an answer that is final to the piece that was sent.
    fn heed(&mut self, verdict: Verdict, delivery: &mut Delivery) {
        match verdict {
            Verdict::Taken { refused, why } => {
                if delivery.take(refused, &mut self.tolerance) {
                    tracing::warn!(
                        collector = %self.transport.url(),
                        "the collector does not read compressed telemetry; it is sent without compression"
                    );
                }
                if refused > 0 {
                    self.warn_of_refusal(&why, refused);
                } else if !why.is_empty() && self.is_new(&why) {
                    tracing::warn!(collector = %self.transport.url(), why, "the collector took telemetry with a warning");
                }
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(collector = %self.transport.url(), "the collector takes telemetry again");
                }
            }
            Verdict::TooLarge { why } => match delivery.cut(&mut self.tolerance) {
                Ok(()) => {
                    tracing::debug!(collector = %self.transport.url(), why, "a request was too large; it is cut");
                }
                Err(records) => self.warn_of_refusal(&why, records),
            },
            Verdict::Refused { why, unread } => {
                if !(unread && delivery.decompress(&self.tolerance)) {
                    let records = delivery.refuse();
                    self.warn_of_refusal(&why, records);
                }
            }
            Verdict::Later { .. } => {}
        }
    }

    fn deadline(&self) -> Deadline {
        *self.deadline.borrow()
    }

    /// Waits for something to do.
    async fn idle(&mut self) {
        tokio::select! {
            () = self.outbox.arrival(self.signal) => {}
            () = changed(&mut self.deadline) => {}
        }
    }

    /// Waits before the next attempt. False when there shall be none, because the process ends.
    async fn wait(&mut self, pause: Duration, is_wish: bool, answered: bool) -> bool {
        let mut pause = pause;
        if self.deadline().is_none() {
            tokio::select! {
                () = sleep(pause) => return true,
                () = changed(&mut self.deadline) => {}
            }
            // Once more at once, now that the process ends.
            return true;
        }
        // Nobody is there, and what waits is on disk: no reason to keep the process.
        if !answered && self.outbox.is_safe(self.signal) {
            return false;
        }
        if !is_wish {
            pause = FIRST_PAUSE;
        }
        let next = Instant::now() + pause;
        if self.deadline().is_some_and(|deadline| deadline <= next) {
            return false;
        }
        sleep_until(next).await;
        true
    }

    /// One attempt. What takes long does not stay in memory only meanwhile.
    async fn attempt(&mut self, piece: &Parcel) -> Verdict {
        let mut spill_at = self
            .outbox
            .in_memory_since(self.signal)
            .map(|since| Instant::from_std(since) + IN_MEMORY);
        let mut sending = pin!(self.transport.send(piece));
        let mut patient_until = None;
        loop {
            let deadline = *self.deadline.borrow();
            if let Some(deadline) = deadline
                && patient_until.is_none()
            {
                self.outbox.spill(self.signal);
                let patience = (Instant::now() + PATIENCE).min(deadline);
                patient_until = Some(if self.outbox.is_safe(self.signal) {
                    patience
                } else {
                    deadline
                });
            }
            let now = Instant::now();
            tokio::select! {
                biased;
                verdict = &mut sending => return verdict,
                () = sleep_until(spill_at.unwrap_or(now)), if spill_at.is_some() => {
                    spill_at = None;
                    self.outbox.spill(self.signal);
                }
                () = sleep_until(patient_until.unwrap_or(now)), if patient_until.is_some() => {
                    return Verdict::silence("no answer before the process ended".to_owned());
                }
                () = changed(&mut self.deadline), if deadline.is_none() => {}
            }
        }
    }

    fn warn_of_absence(&mut self, why: &str) {
        tracing::debug!(collector = %self.transport.url(), why, "telemetry could not be sent");
        if !std::mem::replace(&mut self.is_away, true) && self.away.is_due() {
            warn(format_args!(
                "the collector does not take telemetry; it is kept, and sent later: {why} (collector {})",
                self.transport.url()
            ));
        }
    }

    /// Whether nothing of this kind was warned about before.
    fn is_new(&mut self, why: &str) -> bool {
        let kind = why.split([':', '(']).next().unwrap_or_default().trim().to_owned();
        self.refusals.len() < KINDS && self.refusals.insert(kind)
    }

    /// Once for each kind of refusal.
    fn warn_of_refusal(&mut self, why: &str, records: u64) {
        if self.is_new(why) {
            warn(format_args!(
                "the collector refused telemetry; it is dropped: {why} (collector {}, {records} records)",
                self.transport.url()
            ));
        }
    }
}

/// Waits for the end of the process to be told. Whoever would tell may be gone, and then it never is.
async fn changed(deadline: &mut watch::Receiver<Deadline>) {
    if deadline.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
