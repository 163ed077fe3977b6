//! Ordinary records that are written and undone: where the database refuses these too, no record is at fault.

use std::sync::Arc;

use mcptap_model::{
    Batch, Call, HttpSpan, LogLine, Observation, Origin, Payload, SessionKey, SessionSource, SpanId,
    SpanKind, TraceId, Transport,
};
use serde_json::Map;

use super::Committer;
use crate::db::transaction::Transaction;
use crate::supervise::contained;
use crate::write::incoming::Incoming;
use crate::{CpuError, Error, clock};

impl Committer {
    /// Writes a record of every sort into every table, as any other is written, and undoes it. Whatever makes that fail
    /// makes every write fail: a trigger, a constraint, a column that somebody added or took away. An error about a value
    /// is then [`Error::Refused`].
    pub(crate) async fn try_plain_records(&mut self) -> Result<(), Error> {
        self.remembered.forget();
        // Senders wait for it, and it is a few rows: where these take long, nothing gets through.
        let database = self.preparation.database.clone();
        let (health, limit) = (database.health(), database.write_limit() / 6);
        let tried = contained(health, "committer", limit, self.write_and_undo()).await;
        let tried = tried.and_then(|tried| tried);
        // The ids that it was given are undone too.
        self.remembered.forget();
        tried.map_err(|error| match error {
            Error::Data(cause) => Error::Refused(cause),
            // These records are mcptap's own: whatever makes them fail is no fault of others.
            Error::Work(CpuError::Panicked) => Error::Lost,
            error => error,
        })
    }

    async fn write_and_undo(&mut self) -> Result<(), Error> {
        let batch = plain_records()?;
        // Its trace is new: nothing that is stored lies near, so what is prepared stays true.
        let prepared = self.preparation.prepare(Incoming::new(batch)).await?;
        let mut tx = Transaction::begin(&self.preparation.database).await?;
        let advanced = tx.advance(prepared.numbers(), 0).await?;
        self.remembered.at_epoch(advanced);
        self.write(&mut tx, prepared, advanced).await?;
        tx.check_constraints().await?;
        tx.rollback().await?;
        Ok(())
    }
}

/// A call with bodies and a log line, and an HTTP span and a log line that wait for theirs. Their names are new, so that
/// rows are added to every table.
fn plain_records() -> Result<Batch, Error> {
    let number = getrandom::u64().map_err(|error| Error::Randomness(error.to_string()))?;
    let name = format!("mcptap-check-{number:016x}");
    let now = clock::now();
    let [one, other] = [number | 1, number.wrapping_add(2) | 1];
    let origin = Arc::new(Origin {
        service: Some(name.clone()),
        ..Origin::default()
    });
    let line = |number| -> Result<LogLine, Error> {
        Ok(LogLine {
            trace_id: trace(number)?,
            span_id: Some(span(number)?),
            service: Some(name.clone()),
            time: now,
            severity: "INFO".to_owned(),
            body: name.clone(),
            attributes: Map::new(),
        })
    };
    let call = Call {
        origin: Arc::clone(&origin),
        server: Some(name.clone()),
        method: "tools/call".to_owned(),
        tool: Some(name.clone()),
        started_at: now,
        duration_nanos: 1,
        received_at: now,
        session_id: Some(name.clone()),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: name.clone(),
        }),
        transport: Some(Transport::StreamableHttp),
        client_name: Some(name.clone()),
        request: Some(Payload::whole(name.clone())),
        response: Some(Payload::whole(name.clone())),
        ..Call::bare(trace(one)?, span(one)?)
    };
    let http = HttpSpan {
        trace_id: trace(other)?,
        span_id: span(one)?,
        parent_span_id: None,
        kind: SpanKind::Server,
        origin,
        started_at: now,
        ended_at: now,
        http_status: None,
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: None,
        session_id: None,
        protocol_version: None,
    };
    Ok(Batch {
        observations: vec![Observation {
            call,
            links: Vec::new(),
        }],
        https: vec![http],
        logs: vec![line(one)?, line(other)?],
    })
}

fn trace(number: u64) -> Result<TraceId, Error> {
    // Only zero is no id, and the number is odd.
    let bytes = (u128::from(number) << 64 | u128::from(number)).to_be_bytes();
    TraceId::from_bytes(&bytes).map_err(|_| Error::Lost)
}

fn span(number: u64) -> Result<SpanId, Error> {
    SpanId::from_bytes(&number.to_be_bytes()).map_err(|_| Error::Lost)
}
