//! A server's own telemetry, and what a proxy or wrapper around it tells of the same request.
//!
//! The names of the two services say nothing: each was given by somebody else. In one trace the tree of spans tells:
//! the server's span is right below the watcher's, as its `traceparent` says, or both are right below a span of the client.
//! A server that sends the same request on is told apart by its own client's span, by another session, and by another id.
//! Where the server does not read the `traceparent`, session and JSON-RPC id on the wire name the request, and the times tell
//! apart what names the same, since some clients use their ids again.
//!
//! Each pair is judged by itself, and a watcher's span is remembered after it became part of a call. So the order in which they
//! come makes no difference, but for ids in use twice at the same time, of which a watcher has the first that comes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{Call, Origin, SpanId, SpanRef, UnixNanos, Vantage, semconv};
use serde::{Deserialize, Serialize};

use super::cluster::{Node, Places, Sets, own_session};
use super::effort::Effort;
use super::https::Https;
use super::intervals::{Interval, Intervals};
use super::relate::{SLACK_NANOS, agree};
use super::views::seen_from;
use crate::rows::hash::Identity;
use crate::write::incoming::Incoming;

/// The span of somebody who watches a server from outside its process, as far as rules compare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watcher {
    /// The span.
    pub(crate) span: SpanRef,
    parent: Option<SpanId>,
    started_at: UnixNanos,
    /// None while it runs.
    ended_at: Option<UnixNanos>,
    method: String,
    target: Option<String>,
    session: Option<String>,
    request_id: Option<String>,
    /// `None` also where a version remembered it that did not keep that.
    #[serde(default)]
    service: Option<String>,
}

/// Where a request that a watcher saw begin and end, and its server's own telemetry, can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The session's id on the wire.
    pub(crate) session: String,
    /// When it began.
    pub(crate) from: UnixNanos,
    /// When it had ended.
    pub(crate) to: UnixNanos,
}

/// A request as its server tells it, for which a watcher may wait in another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Served {
    /// The key under which.
    pub(crate) key: i64,
    /// No watcher of it ended before that.
    pub(crate) from: UnixNanos,
}

/// The key under which a request waits for what others tell of it in other traces. None where nothing names it, or it runs.
pub(crate) fn watched_key(call: &Call) -> Option<i64> {
    key_in(call, call.session_id.as_deref())
}

/// The same in a session that may be lent.
fn key_in(call: &Call, session: Option<&str>) -> Option<i64> {
    let (session, id) = (session?, call.request_id.as_deref()?);
    (call.vantage != Vantage::Client && call.has_own_end()).then(|| key(session, id, &call.method))
}

fn key(session: &str, id: &str, method: &str) -> i64 {
    Identity::default()
        .start(b'o')
        .text(Some(session))
        .text(Some(id))
        .text(Some(method))
        .hash8()
}

fn served_in(call: &Call, session: Option<&str>) -> Option<Served> {
    Some(Served {
        key: key_in(call, session)?,
        from: call.started_at.plus(-SLACK_NANOS),
    })
}

/// The requests of a batch for which watchers may wait, sorted, each once.
pub(crate) fn served(batch: &Incoming) -> Vec<Served> {
    let calls = batch.observations.iter().map(|seen| &seen.call);
    in_order(calls.filter_map(|call| served_in(call, call.session_id.as_deref())))
}

/// Those whose sessions only HTTP spans know.
pub(super) fn served_in_lent_sessions(nodes: &[Node]) -> Vec<Served> {
    in_order(
        nodes
            .iter()
            .filter_map(|node| served_in(&node.call, Some(node.lent_session.as_deref()?))),
    )
}

fn in_order(served: impl Iterator<Item = Served>) -> Vec<Served> {
    let mut served: Vec<Served> = served.collect();
    served.sort_unstable();
    served.dedup();
    served
}

/// Where the servers' own telemetry is looked for, of what watchers in the batch saw.
pub(crate) fn watched(batch: &Incoming) -> Vec<Watched> {
    let watchers = batch.observations.iter().map(|seen| &seen.call);
    let watched = watchers.filter(|call| is_watcher(call) && watched_key(call).is_some());
    watched
        .filter_map(|call| {
            Some(Watched {
                session: call.session_id.clone()?,
                from: call.started_at.plus(-SLACK_NANOS),
                to: call.ended_at().plus(SLACK_NANOS),
            })
        })
        .collect()
}

/// Whether a call is as somebody outside its server's process tells it.
pub(super) fn is_watcher(call: &Call) -> bool {
    call.origin.scope == semconv::WATCH_SCOPE && call.vantage != Vantage::Client
}

impl Watcher {
    /// The watcher whose view a call is.
    pub(super) fn of(call: &Call) -> Option<Self> {
        is_watcher(call).then(|| Self {
            span: SpanRef {
                trace_id: call.trace_id,
                span_id: call.primary_span_id,
            },
            parent: call.parent_span_id,
            started_at: call.started_at,
            ended_at: call.has_own_end().then(|| call.ended_at()),
            method: call.method.clone(),
            target: call.target().map(str::to_owned),
            session: call.session_id.clone(),
            request_id: call.request_id.clone(),
            service: call.origin.service.clone(),
        })
    }

    /// The call that it tells of, as far as rules compare it.
    fn call(&self) -> Call {
        let mut call = Call::bare(self.span.trace_id, self.span.span_id);
        call.parent_span_id = self.parent;
        call.started_at = self.started_at;
        match self.ended_at {
            Some(ended_at) => call.duration_nanos = ended_at.since(self.started_at),
            None => call.evidence.open = true,
        }
        call.method.clone_from(&self.method);
        call.tool.clone_from(&self.target);
        call.session_id.clone_from(&self.session);
        call.request_id.clone_from(&self.request_id);
        call.origin = Arc::new(Origin {
            service: self.service.clone(),
            scope: semconv::WATCH_SCOPE.to_owned(),
            ..Origin::default()
        });
        call
    }

    /// The key under which it waits for what the server tells in another trace.
    pub(crate) fn key(&self) -> Option<i64> {
        let (session, id) = (self.session.as_deref()?, self.request_id.as_deref()?);
        self.ended_at.map(|_| key(session, id, &self.method))
    }

    /// When it had ended, or had begun while it runs.
    pub(crate) fn until(&self) -> UnixNanos {
        self.ended_at.unwrap_or(self.started_at)
    }

    fn above(&self) -> Option<SpanRef> {
        let trace_id = self.span.trace_id;
        self.parent.map(|span_id| SpanRef { trace_id, span_id })
    }

    /// Whether nothing that both say differs.
    fn agrees_with(&self, call: &Call) -> bool {
        self.method == call.method
            && agree(self.target.as_deref(), call.target())
            && agree(self.request_id.as_deref(), call.request_id.as_deref())
            && agree(self.session.as_deref(), own_session(call))
    }

    fn has_id_of(&self, call: &Call) -> bool {
        self.request_id.is_some() && self.request_id == call.request_id
    }

    fn is_in(&self, session: Option<&str>) -> bool {
        self.session.is_some() && self.session.as_deref() == session
    }
}

/// The watchers of a neighbourhood and a batch, each with the node that it is part of.
pub(super) struct Watchers {
    all: Vec<(Watcher, usize)>,
    spans: HashSet<SpanRef>,
}

impl Watchers {
    /// Those among the nodes, and those that became part of stored calls earlier.
    pub(super) fn new(nodes: &[Node], places: &Places, remembered: Vec<(Watcher, i64)>) -> Self {
        let here = nodes.iter().enumerate();
        let mut all: Vec<(Watcher, usize)> = here
            .filter_map(|(index, node)| Some((Watcher::of(&node.call)?, index)))
            .collect();
        let placed = |(watcher, row): (Watcher, i64)| {
            let index = places.with_row_and_span(nodes, row, watcher.span)?;
            Some((watcher, index))
        };
        all.extend(remembered.into_iter().filter_map(placed));
        let spans = all.iter().map(|(watcher, _)| watcher.span).collect();
        Self { all, spans }
    }

    /// Whether a span is a watcher's.
    pub(super) fn has_span(&self, span: SpanRef) -> bool {
        self.spans.contains(&span)
    }

    /// The nodes whose client's view is above a watcher's that is part of them.
    pub(super) fn sent(&self, nodes: &[Node], https: &Https<'_>) -> Vec<usize> {
        let sent = self.all.iter().filter(|(watcher, index)| {
            let trace_id = watcher.span.trace_id;
            let mut above = https.ancestors(trace_id, watcher.parent);
            above.any(|span_id| {
                let span = SpanRef { trace_id, span_id };
                let node = nodes.get(*index);
                node.is_some_and(|node| node.spans.contains(&span)) && !self.has_span(span)
            })
        });
        sent.map(|(_, index)| *index).collect()
    }

    /// Those whose request its server tells of in another trace, as nodes of their own traces, each with the node that it is part
    /// of.
    pub(super) fn elsewhere(&self, nodes: &[Node]) -> Vec<(Node, usize)> {
        let elsewhere = self.all.iter().filter(|(watcher, index)| {
            let node = nodes.get(*index);
            node.is_some_and(|node| node.call.trace_id != watcher.span.trace_id)
        });
        elsewhere
            .map(|(watcher, index)| (Node::of_span(watcher.call()), *index))
            .collect()
    }

    /// Joins what watchers and servers tell of one request.
    pub(super) fn join(
        &self,
        (nodes, sets): (&[Node], &mut Sets),
        places: &Places,
        https: &Https<'_>,
        effort: &Effort,
    ) {
        if self.all.is_empty() {
            return;
        }
        self.join_below(nodes, sets, places, https, effort);
        self.join_clients(nodes, sets, places, https, effort);
        self.join_apart(nodes, sets, effort);
    }

    /// Spans of one trace: right below the watcher's, or beside it.
    fn join_below(
        &self,
        nodes: &[Node],
        sets: &mut Sets,
        places: &Places,
        https: &Https<'_>,
        effort: &Effort,
    ) {
        let mut by_span: HashMap<SpanRef, Vec<usize>> = HashMap::new();
        let mut beside: HashMap<SpanRef, Vec<usize>> = HashMap::new();
        for (at, (watcher, _)) in self.all.iter().enumerate() {
            by_span.entry(watcher.span).or_default().push(at);
            let above = watcher.above();
            if let Some(above) = above {
                beside.entry(above).or_default().push(at);
            }
        }
        let of = |places: &HashMap<SpanRef, Vec<usize>>, span: &SpanRef| {
            let found = places.get(span).map(Vec::as_slice).unwrap_or_default();
            effort.bounded(found.iter().copied()).collect::<Vec<_>>()
        };
        for (index, node) in nodes.iter().enumerate() {
            if node.call.vantage == Vantage::Client {
                continue;
            }
            let is_same = |watcher: &Watcher| {
                // Two watchers that say no session may stand around two servers.
                watcher.agrees_with(&node.call)
                    && (!is_watcher(&node.call) || watcher.is_in(own_session(&node.call)))
            };
            let trace_id = node.call.trace_id;
            for span_id in https.ancestors(trace_id, node.call.parent_span_id) {
                let span = SpanRef { trace_id, span_id };
                for at in of(&by_span, &span) {
                    if let Some((watcher, other)) = self.all.get(at)
                        && is_same(watcher)
                    {
                        sets.join(index, *other);
                    }
                }
                for at in of(&beside, &span) {
                    if let Some((watcher, other)) = self.all.get(at)
                        && is_same(watcher)
                        && (watcher.has_id_of(&node.call)
                            || is_sent_by(span, watcher, &[index, *other], nodes, places))
                    {
                        sets.join(index, *other);
                    }
                }
            }
        }
    }

    /// Spans of clients right above a watcher's. One that was joined before, and comes again, has its answer.
    fn join_clients(
        &self,
        nodes: &[Node],
        sets: &mut Sets,
        places: &Places,
        https: &Https<'_>,
        effort: &Effort,
    ) {
        let servers = nodes.iter().enumerate();
        let servers = servers.filter(|(_, node)| node.call.vantage != Vantage::Client);
        let mut answered: HashSet<usize> = servers.map(|(index, _)| sets.find(index)).collect();
        for (watcher, index) in &self.all {
            let trace_id = watcher.span.trace_id;
            for span_id in https.ancestors(trace_id, watcher.parent) {
                let above = places.with_span(SpanRef { trace_id, span_id });
                for &client in effort.bounded(above.iter()) {
                    let call = nodes.get(client).map(|node| &node.call);
                    let sends = |call: &Call| call.vantage == Vantage::Client && watcher.agrees_with(call);
                    if call.is_some_and(sends) && !answered.contains(&sets.find(client)) {
                        sets.join(*index, client);
                        answered.insert(sets.find(client));
                    }
                }
            }
        }
    }

    /// Spans of different traces, by what names the request on the wire, one lasting within the other. Ids that are in use
    /// twice at the same time name nothing for certain: each watcher has one server then, the first has the first.
    fn join_apart(&self, nodes: &[Node], sets: &mut Sets, effort: &Effort) {
        let mut ended: HashMap<i64, Vec<Interval>> = HashMap::new();
        for (at, (watcher, _)) in self.all.iter().enumerate() {
            if let Some(key) = watcher.key() {
                let interval = (watcher.started_at.0, watcher.until().0, at);
                ended.entry(key).or_default().push(interval);
            }
        }
        if ended.is_empty() {
            return;
        }
        let ended = ended.into_iter();
        let waiting: HashMap<i64, Intervals> = ended.map(|(key, of)| (key, Intervals::new(of))).collect();
        let served = |node: &Node| !is_watcher(&node.call) && seen_from(&node.call) == Vantage::Server;
        let mut pairs: Vec<(UnixNanos, UnixNanos, SpanRef, usize, usize, bool)> = Vec::new();
        for (index, node) in nodes.iter().enumerate().filter(|(_, node)| served(node)) {
            let session = node.wire_session();
            let Some(key) = key_in(&node.call, session) else {
                continue;
            };
            let Some(named) = waiting.get(&key) else { continue };
            let (from, to) = (node.call.started_at.0, node.call.ended_at().0);
            let (later, earlier) = (
                |at: i64| at.saturating_add(SLACK_NANOS),
                |at: i64| at.saturating_sub(SLACK_NANOS),
            );
            let around = named.around(later(from), earlier(to));
            let within = named.within(earlier(from), later(to));
            let at_the_time = effort.bounded(around).chain(effort.bounded(within));
            for (watcher, other) in at_the_time.filter_map(|at| self.all.get(at)) {
                if watcher.agrees_with(&node.call) && watcher.has_id_of(&node.call) && watcher.is_in(session)
                {
                    let starts = (node.call.started_at, watcher.started_at);
                    let is_lent = own_session(&node.call).is_none();
                    pairs.push((starts.0, starts.1, watcher.span, index, *other, is_lent));
                }
            }
        }
        if pairs.is_empty() {
            return;
        }
        pairs.sort_unstable();
        let with_watcher = self.all.iter().map(|(_, index)| sets.find(*index));
        let mut with_watcher: HashSet<usize> = with_watcher.collect();
        let indexes = nodes.iter().enumerate().filter(|(_, node)| served(node));
        let mut with_server: HashSet<usize> = indexes.map(|(index, _)| sets.find(index)).collect();
        for (.., server, watcher, is_lent) in pairs {
            let (of_server, of_watcher) = (sets.find(server), sets.find(watcher));
            if of_server != of_watcher
                && !with_watcher.contains(&of_server)
                && !with_server.contains(&of_watcher)
            {
                if is_lent {
                    // An HTTP span that is nearer may come, of another session.
                    sets.join_for_now(server, watcher);
                } else {
                    sets.join(server, watcher);
                }
                let both = sets.find(server);
                with_watcher.insert(both);
                with_server.insert(both);
            }
        }
    }
}

/// Whether a span is the client's view of the request: then whatever handles the same right below it handles that. It may be
/// part of one of the two already.
fn is_sent_by(span: SpanRef, watcher: &Watcher, both: &[usize], nodes: &[Node], places: &Places) -> bool {
    places.with_span(span).iter().any(|index| {
        let call = nodes.get(*index).map(|node| &node.call);
        both.contains(index)
            || call.is_some_and(|call| call.vantage == Vantage::Client && watcher.agrees_with(call))
    })
}
