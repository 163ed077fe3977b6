//! The only way in: a bounded queue, and a task that makes groups of what waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mcptap_model::{Batch, SpanId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::liveness::silence::Heartbeats;
use crate::metrics::Counters;
use crate::rows::bounds;
use crate::supervise::contained;
use crate::write::committer::{Group, batches, merged};
use crate::write::fold::{Told, told};
use crate::write::footprint::{Reads, Writes};
use crate::write::incoming::Incoming;
use crate::write::prepare::Preparation;
use crate::{CpuError, CpuPool, Error, MemoryBudget, Options, Reservation, Seq, WriteError};

/// How many permits of the queue one transaction takes at most.
const GROUP: usize = 8192;

/// How many exports may wait for a thread of the pool that reads and compresses them.
const WAITING_FOR_CPU: usize = 256;

/// A record this large counts as one; a larger one as several.
const RECORD_BYTES: usize = 4096;

/// The result of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Calls added by the transaction that stored the batch; it may have stored other batches too.
    pub added: usize,
    /// Calls completed by the same transaction.
    pub completed: usize,
    /// The head of the feed after it.
    pub head: Seq,
    /// Records of the batch that the database can never store: the rest is stored without them.
    pub rejected: Vec<Rejected>,
    /// Spans of the batch that were left out, since a span of another sender has their ids: that one stays as it is.
    pub foreign: usize,
    /// Those of all batches of the transaction.
    pub(crate) left_out: HashSet<Told>,
}

/// Records that can never be stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub records: usize,
    /// The database's reason.
    pub reason: String,
}

/// Writes batches. Cheap to clone; when the last clone is dropped, the store commits what it holds and stops writing.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
}

/// A writer that does not keep the store writing.
#[derive(Clone, Debug)]
pub(crate) struct WeakWriter {
    queue: mpsc::WeakUnboundedSender<Request>,
    shared: Arc<Shared>,
}

/// The state that all clones of a writer share.
#[derive(Debug)]
struct Shared {
    room: Arc<Semaphore>,
    limit: usize,
    packer: Packer,
    memory: MemoryBudget,
    cpu: CpuPool,
    counters: Arc<Counters>,
    head: watch::Receiver<Seq>,
    closing: CancellationToken,
    heartbeats: Arc<Heartbeats>,
}

impl WeakWriter {
    /// The writer, as long as there is another.
    pub(crate) fn upgrade(&self) -> Option<Writer> {
        Some(Writer {
            queue: self.queue.upgrade()?,
            shared: Arc::clone(&self.shared),
        })
    }
}

/// A batch that waits to be written.
#[derive(Debug)]
pub(crate) struct Request {
    /// The batch. It is kept until it is answered: what fails in a group is tried alone.
    pub(crate) batch: Incoming,
    weight: usize,
    reply: oneshot::Sender<Result<Written, WriteError>>,
    _room: OwnedSemaphorePermit,
    _held: Reservation,
}

/// A batch that is ready to be queued: nothing in it is too large, and its bodies are compressed.
#[derive(Debug)]
pub struct Packed {
    batch: Incoming,
    /// The number of records that it counts as in the queue.
    records: usize,
    bytes: usize,
}

impl Packed {
    /// About how many bytes it takes until it is stored: the rows that are made of it are a second copy.
    pub fn bytes(&self) -> usize {
        self.bytes * 2
    }
}

/// Makes batches ready.
#[derive(Clone, Debug)]
struct Packer {
    body_cap: usize,
    counters: Arc<Counters>,
}

impl Packer {
    fn pack(&self, mut batch: Batch) -> Packed {
        let (bytes, cuts) = bounds::bound(&mut batch, self.body_cap);
        self.counters.cut(cuts);
        Packed {
            records: batch.len().max(bytes / RECORD_BYTES),
            batch: Incoming::new(batch),
            bytes,
        }
    }
}

impl Request {
    /// Answers whoever waits. They may have gone; the batch is written all the same.
    pub(crate) fn answer(self, mut outcome: Result<Written, WriteError>) {
        if let Ok(written) = &mut outcome
            && !written.left_out.is_empty()
        {
            // The senders of one transaction are not told of each other.
            let left_out = std::mem::take(&mut written.left_out);
            let own = self.batch.observations.iter();
            written.foreign = own.filter(|seen| left_out.contains(&told(&seen.call))).count();
        }
        let _ = self.reply.send(outcome);
    }
}

impl Writer {
    pub(crate) fn new(
        options: &Options,
        memory: &MemoryBudget,
        counters: Arc<Counters>,
        head: watch::Receiver<Seq>,
    ) -> (Self, mpsc::UnboundedReceiver<Request>) {
        // Bounded by the semaphore, in records instead of messages.
        let (queue, requests) = mpsc::unbounded_channel();
        let limit = options
            .queue_records
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let room = Arc::new(Semaphore::new(limit));
        (
            Self {
                queue,
                shared: Arc::new(Shared {
                    room,
                    limit,
                    packer: Packer {
                        body_cap: options.body_cap,
                        counters: Arc::clone(&counters),
                    },
                    // Senders leave a quarter to readers and caches.
                    memory: memory.share(memory.limit() / 4 * 3),
                    cpu: CpuPool::new(options.ingest_threads, WAITING_FOR_CPU),
                    counters,
                    head,
                    closing: CancellationToken::new(),
                    heartbeats: Arc::default(),
                }),
            },
            requests,
        )
    }

    /// Stores a batch as a whole or not at all, but for records that the database can never store
    /// ([`Written::rejected`]); returns once it is committed and announced. The same spans again change nothing. When the
    /// future is dropped the batch may be stored all the same.
    pub async fn write(&self, batch: Batch) -> Result<Written, WriteError> {
        if batch.is_empty() {
            return Ok(Written {
                head: *self.shared.head.borrow(),
                ..Written::default()
            });
        }
        let packer = self.shared.packer.clone();
        let packed = self.shared.cpu.run(move |_| packer.pack(batch)).await;
        let packed = packed.map_err(|error| match error {
            CpuError::Full => self.overloaded(),
            CpuError::Panicked => WriteError::Failed(error),
        })?;
        let held = self.shared.memory.try_reserve(packed.bytes());
        let held = held.map_err(|refused| {
            if refused.is_final() {
                self.too_large(&packed)
            } else {
                self.overloaded()
            }
        })?;
        self.send(packed, held).await
    }

    /// Makes a batch ready to be sent: cuts what is too large, and compresses. Work for a thread of [`Self::cpu`].
    pub fn pack(&self, batch: Batch) -> Packed {
        self.shared.packer.pack(batch)
    }

    /// Stores a batch that was made ready, like [`Self::write`]. The memory that is `held` for it is given back when it is
    /// answered.
    pub async fn send(&self, packed: Packed, held: Reservation) -> Result<Written, WriteError> {
        if self.queue.is_closed() {
            return Err(WriteError::Closed);
        }
        let weight = packed.records;
        let room = match u32::try_from(weight) {
            Ok(wanted) if weight <= self.shared.limit => {
                Arc::clone(&self.shared.room).try_acquire_many_owned(wanted)
            }
            _ => return Err(self.too_large(&packed)),
        };
        let room = room.map_err(|_| self.overloaded())?;
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Request {
                batch: packed.batch,
                weight,
                reply,
                _room: room,
                _held: held,
            })
            .map_err(|_| WriteError::Closed)?;
        // Without an answer the group was lost to a fault.
        let lost = || {
            if self.queue.is_closed() {
                WriteError::Closed
            } else {
                WriteError::Lost
            }
        };
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    fn overloaded(&self) -> WriteError {
        self.shared.counters.overloaded();
        WriteError::Overloaded {
            retry_after: self.shared.counters.time_for(self.queued()),
        }
    }

    fn too_large(&self, packed: &Packed) -> WriteError {
        WriteError::TooLarge {
            records: packed.records,
            limit: self.shared.limit,
        }
    }

    /// The share of the memory budget that senders may take.
    pub fn memory(&self) -> &MemoryBudget {
        &self.shared.memory
    }

    /// The threads that read, redact and compress what is sent.
    pub fn cpu(&self) -> &CpuPool {
        &self.shared.cpu
    }

    /// How much of the queue is taken, in records.
    pub fn queued(&self) -> usize {
        self.shared
            .limit
            .saturating_sub(self.shared.room.available_permits())
    }

    /// How much the queue holds, in records.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Waits until the store no longer writes.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Cancelled to take no more writes.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.shared.closing.clone()
    }

    pub(crate) fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.shared.room)
    }

    /// Notes that a process ([`Origin::process`](mcptap_model::Origin::process)) was heard: the running calls that it
    /// announced are not lost.
    pub fn heard(&self, process: &str) {
        self.shared.heartbeats.note(process);
    }

    /// Notes that a process says of requests with these spans that they ended a while ago: where they are running still, their
    /// spans were lost on the way.
    pub fn ended(&self, process: &str, spans: impl IntoIterator<Item = SpanId>) {
        self.shared.heartbeats.note_ended(process, spans);
    }

    /// Notes that something was refused before it was read, for lack of room or of time, and may come again: there may have
    /// been heartbeats in it, so this is no time of silence.
    pub fn missed(&self) {
        self.shared.heartbeats.note_unread();
    }

    pub(crate) fn heartbeats(&self) -> Arc<Heartbeats> {
        Arc::clone(&self.shared.heartbeats)
    }

    pub(crate) fn downgrade(&self) -> WeakWriter {
        WeakWriter {
            queue: self.queue.downgrade(),
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Makes groups: a transaction is what piled up while the last one was prepared and the one before it committed.
pub(crate) struct Grouping {
    preparation: Preparation,
    requests: mpsc::UnboundedReceiver<Request>,
    groups: mpsc::Sender<Group>,
    closing: CancellationToken,
    /// What is being committed: what it changes, and when it is done.
    running: Option<(Arc<Writes>, oneshot::Receiver<()>)>,
}

impl Grouping {
    pub(crate) fn new(
        preparation: Preparation,
        requests: mpsc::UnboundedReceiver<Request>,
        groups: mpsc::Sender<Group>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            preparation,
            requests,
            groups,
            closing,
            running: None,
        }
    }

    /// Works until every [`Writer`] is gone, or the store closes, and what they sent is handed on.
    pub(crate) async fn run(mut self) {
        // A free slot first, requests then: those that come while the committer is busy share the next transaction.
        while let Ok(place) = self.groups.clone().reserve_owned().await {
            let Some(requests) = self.take().await else {
                return;
            };
            let batch = merged(&batches(&requests));
            if let Some((writes, done)) = &mut self.running
                && writes.change(&Reads::of(&batch))
            {
                // What is read beside it would have to be read again. Only the sender's end matters: it is dropped when
                // the group is stored, or has failed.
                let _ = done.await;
            }
            let database = self.preparation.database.clone();
            let preparing = self.preparation.prepare(batch);
            let prepared =
                match contained(database.health(), "grouping", database.write_limit(), preparing).await {
                    Ok(prepared) => prepared,
                    // The committer takes less of it at a time.
                    Err(Error::TimedOut) => Err(Error::TimedOut),
                    // Its requests are answered by being dropped; the next group is another one.
                    Err(_) => continue,
                };
            let (done, running) = oneshot::channel();
            let writes = prepared.as_ref().map(|prepared| Arc::clone(&prepared.writes));
            self.running = writes.ok().map(|writes| (writes, running));
            place.send(Group {
                requests,
                prepared,
                done,
            });
        }
    }

    /// All that waits, up to a transaction's size. `None` when nothing will come any more.
    async fn take(&mut self) -> Option<Vec<Request>> {
        let first = tokio::select! {
            first = self.requests.recv() => first?,
            () = self.closing.cancelled() => {
                // What was taken before is still there.
                self.requests.close();
                self.requests.recv().await?
            }
        };
        let mut weight = first.weight;
        let mut requests = vec![first];
        while weight < GROUP
            && let Ok(request) = self.requests.try_recv()
        {
            weight += request.weight;
            requests.push(request);
        }
        Some(requests)
    }
}

/// The least and the most that an overloaded sender is asked to wait.
pub(crate) const RETRY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(10);
