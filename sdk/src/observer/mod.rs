//! The engine: it is given JSON-RPC messages in both directions and what the transport knows of them, and
//! records each request as a span and its console output as log records. It knows nothing of pipes, HTTP or
//! rmcp; whoever carries messages tells it of them.
//!
//! An [`Observer`] is what a process has one of: where records go, what may be recorded, which operations went
//! through several rounds. A [`Conversation`] is what one client and one server know of each other: its open
//! requests, its client's name. A [`Call`] is one open request.

mod budget;
mod call;
mod carrier;
mod conversation;
mod endpoint;
mod open;
mod rounds;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use budget::{Budget, Reserved};
pub(crate) use call::{Call, Ended, Lasting};
pub(crate) use carrier::{Carrier, SESSION_HEADER, VERSION_HEADER, text};
#[cfg(feature = "rmcp")]
pub(crate) use conversation::Answering;
pub(crate) use conversation::{ACCEPTED, Conversation, GONE, Side, Unanswered, Way};
pub(crate) use endpoint::{address_session, resolve, target};
use mcptap_model::redact::Sequence;
use mcptap_model::semconv;
pub(crate) use open::{Key, Scope};
use opentelemetry::KeyValue;
use rounds::Rounds;

use crate::capture::Capture;
use crate::metrics::Metrics;
use crate::recorder::{Recorder, Rules};
use crate::telemetry::Naming;

/// How many bytes of requests being handled are kept in memory, over all of them. Beyond it requests are recorded
/// without their bodies.
const OPEN_BYTES: usize = 64 << 20;

/// How many bytes the decoders of compressed bodies hold, over all of them. Beyond it bodies pass unread.
const DECODER_BYTES: usize = 256 << 20;

/// How many bytes all conversations remember besides their open requests: who the clients are, what was answered, after
/// which events streams may go on. Beyond it less is remembered of what was answered.
const REMEMBERED_BYTES: usize = 64 << 20;

/// What one process records.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(crate) recorder: Recorder,
    /// Told of the server's own name.
    naming: Option<Naming>,
    /// The name that was given to the server.
    name: Option<Arc<str>>,
    /// Where durations go.
    metrics: Metrics,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rounds: Mutex<Rounds>,
    /// The server's own name, where it is learned from what the server says.
    server: Mutex<Option<String>>,
    learns_name: bool,
    /// Bytes of bodies of open requests.
    open: Arc<Budget>,
    /// Bytes that decoders hold.
    decoders: Arc<Budget>,
    /// Bytes that conversations remember.
    remembered: Arc<Budget>,
    strays: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            rounds: Mutex::default(),
            server: Mutex::default(),
            learns_name: false,
            open: Budget::new(OPEN_BYTES),
            decoders: Budget::new(DECODER_BYTES),
            remembered: Budget::new(REMEMBERED_BYTES),
            strays: AtomicU64::default(),
        }
    }
}

impl Observer {
    /// Records go where those of the process go.
    pub(crate) fn global() -> Self {
        Self::new(Recorder::default())
    }

    /// Records go where this recorder has them go.
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            naming: None,
            name: None,
            metrics: Metrics::default(),
            shared: Arc::default(),
        }
    }

    /// The same with other settings.
    pub(crate) fn with(mut self, capture: Capture) -> Self {
        self.recorder = self.recorder.with(capture);
        self
    }

    /// The same, whose records are never spans of an application's own layer.
    pub(crate) fn apart(mut self) -> Self {
        self.recorder = self.recorder.apart();
        self
    }

    fn rules(&self) -> Arc<Rules> {
        self.recorder.rules()
    }

    /// Takes the server's name from what the server says of itself, and tells `naming` of it.
    pub(crate) fn learning_the_name(mut self, naming: Option<Naming>) -> Self {
        self.naming = naming;
        self.shared = Arc::new(Shared {
            learns_name: true,
            ..Shared::default()
        });
        self
    }

    /// The same for a server of this name.
    pub(crate) fn of_server(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same, whose durations go there.
    #[cfg(feature = "metrics")]
    pub(crate) fn measured_by(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The name that was given to the server, as an attribute.
    fn named(&self) -> Option<KeyValue> {
        let name = self.name.clone()?;
        Some(KeyValue::new(semconv::MCP_SERVER_NAME, name))
    }

    /// Whether anything is recorded at all.
    pub(crate) fn is_on(&self) -> bool {
        self.rules().capture.records()
    }

    /// Whether a request would leave no trace, so that it need not be read.
    pub(crate) fn is_idle(&self) -> bool {
        !self.metrics.may_measure() && self.recorder.is_idle()
    }

    /// How many bytes of a body are kept.
    pub(crate) fn cap(&self) -> usize {
        self.rules().capture.body_cap
    }

    /// Whether bodies of this tool may be recorded.
    fn bodies_of(&self, tool: Option<&str>) -> bool {
        self.rules().capture.bodies_of(tool)
    }

    /// Whether bodies of tools are also under the names that the conventions have for them. Who watches from outside tells
    /// mcptap, which needs no second copy.
    fn names_gen_ai(&self) -> bool {
        self.recorder.is_inside() && self.rules().capture.names_gen_ai
    }

    /// Cuts secrets out of the next of some lines, also those that only the lines before tell.
    fn redact_next(&self, lines: &mut Sequence, line: &mut String) {
        lines.redact(&self.rules().capture.redactor, line);
    }

    fn rounds<T>(&self, look: impl FnOnce(&mut Rounds) -> T) -> T {
        look(&mut self.shared.rounds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn learn_server(&self, name: String) {
        if self.shared.learns_name {
            if let Some(naming) = &self.naming {
                naming.learn(&name);
            }
            *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
        }
    }

    /// The server's own name, if it is to be said and was learned, and nobody gave it another.
    fn server(&self) -> Option<String> {
        if self.name.is_some() {
            return None;
        }
        self.shared
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The bytes of bodies that all open requests hold.
    fn open_bytes(&self) -> &Arc<Budget> {
        &self.shared.open
    }

    /// Reserves the memory of a decoder, if there is room for it.
    pub(crate) fn reserve_decoder(&self, bytes: usize) -> Option<Reserved> {
        let mut reserved = Reserved::none(&self.shared.decoders);
        reserved.grow(bytes).then_some(reserved)
    }

    /// The bytes that all conversations remember.
    pub(crate) fn remembered(&self) -> &Arc<Budget> {
        &self.shared.remembered
    }

    /// The same, whose conversations may remember so many bytes.
    #[cfg(test)]
    fn remembering(mut self, bytes: usize) -> Self {
        self.shared = Arc::new(Shared {
            remembered: Budget::new(bytes),
            ..Shared::default()
        });
        self
    }

    /// Counts an answer to nothing that was asked.
    fn stray(&self) {
        self.shared.strays.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers came to nothing that was asked.
    pub(crate) fn strays(&self) -> u64 {
        self.shared.strays.load(Ordering::Relaxed)
    }
}
