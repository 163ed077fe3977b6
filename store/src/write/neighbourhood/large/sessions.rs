//! The sessions that large traces make.

use std::collections::{HashMap, HashSet};

use mcptap_model::SessionSource;
use sea_orm::ConnectionTrait;

use super::{Because, ROWS, Reading, Traces};
use crate::Error;
use crate::rows::hash::text_hash;
use crate::rows::row::trace_lo;
use crate::write::neighbourhood::server_ids;
use crate::write::neighbourhood::statement::{arms, each};
use crate::write::neighbourhood::weights::{CALL_BYTES, size};

/// How many calls of each session that a trace makes are read: more than one tells that it is one, also where some become part
/// of others now.
const OF_SESSION: usize = 4;

/// How many sessions of a trace are looked at, and how many servers without one: one for each server.
const SESSIONS: usize = 64;

impl Reading<'_> {
    /// Some calls of each session that a trace makes, one for each server: enough to tell that it is one, or still is. For each
    /// server of the batch where it makes none yet, the last calls are looked through for one that carried no id.
    pub(super) async fn sessions(&mut self, traces: &Traces) -> Result<(), Error> {
        let named = traces.iter().flat_map(|(_, reach)| &reach.sessionless);
        let named: HashSet<&str> = named.map(String::as_str).collect();
        let known = if named.is_empty() {
            HashMap::new()
        } else {
            server_ids(self.snapshot, named.into_iter()).await?
        };
        let mut seen: HashMap<i64, HashSet<i64>> = HashMap::new();
        let mut in_session: HashMap<i64, HashSet<i64>> = HashMap::new();
        for call in &self.found.calls {
            seen.entry(call.trace_lo).or_default().insert(call.server);
            if call.session.is_some() {
                in_session.entry(call.trace_lo).or_default().insert(call.server);
            }
        }
        let mut servers = Vec::new();
        for (trace, reach) in traces {
            let lo = trace_lo(*trace);
            let mut of_trace: HashSet<i64> = reach
                .sessionless
                .iter()
                .filter_map(|name| known.get(name).copied())
                .collect();
            if reach.lends {
                of_trace.extend(seen.get(&lo).into_iter().flatten());
            }
            // A call that becomes part of another leaves the session: that may be none without it.
            let mut touched = in_session.remove(&lo).unwrap_or_default();
            touched.extend(&of_trace);
            if !touched.is_empty() {
                servers.push((lo, text_hash(&trace.to_string()), of_trace, touched));
            }
        }

        let text = format!(
            "SELECT key_hash, server, id FROM sessions WHERE key_hash = ? AND source = {} LIMIT {SESSIONS}",
            SessionSource::Trace.code()
        );
        let mut ids: HashMap<(i64, i64), i64> = HashMap::new();
        let keys: Vec<[i64; 1]> = servers.iter().map(|(_, key, ..)| [*key]).collect();
        for keys in keys.chunks(arms(self.db)) {
            for row in self.snapshot.query_all_raw(each(self.db, &text, keys)).await? {
                let of_server = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                ids.insert(of_server, row.try_get_by_index(2)?);
            }
        }

        let text = format!(
            "SELECT id, {CALL_BYTES} AS bytes, session FROM calls WHERE session = ? AND trace_lo = ? \
             ORDER BY started_at LIMIT {OF_SESSION}"
        );
        let mut keys: Vec<[i64; 2]> = Vec::new();
        let mut left: HashMap<i64, (i64, i64, usize)> = HashMap::new();
        for (lo, key, _, servers) in &servers {
            for server in servers {
                if let Some(session) = ids.get(&(*key, *server)) {
                    keys.push([*session, *lo]);
                    left.insert(*session, (*lo, *server, OF_SESSION));
                }
            }
        }
        let mut with: HashSet<i64> = HashSet::new();
        for keys in keys.chunks(arms(self.db)) {
            let mut named = Vec::new();
            let mut counted: HashSet<i64> = HashSet::new();
            for row in self.snapshot.query_all_raw(each(self.db, &text, keys)).await? {
                let id = row.try_get_by_index(0)?;
                if !counted.insert(id) {
                    continue;
                }
                named.push((id, size(row.try_get_by_index(1)?)));
                if let Some((.., left)) = left.get_mut(&row.try_get_by_index(2)?) {
                    *left = left.saturating_sub(1);
                }
            }
            self.found.read(named.len(), usize::MAX);
            let rows = self.calls_named(&named, Because::Near).await?;
            let calls = rows.iter().filter_map(|row| self.found.call(*row));
            with.extend(calls.filter_map(|call| call.session));
        }
        let all_read = left.into_values().filter(|(.., left)| *left > 0);
        let all_read = all_read.map(|(lo, server, _)| (lo, server));
        self.found.whole_sessions.extend(all_read);

        let text = format!(
            "SELECT last.id, last.bytes FROM (SELECT id, {CALL_BYTES} AS bytes, session, server FROM calls \
             WHERE trace_lo = ? ORDER BY started_at / 2 + duration / 2 DESC LIMIT {ROWS}) AS last \
             WHERE last.server = ? AND (last.session IS NULL OR \
             EXISTS (SELECT 1 FROM sessions WHERE sessions.id = last.session AND sessions.source = {})) \
             LIMIT {OF_SESSION}",
            SessionSource::Client.code()
        );
        let mut keys: Vec<[i64; 2]> = Vec::new();
        for (lo, key, servers, _) in servers {
            let without = servers.into_iter().filter(|server| {
                let session = ids.get(&(key, *server));
                session.is_none_or(|session| !with.contains(session))
            });
            keys.extend(without.take(SESSIONS).map(|server| [lo, server]));
        }
        for keys in keys.chunks(arms(self.db)) {
            self.calls_of(each(self.db, &text, keys), Because::Near).await?;
        }
        Ok(())
    }
}
