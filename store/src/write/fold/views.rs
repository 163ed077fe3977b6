//! Two views of one request, put together part by part.

use mcptap_model::{Call, Evidence, Part, SessionKey, Source, Sources, Vantage};

use super::explain;
use super::join::{forget, is_loopback};
use super::watched::is_watcher;
use crate::rows::body::Body;

/// Two views of one request: of each part the better source's value stays, of equal sources the lesser value, so that it
/// does not matter which came first.
struct Views<'a> {
    ours: &'a mut Sources,
    theirs: Sources,
}

impl Views<'_> {
    fn take<T: PartialOrd>(&mut self, part: Part, to: &mut Option<T>, from: Option<T>) {
        let Some(from) = from else { return };
        let source = self.theirs.of(part);
        let better = to
            .as_ref()
            .is_none_or(|to| (source, &from) < (self.ours.of(part), to));
        if better {
            *to = Some(from);
            self.ours.set(part, source);
        }
    }

    /// An address of the machine itself says less than any other; of several such, those of views come first, whichever
    /// view's.
    fn take_address(&mut self, to: &mut Option<String>, from: Option<String>) {
        let (ours, theirs) = (self.ours.of(Part::ClientIp), self.theirs.of(Part::ClientIp));
        let rank = |address: &Option<String>, source: Source| {
            let local = address.as_deref().is_some_and(is_loopback);
            let source = if local && source < Source::Http {
                Source::Server
            } else {
                source
            };
            (address.is_none(), local, source, address.clone())
        };
        if rank(&from, theirs) < rank(to, ours) {
            *to = from;
            self.ours.set(Part::ClientIp, theirs);
        }
    }

    /// A session with an id on the wire comes before one without.
    fn take_session(&mut self, primary: &mut Session<'_>, other: Session<'_>) {
        let source = self.theirs.of(Part::Session);
        let rank = |session: &Session<'_>, source: Source| {
            let key = session
                .key
                .as_ref()
                .map(|key| (key.source.code(), key.key.clone()));
            (
                session.wire.is_none(),
                key.is_none(),
                source,
                session.wire.clone(),
                key,
            )
        };
        if rank(&other, source) < rank(primary, self.ours.of(Part::Session)) {
            *primary.key = other.key.take().or(primary.key.take());
            *primary.wire = other.wire.take().or(primary.wire.take());
            self.ours.set(Part::Session, source);
        } else if primary.key.is_none() {
            *primary.key = other.key.take();
        }
    }
}

/// The session of a call, and its id on the wire.
struct Session<'a> {
    key: &'a mut Option<SessionKey>,
    wire: &'a mut Option<String>,
}

/// Takes from another view what the primary does not know, or only from a worse source.
pub(super) fn fill(primary: &mut Call, mut other: Call) {
    fn or<T>(to: &mut Option<T>, from: Option<T>) {
        if to.is_none() {
            *to = from;
        }
    }
    let mut sources = primary.evidence.sources;
    let same_vantage = seen_from(primary) == seen_from(&other);
    if !same_vantage && other.vantage == Vantage::Client {
        // The HTTP span with which the server answered lends to the server's own view, where it lasts around that.
        forget(&mut other, Source::LinkedHttp);
    }
    // Who watches from outside tells of each request once: no rule by time alone is about such spans.
    let watches = is_watcher(primary) || is_watcher(&other);
    let other_library = primary.origin.scope != other.origin.scope && !watches;
    if same_vantage && (other_library || other.evidence.sources.are_several()) {
        sources.note_several();
    }
    let logged = (primary.evidence.explained, primary.evidence.worded);
    primary.evidence = primary.evidence.union(if same_vantage {
        other.evidence
    } else {
        answer_only(other.evidence, primary.evidence.open)
    });
    (primary.evidence.explained, primary.evidence.worded) = logged;
    if !same_vantage && primary.evidence.open && has_answer(other.evidence) {
        primary.evidence.open = false;
        primary.duration_nanos = other.ended_at().since(primary.started_at);
        sources.set(Part::End, other.evidence.sources.of(Part::End));
    }
    let told_of_failure =
        other.evidence.failed || other.evidence.tool_error || other.rpc_error_code.is_some();
    if same_vantage || (told_of_failure && primary.outcome().is_error()) {
        or(&mut primary.rpc_error_code, other.rpc_error_code);
        or(&mut primary.error_type, other.error_type);
        explain::fill(primary, other.error_message, other.stack_trace, other.evidence);
    }
    let mut views = Views {
        ours: &mut sources,
        theirs: other.evidence.sources,
    };
    views.take(
        Part::Server,
        &mut primary.server,
        other.server.filter(|_| same_vantage),
    );
    views.take(Part::Tool, &mut primary.tool, other.tool);
    views.take(Part::Prompt, &mut primary.prompt, other.prompt);
    views.take(Part::ResourceUri, &mut primary.resource_uri, other.resource_uri);
    views.take(Part::HttpStatus, &mut primary.http_status, other.http_status);
    views.take(Part::RequestId, &mut primary.request_id, other.request_id);
    views.take(
        Part::ProtocolVersion,
        &mut primary.protocol_version,
        other.protocol_version,
    );
    views.take(Part::Transport, &mut primary.transport, other.transport);
    views.take(Part::ClientName, &mut primary.client_name, other.client_name);
    views.take(
        Part::ClientVersion,
        &mut primary.client_version,
        other.client_version,
    );
    // A client does not see its own address: what its view has of it, another's HTTP span lent.
    if same_vantage || other.vantage != Vantage::Client {
        views.take_address(&mut primary.client_ip, other.client_ip);
        views.take(Part::Country, &mut primary.country, other.country);
    }
    views.take(
        Part::Authorization,
        &mut primary.authorization,
        other.authorization,
    );
    views.take(Part::UserAgent, &mut primary.user_agent, other.user_agent);
    views.take_session(
        &mut Session {
            key: &mut primary.session,
            wire: &mut primary.session_id,
        },
        Session {
            key: &mut other.session,
            wire: &mut other.session_id,
        },
    );
    primary.evidence.sources = sources;
    for (name, value) in other.attributes {
        // Another side's name of the span is not this one's.
        if same_vantage || name != SPAN_NAME {
            primary.attributes.entry(name).or_insert(value);
        }
    }
    primary.received_at = primary.received_at.min(other.received_at);
}

/// The attribute that holds a span's name, where that says more than the conventions.
const SPAN_NAME: &str = "span.name";

/// Whether a span has seen the answer: then the request has ended, also where its server was gone before it told so.
fn has_answer(evidence: Evidence) -> bool {
    !(evidence.open || evidence.failed || evidence.cancelled || evidence.transport)
}

/// The evidence that a client has of the server's end: only what the answer said. Its own trouble is not the server's.
/// That the request still runs there is the server's own to say.
fn answer_only(evidence: Evidence, open: bool) -> Evidence {
    Evidence {
        tool_error: evidence.tool_error,
        input_required: evidence.input_required,
        loopback_v4: evidence.loopback_v4,
        loopback_v6: evidence.loopback_v6,
        open,
        ..Evidence::default()
    }
}

/// The most complete body wins, then the better source's. One that lost its end to mcptap's own cap has its size from the
/// same whole, so the same body again changes nothing.
pub(super) fn fill_body(
    part: Part,
    primary: &mut Call,
    to: &mut Option<Body>,
    from: Option<Body>,
    other: &Call,
) {
    let (ours, theirs) = (primary.evidence.sources.of(part), other.evidence.sources.of(part));
    let better = match (&to, &from) {
        (None, Some(_)) => true,
        (Some(to), Some(from)) if to.truncated != from.truncated && to.bytes != from.bytes => to.truncated,
        (Some(to), Some(from)) => (theirs, &from.data) < (ours, &to.data),
        _ => false,
    };
    if better {
        *to = from;
        primary.evidence.sources.set(part, theirs);
    }
}

/// Where a call was seen from: a server that was found to hand its requests on is a server, and a stored gateway's other
/// views say no less than its first.
pub(super) fn seen_from(call: &Call) -> Vantage {
    let is_servers = call.evidence.sources.of(Part::End) < Source::Gateway;
    match call.vantage {
        Vantage::Gateway if is_servers => Vantage::Server,
        vantage => vantage,
    }
}
