//! Sessions that nobody named: what links a call to others where no span gave an id.
//!
//! Both kinds follow from what is stored, never from the order in which it came: several calls of one trace to one
//! server, else the same client at the same server. Where the pauses of a client are is not decided here but read
//! (see `visits`), because a late call may bridge one.

use std::collections::{HashMap, HashSet};

use mcptap_model::{Call, SessionKey, SessionSource, TraceId};

use super::merge::Merged;
use crate::rows::hash::Identity;

/// Gives a session to each call that none was given to. Of the traces that were read as a whole, all calls are here; of
/// the others those that matter to the batch, and some of each session that the trace makes: unless these are all of it
/// (`whole_sessions`, by server), it stays one.
pub(super) fn derive(
    merged: &mut [Merged],
    whole: &HashSet<TraceId>,
    whole_sessions: &HashSet<(TraceId, String)>,
) {
    let mut calls: HashMap<(TraceId, &str), usize> = HashMap::new();
    for call in merged.iter().filter(|call| needs_one(call)) {
        let call = &call.node.call;
        *calls.entry((call.trace_id, call.server_name())).or_default() += 1;
    }
    let several: HashSet<(TraceId, String)> = calls
        .into_iter()
        .filter(|(_, calls)| *calls > 1)
        .map(|((trace, server), _)| (trace, server.to_owned()))
        .collect();
    for call in merged.iter_mut().filter(|call| needs_one(call)) {
        let node = &mut call.node;
        let place = (node.call.trace_id, node.call.server_name().to_owned());
        // As another server's call it was in another session.
        let before = node.before.as_ref().map(|before| &before.call);
        let stored = before
            .filter(|before| before.server_name() == place.1)
            .and_then(|before| before.session.as_ref());
        let in_trace = several.contains(&place)
            || (!whole.contains(&place.0)
                && !whole_sessions.contains(&place)
                && stored.is_some_and(|session| session.source == SessionSource::Trace));
        let key = if in_trace {
            Some((SessionSource::Trace, place.0.to_string()))
        } else {
            client(&node.call).map(|key| (SessionSource::Client, key))
        };
        node.call.session = key.map(|(source, key)| SessionKey { source, key });
    }
}

fn needs_one(call: &Merged) -> bool {
    let call = (!call.void).then_some(&call.node.call);
    call.is_some_and(|call| call.session.is_none() && call.session_id.is_none())
}

/// Who called: name, version, address and credentials, hashed. Nothing where neither name nor address is known:
/// credentials are cut to their first characters, which many share.
fn client(call: &Call) -> Option<String> {
    if call.client_name.is_none() && call.client_ip.is_none() {
        return None;
    }
    let mut identity = Identity::default();
    identity
        .start(b'v')
        .text(call.client_name.as_deref())
        .text(call.client_version.as_deref())
        .text(call.client_ip.as_deref())
        .text(call.authorization.as_deref());
    Some(
        identity
            .hash16()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
