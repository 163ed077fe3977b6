//! The sender of a span: the ids of a span are told by one sender only. Whoever else uses them is left out.

use std::collections::{HashMap, HashSet};

use mcptap_model::{Call, SpanRef, Vantage};

use super::cluster::Node;
use super::relate::agree;
use super::watched::is_watcher;
use crate::write::incoming::Seen;

/// A span as one sender tells it: its ids, and the names that the sender has for its service and for the server.
pub(crate) type Told = (SpanRef, Option<String>, Option<String>);

/// A span under the names of its sender.
pub(crate) fn told(call: &Call) -> Told {
    (span_of(call), call.origin.service.clone(), call.server.clone())
}

fn span_of(call: &Call) -> SpanRef {
    SpanRef {
        trace_id: call.trace_id,
        span_id: call.span_id,
    }
}

/// What is known of the sender of a span.
#[derive(Clone, Copy)]
enum Teller<'a> {
    /// What the span itself came with, as far as any delivery of it had it.
    Own {
        service: Option<&'a str>,
        instance: Option<&'a str>,
        server: Option<&'a str>,
        /// Whether it was announced and nothing more.
        open: bool,
    },
    /// The span is a view that was folded into a stored call, whose own names are those of another view.
    Folded(&'a Call),
}

impl<'a> Teller<'a> {
    fn of(call: &'a Call) -> Self {
        Self::Own {
            service: call.origin.service.as_deref(),
            instance: call.origin.instance.as_deref(),
            server: call.server.as_deref(),
            open: call.evidence.open,
        }
    }

    /// Whether the same span may have come from the sender of `call`. An announcement may know less than what follows.
    fn may_be(self, call: &Call) -> bool {
        let of_service = |service| agree(service, call.origin.service.as_deref());
        match self {
            Self::Own {
                service,
                instance,
                server,
                open,
            } => {
                // A wrapper calls its service by the server's name once it knows that. An announcement that comes after its
                // span says nothing new.
                let same_process = instance.is_some() && instance == call.origin.instance.as_deref();
                let says_nothing =
                    call.evidence.open && (call.server.is_none() || call.server.as_deref() == server);
                let renamed = same_process && (open || says_nothing);
                (of_service(service) || renamed) && agree(server, call.server.as_deref())
            }
            // A client's view of a server's call has names of its own, and so has a watcher's; other views of one side have one
            // service.
            Self::Folded(into) => {
                (call.vantage == Vantage::Client && into.vantage != Vantage::Client)
                    || is_watcher(call)
                    || is_watcher(into)
                    || of_service(into.origin.service.as_deref())
            }
        }
    }

    /// With what another delivery adds.
    fn and(self, call: &'a Call) -> Self {
        let Self::Own {
            service,
            instance,
            server,
            open,
        } = self
        else {
            return self;
        };
        let (service_now, server_now) = (call.origin.service.as_deref(), call.server.as_deref());
        let (service, server) = if call.evidence.open {
            (service.or(service_now), server.or(server_now))
        } else {
            (service_now.or(service), server_now.or(server))
        };
        Self::Own {
            service,
            instance: instance.or(call.origin.instance.as_deref()),
            server,
            open: open && call.evidence.open,
        }
    }
}

/// Takes out of a batch the spans whose ids are those of another sender's span: that one, stored or first in the batch,
/// stays as it is. Gives what was taken out.
pub(super) fn leave_out_foreign(stored: &[Node], observations: &mut Vec<Seen>) -> HashSet<Told> {
    let mut tellers: HashMap<SpanRef, Teller<'_>> = HashMap::with_capacity(observations.len());
    for Node { call, spans, .. } in stored {
        for span in spans {
            let own = span.trace_id == call.trace_id && span.span_id == call.primary_span_id;
            let teller = if own {
                Teller::of(call)
            } else {
                Teller::Folded(call)
            };
            tellers.entry(*span).or_insert(teller);
        }
    }
    let foreign: Vec<bool> = observations
        .iter()
        .map(|Seen { call, .. }| {
            let known = tellers.get(&span_of(call)).copied();
            if known.is_some_and(|teller| !teller.may_be(call)) {
                return true;
            }
            let teller = known.map_or_else(|| Teller::of(call), |known| known.and(call));
            tellers.insert(span_of(call), teller);
            false
        })
        .collect();
    let mut left_out = HashSet::new();
    let mut marks = foreign.into_iter();
    observations.retain(|Seen { call, .. }| {
        let foreign = marks.next().unwrap_or_default();
        if foreign {
            left_out.insert(told(call));
        }
        !foreign
    });
    left_out
}
