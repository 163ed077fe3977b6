//! The parts of a stored call that are one request as far as is known: joined by time, by a JSON-RPC id, or by a session that
//! is lent. A span that comes later may tell that they are of different requests, as a gateway's does between an agent and a
//! server. So each part is kept as it would be without the others while spans are waited for, and whatever comes near is
//! related to the parts, not to the call.

use std::collections::BTreeSet;
use std::sync::Arc;

use mcptap_model::{Call, Origin, SpanRef};
use serde::{Deserialize, Serialize};

use super::cluster::Node;
use super::collect::forget_sources_of_nothing;
use super::{Known, Target, Whole};
use crate::rows::body::{Bodies, Body};

/// The parts of a call. The first is the one whose span tells of the call best, and has its origin.
pub(crate) type Parts = Vec<Part>;

/// What some spans of a call tell of it without the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    call: Call,
    bodies: Bodies,
    /// Which bodies are those of the call, and not kept twice.
    shared: Shared,
    /// All spans that it is made of.
    pub(crate) spans: BTreeSet<SpanRef>,
    links: Vec<SpanRef>,
    /// What is above the client's views that are surely of it.
    above: Vec<(SpanRef, Arc<Origin>)>,
}

/// Bodies that a part has in common with its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    request: bool,
    response: bool,
}

/// Which part of which stored call a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartOf {
    /// The call's row.
    pub(super) row: i64,
    /// The part's place, and how many there are.
    pub(super) place: usize,
    pub(super) of: usize,
    shared: Shared,
}

/// A stored call whose parts turned out to be of different requests.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    /// Its row.
    pub(crate) row: i64,
    /// Whose its first part is now, and with that all that hangs on the call and names no span of another part.
    pub(crate) first: Option<Target>,
    /// The spans of each other part, and whose that is now.
    pub(crate) others: Vec<(BTreeSet<SpanRef>, Option<Target>)>,
}

impl Parted {
    /// Whose its parts are now.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.first
            .iter()
            .chain(self.others.iter().filter_map(|(_, target)| target.as_ref()))
    }
}

/// The parts of a stored call, each as a node. The one that has the call's first span keeps its row.
pub(super) fn nodes_of(known: Known, parts: Parts) -> Vec<Node> {
    let Known { row, call: stored } = known;
    let first = SpanRef {
        trace_id: stored.trace_id,
        span_id: stored.span_id,
    };
    let holder = parts.iter().position(|part| part.spans.contains(&first));
    let of = parts.len();
    let nodes = parts.into_iter().enumerate().map(|(place, part)| {
        let Part {
            mut call,
            bodies,
            shared,
            spans,
            links,
            above,
        } = part;
        let is_holder = place == holder.unwrap_or_default();
        if place == 0 {
            call.origin = Arc::clone(&stored.origin);
        }
        if is_holder {
            (call.trace_id, call.span_id) = (first.trace_id, first.span_id);
        }
        let before = is_holder.then(|| {
            Box::new(Whole {
                call: stored.clone(),
                bodies: Bodies::default(),
            })
        });
        Node {
            row: is_holder.then_some(row),
            call,
            bodies,
            spans,
            links,
            before,
            is_watched: false,
            lent_session: None,
            detailed: true,
            part: Some(PartOf {
                row,
                place,
                of,
                shared,
            }),
            above,
        }
    });
    nodes.collect()
}

/// Puts in the bodies that a part has in common with its call.
pub(super) fn share(node: &mut Node, bodies: &Bodies) {
    if let Some(part) = &mut node.part {
        let Shared { request, response } = std::mem::take(&mut part.shared);
        if request {
            node.bodies.request.clone_from(&bodies.request);
        }
        if response {
            node.bodies.response.clone_from(&bodies.response);
        }
    }
}

/// Parts as they are kept, beside their call.
pub(super) fn kept(nodes: Vec<Node>, whole: &Whole, detailed: bool) -> Parts {
    let parts = nodes.into_iter().enumerate().map(|(place, node)| {
        let mut part = Whole {
            call: node.call,
            bodies: node.bodies,
        };
        // A body that was not read is shared.
        let unread = node.part.filter(|_| !detailed).map(|part| part.shared);
        let unread = unread.unwrap_or_default();
        forget_sources_of_nothing(&mut part, (unread.request, unread.response));
        let Whole { mut call, mut bodies } = part;
        if place == 0 {
            call.origin = Arc::default();
        }
        let take = |own: &mut Option<Body>, of_call: &Option<Body>| {
            own.take_if(|own| detailed && of_call.as_ref() == Some(own))
                .is_some()
        };
        let shared = Shared {
            request: take(&mut bodies.request, &whole.bodies.request) || unread.request,
            response: take(&mut bodies.response, &whole.bodies.response) || unread.response,
        };
        let links: BTreeSet<SpanRef> = node.links.into_iter().collect();
        let mut above = node.above;
        above.sort_by_key(|(span, _)| *span);
        above.dedup_by_key(|(span, _)| *span);
        Part {
            call,
            bodies,
            shared,
            spans: node.spans,
            links: links.into_iter().collect(),
            above,
        }
    });
    parts.collect()
}
