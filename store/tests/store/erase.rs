//! What is erased is gone: from answers, and from the database's files.

use mcptap_model::{
    Batch, Call, CallFilter, HttpSpan, Payload, SessionKey, SessionSource, SpanKind, UnixNanos, Vantage,
    search,
};
use mcptap_store::{Actor, PageRequest, Seq};

use crate::filters::indexed;
use crate::support::{Place, batch, full, line, on_both, plain, span};

on_both!(
    erasing_leaves_nothing,
    no_word_of_few_stays_among_many,
    erasing_has_an_end_while_calls_come_in,
    a_call_that_a_completion_moves_is_erased_too
);

/// Part of everything that is to be erased.
const PLANTED: &str = "pl4nted";

fn planted(number: u64) -> Call {
    let text = |place: &str| format!("{PLANTED}-{place}-{number}");
    Call {
        server: Some(text("server")),
        tool: Some(text("tool")),
        prompt: Some(text("prompt")),
        resource_uri: Some(text("uri")),
        error_type: Some(text("type")),
        error_message: Some(text("message")),
        stack_trace: Some(text("stack")),
        request_id: Some(text("id")),
        session_id: Some(text("wire")),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: text("wire"),
        }),
        client_name: Some(text("client")),
        request: Some(Payload::whole(format!("{{\"a\":\"{}\"}}", text("request")))),
        response: Some(Payload::whole(text("response"))),
        attributes: serde_json::Map::from_iter([("a".to_owned(), text("attribute").into())]),
        ..full(number)
    }
}

fn filter(word: &str) -> CallFilter {
    CallFilter {
        search: Some(search::Query::parse(word)),
        ..CallFilter::default()
    }
}

async fn erasing_leaves_nothing(place: &Place) {
    let (writer, store) = place.open().await;
    let kept = Call {
        request: Some(Payload::whole("{\"kept\":true}".into())),
        ..plain(5_000)
    };
    let doomed: Vec<Call> = (1..=1_200).map(planted).collect();
    // What waits for its call, and what waits for nothing that will ever come.
    let waiting = HttpSpan {
        trace_id: doomed[0].trace_id,
        span_id: span(9_000_001),
        parent_span_id: None,
        kind: SpanKind::Client,
        origin: kept.origin.clone(),
        started_at: UnixNanos(0),
        ended_at: UnixNanos(1),
        http_status: None,
        client_ip: None,
        country: None,
        authorization: None,
        user_agent: Some(format!("{PLANTED}-agent")),
        session_id: None,
        protocol_version: None,
    };
    let mut logs = vec![
        line(&doomed[0], 1, &format!("{PLANTED}-line")),
        line(&kept, 1, "kept"),
    ];
    let mut late = line(&doomed[1], 2, &format!("{PLANTED}-late"));
    late.span_id = Some(span(9_000_002));
    logs.push(late);
    writer
        .write(Batch {
            https: vec![waiting],
            logs,
            ..batch(doomed.iter().cloned().chain([kept.clone()]))
        })
        .await
        .unwrap();

    // Its words are in the index.
    indexed(&store).await;
    let erased = store
        .erase(filter(&format!("{PLANTED}*")), Actor::Key(1), "search".into())
        .await
        .unwrap();
    assert_eq!(erased.calls, 1_200);
    let all = CallFilter::default();
    let left = store.calls(&all, PageRequest::default()).await.unwrap().items;
    assert_eq!(
        left.iter().map(|stored| stored.call.span_id).collect::<Vec<_>>(),
        [kept.span_id]
    );
    let rows = [left[0].row];
    assert_eq!(
        store.details(&rows).await.unwrap()[&rows[0]].request,
        kept.request
    );
    assert_eq!(
        store.logs(&rows, PageRequest::default()).await.unwrap()[&rows[0]]
            .items
            .len(),
        1
    );
    let told = store.audit(PageRequest::default()).await.unwrap().items;
    assert_eq!(told[0].subject, "calls with search: 1200 erased");
    assert_eq!(
        (told[0].key, told[1].subject.as_str()),
        (Some(1), "calls with search: begun")
    );

    // While it is open: the log is empty too.
    if let Some(file) = place.file() {
        for suffix in ["", "-wal"] {
            let path = format!("{}{suffix}", file.display());
            let bytes = std::fs::read(&path).unwrap_or_default();
            let found = bytes
                .windows(PLANTED.len())
                .position(|window| window == PLANTED.as_bytes())
                .map(|at| String::from_utf8_lossy(&bytes[at..at + 40]).into_owned());
            assert_eq!(found, None, "{path}");
        }
    }
    // What was shared with erased calls can come again.
    let written = writer.write(batch([planted(3)])).await.unwrap();
    assert_eq!(written.added, 1);
    let again = store.count(&filter(PLANTED), 10).await.unwrap();
    assert_eq!(again.value, 1);
}

async fn no_word_of_few_stays_among_many(place: &Place) {
    let (writer, store) = place.open().await;
    let saying = |number: u64, text: String| Call {
        response: Some(Payload::whole(text)),
        ..plain(number)
    };
    // Several stretches of the index, with words in every one of them.
    for from in [0, 1_000, 2_000] {
        let calls = (from + 1..=from + 1_000).map(|number| {
            let word = if number % 500 == 0 { PLANTED } else { "kept" };
            saying(number, format!("{word}{number} said {word} {number}"))
        });
        writer.write(batch(calls)).await.unwrap();
        indexed(&store).await;
    }
    // The second time the index is in one piece.
    for (word, number) in [(PLANTED, 6), ("kept1001", 1)] {
        let erased = store
            .erase(filter(word), Actor::CommandLine, "search".into())
            .await
            .unwrap();
        assert_eq!(erased.calls, number);
        for suffix in ["", "-wal"] {
            let Some(file) = place.file() else { break };
            let bytes = std::fs::read(format!("{}{suffix}", file.display())).unwrap_or_default();
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} in the file{suffix}");
        }
    }
    assert_eq!(store.count(&filter("kept"), 10_000).await.unwrap().value, 2_993);
}

async fn erasing_has_an_end_while_calls_come_in(place: &Place) {
    let (writer, store) = place.open().await;
    writer.write(batch((1..=1_500).map(plain))).await.unwrap();
    let erasing = store.erase(CallFilter::default(), Actor::Anybody, "all".into());
    // Later calls that the filter means as well, in between its steps.
    let writing = async {
        for number in 0..40 {
            let first = 10_000 + number * 50;
            writer.write(batch((first..first + 50).map(plain))).await.unwrap();
        }
    };
    let (erased, ()) = tokio::join!(erasing, writing);
    assert!(erased.unwrap().calls >= 1_500);
    // Those were there; what came later may have stayed.
    let early = CallFilter {
        to: Some(plain(9_000).started_at),
        ..CallFilter::default()
    };
    assert_eq!(store.count(&early, 10_000).await.unwrap().value, 0);
    assert!(store.changes(&early, Seq(0), 10).await.unwrap().items.is_empty());
}

/// It begins behind where the erasure is by then.
async fn a_call_that_a_completion_moves_is_erased_too(place: &Place) {
    let (writer, store) = place.open().await;
    let doomed = || CallFilter {
        tools: vec!["doomed".into()],
        ..CallFilter::default()
    };
    let of_tool = |number: u64| Call {
        tool: Some("doomed".into()),
        ..plain(number)
    };
    for round in 1..=20 {
        let first = round * 100_000;
        writer
            .write(batch((first..first + 3_000).map(of_tool)))
            .await
            .unwrap();
        // The client's view of the newest call, and the server's, whose clock is behind.
        let server = Call {
            parent_span_id: Some(span(first + 9_001)),
            started_at: plain(first).started_at,
            ..of_tool(first + 9_000)
        };
        let client = Call {
            span_id: span(first + 9_001),
            primary_span_id: span(first + 9_001),
            parent_span_id: None,
            kind: SpanKind::Client,
            vantage: Vantage::Client,
            started_at: plain(first + 9_000).started_at,
            server: None,
            ..server.clone()
        };
        writer.write(batch([client])).await.unwrap();
        let erasing = store.erase(doomed(), Actor::Anybody, "a tool".into());
        let completing = async {
            while store.count(&doomed(), 10_000).await.unwrap().value > 3_000 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            writer.write(batch([server])).await.unwrap().added
        };
        let (erased, added) = tokio::join!(erasing, completing);
        if added == 0 {
            assert_eq!(erased.unwrap().calls, 3_001);
            assert_eq!(store.count(&doomed(), 10).await.unwrap().value, 0);
            return;
        }
        // It had been erased before: this is a later one.
        let rest = store.erase(doomed(), Actor::Anybody, "a tool".into()).await;
        assert_eq!(rest.unwrap().calls, 1);
    }
    panic!("the call was never completed while others were erased");
}
