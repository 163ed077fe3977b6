//! Where records of one provider go, what may be in them, and which destination holds for the whole process.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mcptap_model::semconv;
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{Logger, LoggerProvider, Severity};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::joining::joins;
use super::open::Open;
use crate::capture::{Capture, CaptureError};
use crate::telemetry::{Redaction, has_global_provider};

/// What may be recorded, and how secrets are cut out of it.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) capture: Arc<Capture>,
    pub(crate) redaction: Redaction,
}

impl Rules {
    pub(crate) fn new(capture: Capture) -> Arc<Self> {
        let redaction = Redaction::of(&capture);
        Arc::new(Self {
            capture: Arc::new(capture),
            redaction,
        })
    }
}

/// Where log records go.
pub(crate) struct Logs(SdkLogger);

impl Logs {
    pub(crate) fn new(provider: &SdkLoggerProvider, scope: &InstrumentationScope) -> Arc<Self> {
        Arc::new(Self(provider.logger_with_scope(scope.clone())))
    }

    pub(super) fn logger(&self) -> &SdkLogger {
        &self.0
    }

    /// Whether events go anywhere.
    pub(super) fn takes_events(&self) -> bool {
        self.0
            .event_enabled(Severity::Debug, "", Some(semconv::CALL_RUNNING))
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Logs").finish_non_exhaustive()
    }
}

/// What a guard owns besides its providers: everything that holds for spans which it sends, whoever made them.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) logs: Arc<Logs>,
    pub(crate) rules: Arc<Rules>,
    /// The requests being handled whose spans it sends.
    pub(crate) open: Arc<Open>,
    /// Whether it sends nothing at all.
    is_off: bool,
}

impl Home {
    pub(crate) fn new(logs: &SdkLoggerProvider, capture: Capture, is_off: bool) -> Arc<Self> {
        Arc::new(Self {
            logs: Logs::new(logs, &scope()),
            rules: Rules::new(capture),
            open: Arc::default(),
            is_off,
        })
    }

    /// Whether its settings allow records at all.
    pub(crate) fn records(&self) -> bool {
        self.rules.capture.records()
    }
}

/// Where spans and log records go.
pub(crate) struct Destination {
    /// None: whichever provider is the application's global one when a request arrives.
    pub(super) tracer: Option<SdkTracer>,
    pub(super) logs: Option<Arc<Logs>>,
    /// None: those of the process.
    pub(super) rules: Option<Arc<Rules>>,
    /// Whether the provider is our own, which cuts secrets out on a thread of its own.
    pub(super) redacts: bool,
    /// The guard that it is of.
    pub(super) home: Option<Arc<Home>>,
    /// Whether the server that is watched is in this process.
    pub(super) is_inside: bool,
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Destination")
            .field("redacts", &self.redacts)
            .finish_non_exhaustive()
    }
}

impl Destination {
    /// A guard's own providers.
    pub(crate) fn own(spans: &SdkTracerProvider, home: &Arc<Home>) -> Arc<Self> {
        Arc::new(Self {
            tracer: Some(spans.tracer_with_scope(scope())),
            logs: Some(Arc::clone(&home.logs)),
            rules: Some(Arc::clone(&home.rules)),
            redacts: true,
            home: Some(Arc::clone(home)),
            is_inside: true,
        })
    }

    /// The same, whose records are of who watches the server from outside its process.
    pub(crate) fn outside(
        spans: &SdkTracerProvider,
        logs: &SdkLoggerProvider,
        home: &Arc<Home>,
    ) -> Arc<Self> {
        let scope = InstrumentationScope::builder(semconv::WATCH_SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Arc::new(Self {
            tracer: Some(spans.tracer_with_scope(scope.clone())),
            logs: Some(Logs::new(logs, &scope)),
            rules: Some(Arc::clone(&home.rules)),
            redacts: true,
            home: Some(Arc::clone(home)),
            is_inside: false,
        })
    }

    /// The application's global provider, which a guard's processor has joined.
    fn joined(home: &Arc<Home>) -> Arc<Self> {
        Arc::new(Self {
            tracer: None,
            logs: Some(Arc::clone(&home.logs)),
            rules: Some(Arc::clone(&home.rules)),
            redacts: false,
            home: Some(Arc::clone(home)),
            is_inside: true,
        })
    }

    /// Providers of the application.
    pub(super) fn foreign(spans: &SdkTracerProvider, logs: Option<&SdkLoggerProvider>) -> Arc<Self> {
        Arc::new(Self {
            tracer: Some(spans.tracer_with_scope(scope())),
            logs: logs.map(|logs| Logs::new(logs, &scope())),
            rules: None,
            redacts: false,
            home: None,
            is_inside: true,
        })
    }

    /// The application's global provider, if it has one, and what the environment says.
    fn environment() -> (Arc<Self>, Option<CaptureError>) {
        let (capture, wrong) = match Capture::from_env() {
            Ok(capture) => (capture, None),
            Err(error) => (Capture::metadata(), Some(error)),
        };
        let read = Self {
            tracer: None,
            logs: None,
            rules: Some(Rules::new(capture)),
            redacts: false,
            home: None,
            is_inside: true,
        };
        (Arc::new(read), wrong)
    }

    /// Whether nobody takes what it is given: telemetry that is switched off, or none at all.
    pub(super) fn leads_nowhere(&self) -> bool {
        match &self.home {
            Some(home) => self.redacts && home.is_off,
            None => self.tracer.is_none() && !has_global_provider(),
        }
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.clone().unwrap_or_else(process_rules)
    }
}

/// What holds for the process.
#[derive(Debug)]
struct Process {
    /// That of the guard that was installed.
    installed: Option<Arc<Destination>>,
    /// That of the last guard whose processor joined the application's provider.
    joined: Option<Arc<Destination>>,
    /// What holds without either; read when it is first asked for.
    environment: Option<Arc<Destination>>,
}

static PROCESS: RwLock<Process> = RwLock::new(Process {
    installed: None,
    joined: None,
    environment: None,
});

impl Process {
    fn current(&self) -> Option<&Arc<Destination>> {
        let known = self.installed.as_ref().or(self.joined.as_ref());
        known.or(self.environment.as_ref())
    }
}

/// The destination of servers that were given none.
pub(crate) fn process() -> Arc<Destination> {
    // The lock is held for a moment only: nothing is written under it.
    if let Some(known) = PROCESS.read().unwrap_or_else(PoisonError::into_inner).current() {
        return Arc::clone(known);
    }
    let (read, wrong) = Destination::environment();
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    let known = Arc::clone(process.environment.get_or_insert(read));
    drop(process);
    if let Some(error) = wrong {
        // After it is known: what hears of this may ask for it.
        tracing::error!(%error, "no bodies are recorded until this is mended");
    }
    known
}

/// What may be recorded of servers that were given no destination.
pub(crate) fn process_rules() -> Arc<Rules> {
    let process = process();
    // That of a process always has some.
    process
        .rules
        .clone()
        .unwrap_or_else(|| Rules::new(Capture::default()))
}

/// Makes a guard's destination that of the process. Fails where another guard's is.
pub(crate) fn install(destination: &Arc<Destination>) -> Result<(), Installed> {
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    if process.installed.is_some() {
        return Err(Installed);
    }
    process.installed = Some(Arc::clone(destination));
    Ok(())
}

/// Another guard is installed.
#[derive(Debug)]
pub(crate) struct Installed;

/// From now on servers that were given no destination record through the application's global provider, which a guard's
/// processor has joined.
pub(crate) fn join(home: &Arc<Home>) {
    joins();
    let joined = Destination::joined(home);
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    match &mut process.installed {
        Some(installed) if is_of(installed, home) => *installed = joined,
        _ => process.joined = Some(joined),
    }
}

/// Ends what [`install`] and [`join`] began for this guard.
pub(crate) fn leave(home: &Arc<Home>) {
    let mut process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    process.installed.take_if(|known| is_of(known, home));
    process.joined.take_if(|known| is_of(known, home));
}

fn is_of(destination: &Destination, home: &Arc<Home>) -> bool {
    destination.home.as_ref().is_some_and(|of| Arc::ptr_eq(of, home))
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
