//! The handling of failures: a conflict is tried again, and a record that can never be stored is found and left out.

use std::time::{Duration, Instant};

use super::{Committer, batches};
use crate::write::incoming::Incoming;
use crate::write::prepare::Prepared;
use crate::write::queue::{Rejected, Request, Written};
use crate::{CpuError, Error, ErrorKind, WriteError};

/// How often a group is tried again after a transient failure, and until when: its senders wait meanwhile, and so do all
/// others.
const RETRIES: u32 = 6;
const RETRY_FOR: Duration = Duration::from_secs(3);

/// The mean time before the first retry. It doubles with each.
const BACKOFF: Duration = Duration::from_millis(20);

/// How many transactions one request may cost, and how long these may take. Of a request with more parts that cannot be
/// stored, the rest is rejected too.
const TRANSACTIONS: usize = 512;
const HALVING: Duration = Duration::from_secs(120);

/// When a write that did not fit into memory may come again.
const WAIT: Duration = Duration::from_secs(1);

/// For how long it holds that ordinary records can be written.
const TRIED: Duration = Duration::from_secs(1);

/// The most bytes of a reason in an answer.
const REASON: usize = 200;

impl Committer {
    /// Stores a group and answers its requests.
    pub(super) async fn store(&mut self, requests: Vec<Request>, prepared: Result<Prepared, Error>) {
        let started = Instant::now();
        // Parts of the group that are still to be stored, the first at the end.
        let mut parts = vec![(requests, Some(prepared))];
        let mut tried = None;
        while let Some((mut requests, prepared)) = parts.pop() {
            let mut outcome = self.persist(&batches(&requests), prepared).await;
            if let Err(error) = &outcome
                && let Err(fault) = self.blames_a_record(error, &mut tried).await
            {
                // It is the same for all that wait here.
                requests.extend(parts.drain(..).rev().flat_map(|(requests, _)| requests));
                outcome = Err(fault);
            }
            if let Err(error) = &outcome
                && error.kind() == ErrorKind::TimedOut
                && started.elapsed() >= HALVING
            {
                // Senders have left by now: what is stored of theirs changes nothing when it comes again.
                requests.extend(parts.drain(..).rev().flat_map(|(requests, _)| requests));
                self.fail(requests, error);
                return;
            }
            match outcome {
                Ok(written) => self.answer(requests, &written, started),
                Err(error) if is_of_some_records(&error) && requests.len() > 1 => {
                    if let Some(more) = self.complaints.note(&format!("halves: {error}"), Instant::now()) {
                        tracing::warn!(%error, exports = requests.len(), more, "a write failed; it is tried in halves");
                    }
                    let second = requests.split_off(requests.len() / 2);
                    parts.push((second, None));
                    parts.push((requests, None));
                }
                Err(error) => match self
                    .without_rejected(&batches(&requests), error, &mut tried)
                    .await
                {
                    Ok(written) => self.answer(requests, &written, started),
                    Err(error) => self.fail(requests, &error),
                },
            }
        }
    }

    /// Answers senders of whose records none, or not all, were stored.
    fn fail(&mut self, requests: Vec<Request>, error: &Error) {
        if matches!(error, Error::Memory(_)) {
            tracing::warn!(%error, "a write does not fit into memory; its senders are told to wait");
            self.counters.overloaded();
            for request in requests {
                request.answer(Err(WriteError::Overloaded { retry_after: WAIT }));
            }
            return;
        }
        self.counters.failed();
        self.preparation.database.health().wrote(Err(error));
        if let Some(more) = self.complaints.note(&error.to_string(), Instant::now()) {
            tracing::error!(%error, more, "a write failed; its senders are told to send again");
        }
        for request in requests {
            request.answer(Err(WriteError::from(error.clone())));
        }
    }

    fn answer(&self, requests: Vec<Request>, written: &Written, started: Instant) {
        let records = requests.iter().map(|request| request.batch.len()).sum();
        self.counters.committed(records, started.elapsed());
        for request in requests {
            request.answer(Ok(written.clone()));
        }
    }

    /// Commits batches as one. What may well succeed a moment later is tried again, at growing random intervals: other
    /// processes that were in the way try again too.
    async fn persist(
        &mut self,
        batches: &[&Incoming],
        mut prepared: Option<Result<Prepared, Error>>,
    ) -> Result<Written, Error> {
        let started = Instant::now();
        let mut retries = 0;
        loop {
            let outcome = match prepared.take().transpose() {
                Ok(prepared) => self.commit_in_time(batches, prepared).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error)
                    if error.kind().is_transient()
                        && !is_too_much(&error)
                        && retries < RETRIES
                        && started.elapsed() < RETRY_FOR =>
                {
                    self.counters.retried();
                    if let Some(more) = self.complaints.note(&format!("again: {error}"), Instant::now()) {
                        tracing::warn!(%error, retries, more, "a write failed; it is tried again");
                    }
                    tokio::time::sleep(backoff(retries)).await;
                    retries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Fails with what makes every write fail, where an error about values, or about time, has that for a cause. `tried` is
    /// when ordinary records could be written last: whatever makes them fail may come at any time, also between two halves.
    async fn blames_a_record(&mut self, error: &Error, tried: &mut Option<Instant>) -> Result<(), Error> {
        if !matches!(error.kind(), ErrorKind::Data | ErrorKind::TimedOut)
            || tried.is_some_and(|at| at.elapsed() < TRIED)
        {
            return Ok(());
        }
        self.try_plain_records().await?;
        *tried = Some(Instant::now());
        Ok(())
    }

    /// Stores of one request's batch all but the records that can never be stored, found by halving.
    async fn without_rejected(
        &mut self,
        batches: &[&Incoming],
        error: Error,
        tried: &mut Option<Instant>,
    ) -> Result<Written, Error> {
        let [batch] = batches else {
            return Err(error);
        };
        if !is_of_some_records(&error) {
            return Err(error);
        }
        let mut written = Written::default();
        let mut parts = vec![((*batch).clone(), error)];
        // Records for which there was no memory are tried once more when all others are stored.
        let mut waiting: Vec<Incoming> = Vec::new();
        let mut failed = None;
        let mut transactions = 0;
        let started = Instant::now();
        while let Some((part, error)) = parts.pop() {
            let over = transactions >= TRANSACTIONS || started.elapsed() >= HALVING;
            if part.len() > 1 && !over {
                let (first, second) = halves(part);
                for half in [second, first] {
                    transactions += 1;
                    match self.persist(&[&half], None).await {
                        Ok(stored) => add(&mut written, stored),
                        Err(error) if is_of_some_records(&error) => {
                            self.blames_a_record(&error, tried).await?;
                            parts.push((half, error));
                        }
                        Err(error) => return Err(error),
                    }
                }
                continue;
            }
            if !is_too_much(&error) {
                self.counters.rejected(part.len());
                tracing::warn!(%error, records = part.len(), "this can never be stored; it is left out");
                reject(&mut written, part.len(), &error);
            } else if over || error.kind() == ErrorKind::TimedOut {
                failed = Some(error);
            } else {
                waiting.push(part);
            }
        }
        for part in waiting {
            match self.persist(&[&part], None).await {
                Ok(stored) => add(&mut written, stored),
                Err(error) if may_be_one_record(&error) => {
                    self.blames_a_record(&error, tried).await?;
                    self.counters.rejected(part.len());
                    tracing::warn!(%error, "this can never be stored; it is left out");
                    reject(&mut written, part.len(), &error);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            // It comes again; what is stored of it changes nothing then.
            return Err(error);
        }
        written.head = written.head.max(*self.head.borrow());
        Ok(written)
    }
}

fn add(written: &mut Written, stored: Written) {
    written.added += stored.added;
    written.completed += stored.completed;
    written.head = written.head.max(stored.head);
    written.left_out.extend(stored.left_out);
}

/// Whether it may be one record's fault, so that others can be stored without it: the database cannot take it, or mcptap
/// fails on it.
fn may_be_one_record(error: &Error) -> bool {
    error.kind() == ErrorKind::Data || matches!(error, Error::Work(CpuError::Panicked))
}

/// Whether some records can be stored without the others: what is at fault is left out, and less is read for fewer.
fn is_of_some_records(error: &Error) -> bool {
    may_be_one_record(error) || is_too_much(error)
}

/// Whether fewer records may go where all together took too much memory or time.
fn is_too_much(error: &Error) -> bool {
    matches!(error, Error::Memory(_)) || error.kind() == ErrorKind::TimedOut
}

/// Half to one and a half times the mean.
fn backoff(retries: u32) -> Duration {
    let mean = BACKOFF * (1 << retries.min(8));
    // Without randomness the mean is as good as any.
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    mean.mul_f64(0.5 + random)
}

fn halves(mut batch: Incoming) -> (Incoming, Incoming) {
    let middle = batch.len() / 2;
    let observations = middle.min(batch.observations.len());
    let https = (middle - observations).min(batch.https.len());
    let logs = middle - observations - https;
    let second = Incoming {
        observations: batch.observations.split_off(observations),
        https: batch.https.split_off(https),
        logs: batch.logs.split_off(logs),
    };
    (batch, second)
}

fn reject(written: &mut Written, records: usize, error: &Error) {
    let mut reason = match error {
        Error::Work(_) => "mcptap failed on it".to_owned(),
        error => error.to_string(),
    };
    let end = (0..=REASON.min(reason.len()))
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or_default());
    match written.rejected.iter_mut().find(|known| known.reason == reason) {
        Some(known) => known.records += records,
        None => written.rejected.push(Rejected { records, reason }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcptap_model::{Batch, Call, LogLine, Observation, Payload, TraceId, UnixNanos};

    use super::super::merged;
    use super::*;
    use crate::rows::body::effort;
    use crate::write::fold::shapes::span;

    #[test]
    fn halves_have_everything_once() {
        let line = |number: i64| LogLine {
            trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
            span_id: None,
            service: None,
            time: UnixNanos(number),
            severity: String::new(),
            body: String::new(),
            attributes: serde_json::Map::new(),
        };
        for count in 2..9 {
            let logs: Vec<LogLine> = (0..count).map(line).collect();
            let whole = Incoming {
                logs: logs.clone(),
                ..Incoming::default()
            };
            let (first, second) = halves(whole);
            assert!(first.len() > 0 && second.len() > 0);
            assert_eq!([first.logs, second.logs].concat(), logs);
        }
    }

    #[test]
    fn halves_share_the_compressed_bodies() {
        let observation = |number| Observation {
            call: Call {
                request: Some(Payload::whole("long and alike ".repeat(1000))),
                ..span(number)
            },
            links: Vec::new(),
        };
        let batch = Incoming::new(Batch {
            observations: (0..8).map(observation).collect(),
            ..Batch::default()
        });
        assert_eq!(effort::take(), (8, 0));
        let (first, second) = halves(merged(&[&batch]));
        assert_eq!(effort::take(), (0, 0));
        let body = |number: usize, of: &Incoming| of.observations[number].bodies.request.clone().unwrap();
        for number in 0..4 {
            for (half, whole) in [
                (body(number, &first), number),
                (body(number, &second), number + 4),
            ] {
                assert!(half.compressed && Arc::ptr_eq(&half.data, &body(whole, &batch).data));
            }
        }
    }

    #[test]
    fn what_mcptap_fails_on_is_found_like_what_the_database_refuses() {
        let panicked = Error::Work(CpuError::Panicked);
        assert!(is_of_some_records(&panicked));
        // That no thread is free is nobody's fault.
        assert!(!is_of_some_records(&Error::Work(CpuError::Full)));
        let mut written = Written::default();
        reject(&mut written, 1, &panicked);
        reject(&mut written, 2, &panicked);
        let reason = "mcptap failed on it".to_owned();
        assert_eq!(written.rejected, [Rejected { records: 3, reason }]);
    }

    #[test]
    fn retries_are_spread() {
        let times: Vec<Duration> = (0..64).map(|_| backoff(2)).collect();
        assert!(
            times
                .iter()
                .all(|time| (BACKOFF * 2..=BACKOFF * 6).contains(time))
        );
        assert!(times.iter().any(|time| *time != times[0]));
    }
}
