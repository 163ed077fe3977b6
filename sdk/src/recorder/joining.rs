//! Which guard sends a span: its processor says so while the span begins, on the thread that begins it.
//!
//! The application may have given its own provider our processor, and nothing but that processor can tell.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::destination::Home;

thread_local! {
    static SEEN: RefCell<Option<Arc<Home>>> = const { RefCell::new(None) };
}

/// Whether a processor of ours was ever given to a provider of the application.
static JOINED: AtomicBool = AtomicBool::new(false);

/// A span begins that this guard sends.
pub(crate) fn saw(home: &Arc<Home>) {
    SEEN.with_borrow_mut(|seen| {
        seen.get_or_insert_with(|| Arc::clone(home));
    });
}

/// Has `begin` begin a span. Returns the guard that sends it, too; of several the first.
pub(super) fn seeing<T>(begin: impl FnOnce() -> T) -> (T, Option<Arc<Home>>) {
    SEEN.set(None);
    let begun = begin();
    (begun, SEEN.take())
}

/// A processor of ours is given to a provider of the application.
pub(super) fn joins() {
    JOINED.store(true, Ordering::Relaxed);
}

/// Whether spans of the application's provider may be sent by a guard.
pub(crate) fn is_joined() -> bool {
    JOINED.load(Ordering::Relaxed)
}
