//! The end of an erasure, as the caller and the audit learn of it.

use std::time::Duration;

use mcptap_model::{Batch, Call, CallFilter, Observation, Payload};

use super::{Progress, Until};
use crate::db::transaction::faults::Fault;
use crate::write::fold::shapes::span;
use crate::{Actor, Error, Options, PageRequest, Remains, clock, open};

/// Of a file that is too large to be searched for copies.
#[tokio::test]
async fn copies_that_may_be_left_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    let options = Options {
        retention: None,
        ..Options::default()
    };
    let (writer, store) = open(&url, options).await.unwrap();
    // Little of it can be compressed, and it takes more pages than are searched here.
    let mut state = 1_u64;
    let mut text = || -> String {
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}")
        });
        words.take(16 << 10).collect()
    };
    let large = (10..70).map(|number| Call {
        request: Some(Payload::whole(text())),
        ..span(number)
    });
    let large: Vec<Call> = large.collect();
    let doomed = ["one", "other"].map(|tool| Call {
        tool: Some(tool.to_owned()),
        ..span(if tool == "one" { 2 } else { 3 })
    });
    let [one, other] = doomed;
    for (before, call, remains, told) in [
        (Vec::new(), one, Remains::Nothing, "1 erased"),
        (
            large,
            other,
            Remains::Copies,
            "1 erased; copies may be left in unused space of SQLite's file, which is too large to be searched for them: VACUUM \
             removes them",
        ),
    ] {
        let tool = call.tool.clone();
        let observations = before.into_iter().chain([call]).map(|call| Observation {
            call,
            links: Vec::new(),
        });
        let sent = Batch {
            observations: observations.collect(),
            ..Batch::default()
        };
        writer.write(sent).await.unwrap();
        let filter = CallFilter {
            tools: tool.into_iter().collect(),
            ..CallFilter::default()
        };
        let erased = store.erase(filter, Actor::Anybody, "tools".into()).await.unwrap();
        assert_eq!((erased.calls, erased.remains), (1, remains));
        let audit = store.audit(PageRequest::default()).await.unwrap().items;
        assert_eq!(audit[0].subject, format!("calls with tools: {told}"));
    }
    drop(writer);
    store.close().await;
}

/// Whoever waits for the answer learns of it at once, and the audit too where it can be written.
#[tokio::test]
async fn a_full_disk_ends_an_erasure_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    let options = Options {
        retention: None,
        index_delay: Duration::from_secs(3600),
        ..Options::default()
    };
    let (writer, store) = open(&url, options).await.unwrap();
    let sent = Batch {
        observations: vec![Observation {
            call: span(1),
            links: Vec::new(),
        }],
        ..Batch::default()
    };
    writer.write(sent).await.unwrap();
    let faults = store.inner.database.faults();
    faults.plan(0, Fault::Full);
    let erased = store
        .erase(CallFilter::default(), Actor::Anybody, "all".into())
        .await;
    assert!(matches!(erased, Err(Error::Full(_))), "{erased:?}");
    assert_eq!(faults.struck(), 1, "it is not tried again");
    let audit = store.audit(PageRequest::default()).await.unwrap().items;
    assert_eq!(
        audit[0].subject,
        "calls with all: failed after 0 calls: the disk is full"
    );
    drop(writer);
    store.close().await;
}

/// What is meant is told by numbers of changes, which stand for others in a database that was put back.
#[tokio::test]
async fn an_erasure_ends_where_the_database_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    let options = Options {
        retention: None,
        ..Options::default()
    };
    let (writer, store) = open(&url, options).await.unwrap();
    let observations = (1..4).map(|number| Observation {
        call: span(number),
        links: Vec::new(),
    });
    let sent = Batch {
        observations: observations.collect(),
        ..Batch::default()
    };
    let last = writer.write(sent).await.unwrap().head;
    let until = Until {
        last,
        generation: store.inner.database.lineage().generation() + 1,
    };
    let progress = Progress::default();
    let filter = CallFilter {
        methods: vec!["tools/call".to_owned()],
        ..CallFilter::default()
    };
    for erased in [
        store.erase_found(&filter, until, &progress).await,
        store.erase_everything(until, clock::now(), &progress).await,
    ] {
        assert!(matches!(erased, Err(Error::Rewound)), "{erased:?}");
    }
    assert_eq!(store.count(&CallFilter::default(), 10).await.unwrap().value, 3);
    drop(writer);
    store.close().await;
}
