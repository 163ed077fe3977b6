//! The changes that merged requests make to what is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mcptap_model::{Call, Part, Source, SpanRef};

use super::https::Https;
use super::join::is_loopback;
use super::merge::Merged;
use super::parts::{Parted, Parts, kept};
use super::watched::{Watcher, is_watcher};
use super::{Changes, Target, Whole};
use crate::read::visits::{client_of, is_in_place};

/// Writes down what changed. The parts of stored calls are given as they are kept.
pub(super) fn collect(
    merged: Vec<Merged>,
    https: &Https<'_>,
    aliases: &HashMap<SpanRef, Option<i64>>,
    (mut parts, without_parts): (HashMap<i64, Parts>, &HashSet<i64>),
    changes: &mut Changes,
) {
    let mut added = 0;
    let mut places: HashMap<i64, BTreeMap<usize, Option<Target>>> = HashMap::new();
    for merged in merged {
        let target = merged.target(&mut added);
        if merged.is_unread {
            // To write it anew would lose what cannot be read.
            for part in &merged.of {
                parts.remove(&part.row);
            }
            continue;
        }
        for part in &merged.of {
            places.entry(part.row).or_default().insert(part.place, target);
        }
        let Merged {
            node,
            rows,
            void,
            above,
            watchers,
            parts: parts_now,
            is_unchanged,
            ..
        } = merged;
        changes.removed.extend(rows.iter().map(|row| (*row, target)));
        if void {
            changes.removed.extend(node.row.map(|row| (row, None)));
        }
        let first = SpanRef {
            trace_id: node.call.trace_id,
            span_id: node.call.span_id,
        };
        // Spans that are known to be part of that row need not be remembered again.
        let row = match target {
            Some(Target::Known(row)) => Some(Some(row)),
            Some(Target::Added(_)) => None,
            None => Some(None),
        };
        let others = node.spans.iter().filter(|span| {
            let known = aliases.get(span).copied();
            // The first span of a call may have been another's.
            let is_first = !void && **span == first;
            if is_first {
                known.is_some() && known != row
            } else {
                row.is_none() || known != row
            }
        });
        changes.aliases.extend(others.map(|span| (*span, target)));
        let Some(target) = target else { continue };
        let links: BTreeSet<SpanRef> = node.links.into_iter().collect();
        for link in links {
            if https.get(link).is_none() {
                changes.waiting_links.push((link, target));
            } else if link.trace_id != first.trace_id {
                changes.joined_links.push((link, target));
            }
        }
        if !is_unchanged {
            changes
                .waiting_views
                .extend(above.into_iter().map(|(span, origin)| (span, origin, target)));
        }
        let is_own =
            |watcher: &Watcher| is_watcher(&node.call) && watcher.span.span_id == node.call.primary_span_id;
        // One that is the call itself is found in its trace without that.
        let watchers = watchers
            .into_iter()
            .map(|watcher| (is_own(&watcher), watcher))
            .filter(|(is_own, watcher)| !is_own || watcher.key().is_some());
        changes
            .waiting_watchers
            .extend(watchers.map(|(is_own, watcher)| (watcher, target, !is_own)));
        let mut whole = Whole {
            call: node.call,
            bodies: node.bodies,
        };
        forget_sources_of_nothing(&mut whole, (!node.detailed, !node.detailed));
        if !parts_now.is_empty() {
            let now = kept(parts_now, &whole, node.detailed);
            let row = node.row.filter(|row| parts.get(row) == Some(&now));
            match row {
                Some(row) => drop(parts.remove(&row)),
                None => changes.parts.push((now, target)),
            }
        }
        match node.before {
            Some(before) if *before != whole => {
                changes.moved.extend(left_visits(&before.call, &whole.call));
                changes.undetailed.extend(node.row.filter(|_| !node.detailed));
                changes.completed.extend(node.row.map(|row| (row, whole)));
            }
            Some(_) => {}
            None => changes.added.push(whole),
        }
    }
    // Parts that were not read are not of the call as it is now.
    let completed = changes.completed.iter().map(|(row, _)| row);
    let stale = completed.filter(|row| without_parts.contains(row));
    changes.no_parts.extend(stale);
    for (row, parts) in parts {
        changes.no_parts.push(row);
        let places = places.remove(&row).unwrap_or_default();
        let first = places.get(&0).copied().flatten();
        let others = parts.into_iter().enumerate().skip(1);
        let others = others.map(|(place, part)| (part.spans, places.get(&place).copied().flatten()));
        let others: Vec<(BTreeSet<SpanRef>, Option<Target>)> = others.collect();
        if others.iter().any(|(_, target)| *target != first) {
            changes.parted.push(Parted { row, first, others });
        }
    }
}

/// Unknown parts have no source, so that calls that say the same are equal. Bodies that are `unread` (the request's, and the
/// response's) are as they are stored.
pub(super) fn forget_sources_of_nothing(whole: &mut Whole, unread: (bool, bool)) {
    let Whole { call, bodies } = whole;
    let lent_address = call.evidence.sources.of(Part::ClientIp) >= Source::Http;
    let known = [
        (Part::Server, call.server.is_some()),
        (Part::Tool, call.tool.is_some()),
        (Part::Prompt, call.prompt.is_some()),
        (Part::ResourceUri, call.resource_uri.is_some()),
        (Part::HttpStatus, call.http_status.is_some()),
        (Part::RequestId, call.request_id.is_some()),
        (Part::ProtocolVersion, call.protocol_version.is_some()),
        (Part::Transport, call.transport.is_some()),
        (Part::ClientName, call.client_name.is_some()),
        (Part::ClientVersion, call.client_version.is_some()),
        // No view's word for the machine's own address is better than another's.
        (
            Part::ClientIp,
            call.client_ip
                .as_deref()
                .is_some_and(|address| lent_address || !is_loopback(address)),
        ),
        (Part::Country, call.country.is_some()),
        (Part::Authorization, call.authorization.is_some()),
        (Part::UserAgent, call.user_agent.is_some()),
        // A derived session comes from no span.
        (
            Part::Session,
            call.session_id.is_some()
                || call
                    .session
                    .as_ref()
                    .is_some_and(|session| !session.source.is_derived()),
        ),
        (Part::Request, unread.0 || bodies.request.is_some()),
        (Part::Response, unread.1 || bodies.response.is_some()),
    ];
    for (part, _) in known.into_iter().filter(|(_, known)| !known) {
        call.evidence.sources.set(part, Source::Server);
    }
}

/// The client (server, key) in whose visits a stored call is not any more as it was.
fn left_visits(before: &Call, now: &Call) -> Option<(String, String)> {
    let client = client_of(before).filter(|_| !is_in_place(before, now))?;
    Some((before.server_name().to_owned(), client.to_owned()))
}
