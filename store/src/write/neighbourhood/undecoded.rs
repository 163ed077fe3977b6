//! The rows of a neighbourhood as they are stored, and the calls, lines and spans that they are decoded to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mcptap_model::{HttpSpan, LogLine, Origin, SpanRef, TraceId};
use sea_orm::DatabaseTransaction;

use super::Found;
use super::memory::{self, Held};
use crate::Error;
use crate::metrics::Counters;
use crate::rows::dictionary::{Dictionary, Glossary};
use crate::rows::entity::waiting;
use crate::rows::row::{kind, span_of, trace_of};
use crate::write::fold::{Known, Neighbourhood, Parts, View, WaitingLine, Watcher};

/// Rows of a neighbourhood and what they refer to.
pub(crate) struct Undecoded {
    found: Found,
    glossary: Glossary,
    origins: HashMap<i64, Arc<Origin>>,
    partial: HashSet<TraceId>,
}

impl Undecoded {
    /// With what the rows refer to. Reserves that, and what calls will have copies of.
    pub(super) async fn new(
        found: Found,
        db: &DatabaseTransaction,
        dictionary: &Dictionary,
        partial: HashSet<TraceId>,
        held: &mut Held,
    ) -> Result<Self, Error> {
        let mut hold = |bytes| held.grow(bytes);
        let glossary = dictionary.glossary(db, &found.calls, &mut hold).await?;
        let origins = found.waiting.iter().filter_map(|waiting| waiting.origin);
        let origins = dictionary.origins(db, origins, &mut hold).await?;
        let copied = found.calls.iter().map(|call| glossary.copied(call));
        held.grow(copied.sum::<usize>() * memory::COPIES)?;
        Ok(Self {
            found,
            glossary,
            origins,
            partial,
        })
    }

    /// The origins of what was read, with their ids.
    pub(crate) fn origins(&self) -> Vec<(i64, Arc<Origin>)> {
        let waiting = self.origins.iter().map(|(id, origin)| (*id, origin));
        let all = self.glossary.origins().chain(waiting);
        all.map(|(id, origin)| (id, Arc::clone(origin))).collect()
    }

    /// Makes calls, lines and spans of the rows; leaves out those that cannot be read. Work for a thread of a CPU pool.
    pub(crate) fn decode(self, counters: &Counters) -> Neighbourhood {
        let Self {
            found,
            glossary,
            origins,
            partial,
        } = self;
        let Found {
            calls,
            aliases,
            waiting,
            without_parts,
            whole_sessions,
            ..
        } = found;
        let mut near = Neighbourhood {
            partial,
            without_parts,
            ..Neighbourhood::default()
        };
        let mut rows: HashSet<i64> = HashSet::with_capacity(calls.len());
        for row in calls {
            let (id, of_session) = (row.id, (row.trace_lo, row.server));
            match glossary.call(row) {
                Ok(call) => {
                    if whole_sessions.contains(&of_session) {
                        let server = call.server_name().to_owned();
                        near.whole_sessions.insert((call.trace_id, server));
                    }
                    near.known.push(Known { row: id, call });
                    rows.insert(id);
                }
                Err(error) => counters.damaged(&error),
            }
        }
        for alias in aliases {
            let span = trace_of(alias.trace_hi, alias.trace_lo).zip(span_of(alias.span_id));
            let gone = alias.call.is_some_and(|call| !rows.contains(&call));
            if let Some((trace_id, span_id)) = span
                && !gone
            {
                near.aliases.push((SpanRef { trace_id, span_id }, alias.call));
            }
        }
        for row in waiting {
            match row.kind {
                kind::HTTP => {
                    if let Some(mut span) = data_of::<HttpSpan>(&row, counters) {
                        span.origin = row
                            .origin
                            .and_then(|id| origins.get(&id))
                            .cloned()
                            .unwrap_or_default();
                        near.https.push(span);
                    }
                }
                kind::LOG => {
                    if let Some(line) = data_of::<LogLine>(&row, counters) {
                        near.logs.push(WaitingLine {
                            key: row.id,
                            line,
                            placed: row.call.filter(|call| rows.contains(call)),
                        });
                    }
                }
                kind::LINK => {
                    if let Some(target) = data_of::<SpanRef>(&row, counters)
                        && let Some(call) = row.call.filter(|call| rows.contains(call))
                    {
                        near.links.push((target, call));
                    }
                }
                kind::VIEW => {
                    if let Some(above) = data_of::<SpanRef>(&row, counters)
                        && let Some(call) = row.call.filter(|call| rows.contains(call))
                        && let Some(origin) = row.origin.and_then(|id| origins.get(&id))
                    {
                        near.views.push(View {
                            above,
                            origin: Arc::clone(origin),
                            row: call,
                        });
                    }
                }
                kind::WATCHER => {
                    if let Some(watcher) = data_of::<Watcher>(&row, counters)
                        && let Some(call) = row.call.filter(|call| rows.contains(call))
                    {
                        near.watchers.push((watcher, call));
                    }
                }
                kind::PARTS => {
                    let Some(call) = row.call.filter(|call| rows.contains(call)) else {
                        continue;
                    };
                    match data_of::<Parts>(&row, counters) {
                        Some(parts) => near.parts.push((call, parts)),
                        None => drop(near.without_parts.insert(call)),
                    }
                }
                _ => tracing::warn!(
                    row = row.id,
                    kind = row.kind,
                    "a waiting row of a kind not known to this version"
                ),
            }
        }
        near
    }
}

/// The data of a row that waits; `None`, and counted, where it cannot be read.
fn data_of<T: serde::de::DeserializeOwned>(row: &waiting::Model, counters: &Counters) -> Option<T> {
    let data: Option<T> = serde_json::from_slice(&row.data).ok();
    if data.is_none() {
        counters.damaged(&Error::Damaged {
            table: "waiting",
            row: row.id,
            what: "its data cannot be read",
        });
    }
    data
}
