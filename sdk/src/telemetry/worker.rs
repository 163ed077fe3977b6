//! The thread between queue and outbox: redacts, cuts, encodes.

use std::sync::Arc;

use opentelemetry_sdk::Resource;

use super::encoder::Encoder;
use super::ledger::{Ledger, Place};
use super::naming::Naming;
use super::notice::{Notice, warn};
use super::outbox::Outbox;
use super::parcel::{Parcel, cut, log_weight, span_weight};
use super::queue::{Queue, Record};
use super::redaction::Redaction;
use super::signal::{Lanes, Signal};

/// Makes parcels of records.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) queue: Arc<Queue>,
    pub(super) resource: Resource,
    pub(super) naming: Naming,
    pub(super) redaction: Redaction,
    pub(super) encoder: Encoder,
    /// The most records in one parcel.
    pub(super) batch_records: Lanes<usize>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) ledger: Arc<Ledger>,
}

impl Worker {
    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let overflow = Notice::default();
        while let Some(records) = self.queue.take() {
            if self.queue.has_overflowed() && overflow.is_due() {
                warn(format_args!(
                    "more is recorded than can be sent; the oldest records are dropped, {} so far",
                    self.ledger.stats().lost
                ));
            }
            if let Some(resource) = self.naming.renamed(&self.resource) {
                self.encoder.set_resource(&self.redaction.resource(&resource));
            }
            self.pack(records);
        }
    }

    fn pack(&self, records: Vec<Record>) {
        let (mut spans, mut logs) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Span(mut span) => {
                    self.redaction.span(&mut span);
                    spans.push(*span);
                }
                Record::Log(mut log) => {
                    self.redaction.log(&mut log);
                    logs.push(*log);
                }
            }
        }
        for part in cut(spans, *self.batch_records.of(Signal::Traces), span_weight) {
            self.hand_over(part.len(), self.encoder.spans(part));
        }
        for part in cut(logs, *self.batch_records.of(Signal::Logs), |log| {
            log_weight(&log.0)
        }) {
            self.hand_over(part.len(), self.encoder.logs(&part));
        }
    }

    fn hand_over(&self, records: usize, parcel: Option<Parcel>) {
        match parcel {
            Some(parcel) => self.outbox.push(parcel),
            None => self.ledger.lose(Place::Memory, records as u64),
        }
    }
}
