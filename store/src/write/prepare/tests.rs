//! Bodies are compressed once, before the queue. From then on they are carried.

use std::collections::{HashMap, HashSet};

use mcptap_model::{Batch, Observation, Origin, Payload, SpanKind, Vantage};

use super::*;
use crate::db::insert::{Record, Sink};
use crate::rows::body::effort;
use crate::rows::dictionary::heavy;
use crate::rows::entity::detail;
use crate::write::fold::shapes::{http, id, span};
use crate::write::fold::{Known, Neighbourhood};

/// Columns as they would be written.
#[derive(Default)]
struct Columns {
    integers: Vec<Option<i64>>,
    bytes: Vec<Option<Vec<u8>>>,
}

impl Sink for Columns {
    fn integer(&mut self, value: Option<i64>) {
        self.integers.push(value);
    }

    fn text(&mut self, _: Option<String>) {}

    fn bytes(&mut self, value: Option<Vec<u8>>) {
        self.bytes.push(value);
    }
}

/// A row of `details` as it is stored.
fn stored(record: impl Record) -> detail::Model {
    let mut columns = Columns::default();
    record.bind(&mut columns);
    let [call, request_bytes, response_bytes, flags] = columns.integers[..] else {
        panic!("{:?}", columns.integers);
    };
    let mut bytes = columns.bytes.into_iter();
    let mut next = || bytes.next().unwrap();
    detail::Model {
        call: call.unwrap(),
        request: next(),
        request_bytes,
        response: next(),
        response_bytes,
        stack_trace: next(),
        attributes: next(),
        flags: flags.unwrap() as i16,
    }
}

fn incoming(call: Call) -> Incoming {
    Incoming::new(Batch {
        observations: vec![Observation {
            call,
            links: Vec::new(),
        }],
        ..Batch::default()
    })
}

/// What is written when a batch comes while the call in row 1 is stored, and whether that call's details were read.
fn prepared(known: Option<(&Call, &detail::Model)>, batch: Incoming) -> (Prepared, bool) {
    let near = Neighbourhood {
        known: known
            .iter()
            .map(|(call, _)| Known {
                row: 1,
                call: Call::clone(call),
            })
            .collect(),
        ..Neighbourhood::default()
    };
    let reads = Reads::of(&batch);
    let folding = Gathered::new(near, batch).fold(Neighbourhood::default());
    let mut details = HashMap::new();
    for row in folding.wanted() {
        details.insert(row, heavy(known.unwrap().1.clone()).unwrap());
    }
    let read = !details.is_empty();
    (
        rows(0, reads, Vec::new(), folding.finish(details, &HashSet::new())),
        read,
    )
}

#[test]
fn a_completed_call_carries_its_compressed_bodies() {
    let long = |text: &str| Some(Payload::whole(text.repeat(1000)));
    let server = Call {
        parent_span_id: Some(id(2)),
        stack_trace: Some("at main".to_owned()),
        ..span(1)
    };
    let (mut first, _) = prepared(
        None,
        incoming(Call {
            request: long("what was asked "),
            ..server.clone()
        }),
    );
    assert_eq!(effort::take(), (1, 0));
    let (_, details) = first.added_details.pop().unwrap();
    let before = stored(details.added(1));

    // Its HTTP status: nobody even reads the details.
    let status = Incoming {
        https: vec![http(9)],
        ..Incoming::default()
    };
    let (completed, read) = prepared(Some((&server, &before)), status);
    assert_eq!((completed.completed.len(), read), (1, false));
    assert!(completed.completed_details.is_empty() && completed.bare.is_empty());
    assert_eq!(effort::take(), (0, 0));

    // The client's view, which alone has the answer: only that is compressed, as it came.
    let client = Call {
        span_id: id(2),
        primary_span_id: id(2),
        parent_span_id: None,
        kind: SpanKind::Client,
        vantage: Vantage::Client,
        origin: Arc::new(Origin {
            service: Some("agent".to_owned()),
            ..Origin::default()
        }),
        response: long("what was answered "),
        ..span(1)
    };
    let client = incoming(client);
    assert_eq!(effort::take(), (1, 0));
    let answer = client.observations[0].bodies.response.clone().unwrap();
    let (mut merged, read) = prepared(Some((&server, &before)), client);
    assert_eq!((merged.completed.len(), read), (1, true));
    let (_, details) = merged.completed_details.pop().unwrap();
    let after = stored(details.completed(1));
    assert_eq!(effort::take(), (0, 0));
    assert_eq!(
        (after.request, after.request_bytes, after.stack_trace),
        (before.request, before.request_bytes, before.stack_trace)
    );
    assert_eq!(after.response.as_deref(), Some(&*answer.data));
    assert_eq!(
        after.flags,
        before.flags | crate::rows::body::flag::RESPONSE_COMPRESSED
    );
}
