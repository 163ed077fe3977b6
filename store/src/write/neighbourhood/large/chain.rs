//! The rows that wait in large traces: HTTP spans around what a batch touches, and lines, links and views of its spans.

use std::collections::HashSet;

use mcptap_model::{HttpSpan, SpanRef};
use sea_orm::QueryResult;

use super::{Reading, pairs};
use crate::Error;
use crate::rows::row::{http_fingerprint, kind, trace_lo};
use crate::write::fold::HOPS;
use crate::write::neighbourhood::weights::{WAITING_BYTES, size};

impl Reading<'_> {
    /// HTTP spans above some spans and below others, as far as the rules follow them.
    pub(super) async fn over_https(
        &mut self,
        own: &HashSet<SpanRef>,
        named: &HashSet<SpanRef>,
        chain: &mut Chain,
    ) -> Result<(), Error> {
        if !self.filled.waiting {
            return Ok(());
        }
        let mut above: HashSet<SpanRef> = named.union(&chain.wanted).chain(own).copied().collect();
        let mut below: HashSet<SpanRef> = own.clone();
        chain.wanted.clear();
        for _ in 0..HOPS {
            above.retain(|span| chain.above.insert(*span));
            if above.is_empty() && below.is_empty() {
                break;
            }
            let mut next = (HashSet::new(), HashSet::new());
            let keys: Vec<[i64; 2]> = above
                .iter()
                .map(|span| [trace_lo(span.trace_id), http_fingerprint(*span)])
                .collect();
            let rows = self.waiting_by("fingerprint", &keys, Some(kind::HTTP)).await?;
            for http in self.take(&rows, chain).await? {
                next.0.extend(http.parent_span_id.map(|span_id| SpanRef {
                    trace_id: http.trace_id,
                    span_id,
                }));
            }
            let rows = self
                .waiting_by("span_id", &pairs(&below), Some(kind::HTTP))
                .await?;
            for http in self.take(&rows, chain).await? {
                let span = SpanRef {
                    trace_id: http.trace_id,
                    span_id: http.span_id,
                };
                if chain.below.insert(span) {
                    next.1.insert(span);
                }
            }
            (above, below) = next;
        }
        Ok(())
    }

    /// Rows that wait, by a column of theirs, with their bytes.
    async fn waiting_by(
        &mut self,
        column: &str,
        keys: &[[i64; 2]],
        of: Option<i16>,
    ) -> Result<Vec<(i64, usize)>, Error> {
        let kind = of.map_or(String::new(), |kind| format!(" AND w.kind = {kind}"));
        let text = format!(
            "WITH k (trace, sought) AS ({{keys}}) SELECT w.id, {WAITING_BYTES}, w.arrived_at \
             FROM k CROSS JOIN waiting AS w \
             WHERE w.trace_lo = k.trace AND w.{column} = k.sought{kind} LIMIT {{limit}}"
        );
        let rows = self.of_traces(&text, keys).await?;
        self.current(&rows)
    }

    /// Rows that wait, with their bytes, as a statement gives them with the time when they came, without those past their
    /// time.
    pub(super) fn current(&self, found: &[QueryResult]) -> Result<Vec<(i64, usize)>, Error> {
        let mut rows = Vec::with_capacity(found.len());
        for row in found {
            if row.try_get_by_index::<i64>(2)? >= self.since {
                rows.push((row.try_get_by_index(0)?, size(row.try_get_by_index(1)?)));
            }
        }
        Ok(rows)
    }

    /// Lines, links and views that wait for these spans.
    pub(super) async fn waiting_for(&mut self, spans: &HashSet<SpanRef>) -> Result<(), Error> {
        if !self.filled.waiting {
            return Ok(());
        }
        let rows = self.waiting_by("span_id", &pairs(spans), None).await?;
        self.take(&rows, &mut Chain::default()).await?;
        Ok(())
    }

    /// Reads rows that wait, and gives the HTTP spans among those that are new.
    pub(super) async fn take(
        &mut self,
        rows: &[(i64, usize)],
        chain: &mut Chain,
    ) -> Result<Vec<HttpSpan>, Error> {
        let new = self.found.read_waiting(self.snapshot, rows, self.held).await?;
        let mut https = Vec::new();
        for row in self.found.waiting.iter().skip(new) {
            if row.kind == kind::HTTP
                && let Ok(http) = serde_json::from_slice::<HttpSpan>(&row.data)
            {
                chain.https.insert(SpanRef {
                    trace_id: http.trace_id,
                    span_id: http.span_id,
                });
                chain.wanted.extend(http.parent_span_id.map(|span_id| SpanRef {
                    trace_id: http.trace_id,
                    span_id,
                }));
                https.push(http);
            }
        }
        Ok(https)
    }
}

/// HTTP spans found around a batch.
#[derive(Default)]
pub(super) struct Chain {
    /// Spans above, as far as they were looked for.
    pub(super) above: HashSet<SpanRef>,
    /// HTTP spans below the batch's own.
    pub(super) below: HashSet<SpanRef>,
    /// All HTTP spans found.
    pub(super) https: HashSet<SpanRef>,
    /// Spans above what was found, not looked for yet.
    pub(super) wanted: HashSet<SpanRef>,
}
