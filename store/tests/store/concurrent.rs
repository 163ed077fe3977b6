//! Whoever writes beside whom, the records are those of one writer that writes one thing after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcptap_model::{
    Batch, Call, CallFilter, Evidence, HttpSpan, LogLine, Observation, Origin, Payload, SessionKey,
    SessionSource, SpanKind, SpanRef, UnixNanos, Vantage, semconv,
};
use mcptap_store::{PageRequest, Store, Writer};

use crate::feed::read_all;
use crate::support::{NOON, Place, Random, SECOND, on_both, plain, span, trace};

on_both!(
    concurrent_writers_equal_a_serial_one,
    two_stores_equal_a_serial_writer,
);

const MS: i64 = 1_000_000;

/// Of what the random exports are made, how many requests are told of for each, and how many tasks tell of them at the
/// same time.
const SEEDS: [u64; 8] = [11, 12, 101, 977, 4_242, 65_537, 1_000_003, 987_654_321];
const REQUESTS: u64 = 20;
const TASKS: usize = 8;

/// Spans and log lines of one request, each as an export of its own.
struct Story {
    number: u64,
    at: i64,
    pieces: Vec<Batch>,
}

impl Story {
    fn new(number: u64) -> Self {
        Self {
            number,
            at: NOON + number as i64 * SECOND,
            pieces: Vec::new(),
        }
    }

    /// The `index`th trace and span of this request.
    fn id(&self, index: u64) -> u64 {
        self.number * 100 + index
    }

    fn call(&self, of: u64, number: u64, scope: &str, from: i64, to: i64) -> Call {
        Call {
            trace_id: trace(self.id(of)),
            span_id: span(self.id(number)),
            primary_span_id: span(self.id(number)),
            origin: Arc::new(Origin {
                service: Some("shop".into()),
                scope: scope.into(),
                ..Origin::default()
            }),
            tool: Some(format!("tool-{}", self.number)),
            started_at: UnixNanos(self.at + from * MS),
            duration_nanos: (to - from) * MS,
            received_at: UnixNanos(NOON),
            ..plain(1)
        }
    }

    fn client(&self, of: u64, number: u64, from: i64, to: i64) -> Call {
        Call {
            kind: SpanKind::Client,
            vantage: Vantage::Client,
            client_name: Some(format!("agent-{}", self.number)),
            origin: Arc::new(Origin {
                service: Some("agent".into()),
                ..Origin::default()
            }),
            ..self.call(of, number, "", from, to)
        }
    }

    fn observe(&mut self, call: Call, links: Vec<SpanRef>) {
        self.pieces.push(Batch {
            observations: vec![Observation { call, links }],
            ..Batch::default()
        });
    }

    fn http(&mut self, of: u64, number: u64, parent: Option<u64>, from: i64, to: i64) {
        let http = HttpSpan {
            trace_id: trace(self.id(of)),
            span_id: span(self.id(number)),
            parent_span_id: parent.map(|parent| span(self.id(parent))),
            kind: SpanKind::Server,
            origin: Arc::new(Origin {
                service: Some("shop".into()),
                scope: "asgi".into(),
                ..Origin::default()
            }),
            started_at: UnixNanos(self.at + from * MS),
            ended_at: UnixNanos(self.at + to * MS),
            http_status: Some(200 + i32::try_from(self.number % 50).unwrap()),
            client_ip: Some(format!("192.0.2.{}", self.number % 250)),
            country: None,
            authorization: None,
            user_agent: Some("agent/1".into()),
            session_id: None,
            protocol_version: None,
        };
        self.pieces.push(Batch {
            https: vec![http],
            ..Batch::default()
        });
    }

    fn line(&mut self, of: u64, number: Option<u64>, at: i64, body: &str) {
        let line = LogLine {
            trace_id: trace(self.id(of)),
            span_id: number.map(|number| span(self.id(number))),
            service: Some("shop".into()),
            time: UnixNanos(self.at + at * MS),
            severity: "INFO".into(),
            body: format!("{body} {}", self.number),
            attributes: serde_json::Map::new(),
        };
        self.pieces.push(Batch {
            logs: vec![line],
            ..Batch::default()
        });
    }

    /// Client, HTTP and server spans of one trace, and lines.
    fn nested(mut self) -> Self {
        let server = Call {
            parent_span_id: Some(span(self.id(2))),
            request: Some(Payload::whole(format!("{{\"order\":{}}}", self.number))),
            evidence: Evidence {
                failed: self.number.is_multiple_of(3),
                ..Evidence::default()
            },
            ..self.call(1, 3, "mcp", 20, 80)
        };
        let client = self.client(1, 1, 0, 100);
        self.observe(server, Vec::new());
        self.observe(client, Vec::new());
        self.http(1, 2, Some(1), 10, 90);
        self.line(1, Some(3), 30, "of the span");
        self.line(1, Some(2), 40, "of the HTTP span");
        self.line(1, None, 50, "of the time");
        self
    }

    /// The HTTP span is in another trace, and linked.
    fn linked(mut self) -> Self {
        let server = Call {
            parent_span_id: Some(span(self.id(1))),
            ..self.call(1, 3, "mcp", 20, 80)
        };
        let link = SpanRef {
            trace_id: trace(self.id(5)),
            span_id: span(self.id(2)),
        };
        let client = self.client(1, 1, 0, 100);
        self.observe(server, vec![link]);
        self.observe(client, Vec::new());
        self.http(5, 2, None, 10, 90);
        self.line(1, Some(3), 30, "of the span");
        self
    }

    /// A library's own list in a trace of its own, right before the call.
    fn listed(mut self) -> Self {
        let list = Call {
            method: "tools/list".into(),
            tool: None,
            ..self.call(5, 6, "fastmcp", 0, 1)
        };
        let server = Call {
            protocol_version: Some("2026-07-28".into()),
            ..self.call(1, 3, "fastmcp", 3, 8)
        };
        self.observe(list, Vec::new());
        self.observe(server, Vec::new());
        self.http(5, 7, None, -1, 2);
        self.http(1, 2, None, 2, 9);
        self.line(1, Some(3), 4, "of the span");
        self
    }

    /// As a proxy tells of it.
    fn watcher(&self, parent: Option<u64>) -> Call {
        Call {
            parent_span_id: parent.map(|parent| span(self.id(parent))),
            origin: Arc::new(Origin {
                service: Some("proxy".into()),
                scope: semconv::WATCH_SCOPE.into(),
                ..Origin::default()
            }),
            http_status: Some(200),
            client_ip: Some(format!("192.0.2.{}", self.number % 250)),
            ..self.in_session(self.call(1, 1, "", 0, 100))
        }
    }

    fn in_session(&self, call: Call) -> Call {
        let id = format!("session-{}", self.number);
        Call {
            session: Some(SessionKey {
                source: SessionSource::Wire,
                key: id.clone(),
            }),
            session_id: Some(id),
            request_id: Some("1".into()),
            ..call
        }
    }

    /// A server below a proxy, which a client's span is above of.
    fn watched(mut self) -> Self {
        let server = Call {
            parent_span_id: Some(span(self.id(2))),
            client_ip: Some("10.0.0.1".into()),
            ..self.call(1, 3, "mcp", 20, 80)
        };
        let watcher = self.watcher(Some(4));
        let client = self.client(1, 4, -10, 110);
        self.observe(server, Vec::new());
        self.observe(watcher, Vec::new());
        self.observe(client, Vec::new());
        self.http(1, 2, Some(1), 10, 90);
        self.line(1, Some(3), 30, "of the span");
        self.line(1, Some(1), 40, "of the proxy");
        self
    }

    /// A server that does not read what the proxy tells it of the trace.
    fn apart(mut self) -> Self {
        let server = self.in_session(self.call(5, 3, "mcp", 20, 80));
        let watcher = self.watcher(Some(4));
        let client = self.client(1, 4, -10, 110);
        self.observe(server, Vec::new());
        self.observe(watcher, Vec::new());
        self.observe(client, Vec::new());
        self.line(5, Some(3), 30, "of the span");
        self.line(1, Some(1), 40, "of the proxy");
        self
    }

    /// The same, of a server whose session only its HTTP span knows.
    fn apart_over_http(mut self) -> Self {
        let server = Call {
            parent_span_id: Some(span(self.id(2))),
            request_id: Some("1".into()),
            ..self.call(5, 3, "mcp", 20, 80)
        };
        let watcher = self.watcher(Some(4));
        let client = self.client(1, 4, -10, 110);
        self.observe(server, Vec::new());
        self.observe(watcher, Vec::new());
        self.observe(client, Vec::new());
        self.http(5, 2, None, 10, 90);
        let http = self.pieces.last_mut().and_then(|piece| piece.https.last_mut());
        http.unwrap().session_id = Some(format!("session-{}", self.number));
        self.line(5, Some(3), 30, "of the span");
        self.line(1, Some(1), 40, "of the proxy");
        self
    }

    /// An agent's request through a gateway: who sent what is known when the gateway's spans are there.
    fn handed_on(mut self, with_proxy: bool) -> Self {
        let gateway = |call: Call| Call {
            origin: Arc::new(Origin {
                service: Some("gateway".into()),
                ..Origin::default()
            }),
            ..call
        };
        let agent = Call {
            response: Some(Payload::whole(format!("{{\"answer\":{}}}", self.number))),
            ..self.client(1, 4, -20, 120)
        };
        let handed_on = gateway(Call {
            parent_span_id: Some(span(self.id(4))),
            ..self.call(1, 5, "", -10, 110)
        });
        let own = gateway(Call {
            parent_span_id: Some(span(self.id(5))),
            client_name: None,
            ..self.client(1, 6, -5, 105)
        });
        let server = Call {
            parent_span_id: Some(span(self.id(if with_proxy { 1 } else { 6 }))),
            ..self.call(1, 3, "mcp", 20, 80)
        };
        if with_proxy {
            let watcher = self.watcher(Some(6));
            self.observe(watcher, Vec::new());
        }
        self.observe(agent, Vec::new());
        self.observe(handed_on, Vec::new());
        self.observe(own, Vec::new());
        self.observe(server, Vec::new());
        self.line(1, Some(4), 10, "of the agent");
        self.line(1, Some(3), 30, "of the server");
        self.line(1, None, 40, "of the time");
        self
    }

    /// A server's request that is received in one session and linked to another, of which proxies saw requests.
    fn of_two_sessions(mut self) -> Self {
        let link = SpanRef {
            trace_id: trace(self.id(5)),
            span_id: span(self.id(2)),
        };
        let server = Call {
            parent_span_id: Some(span(self.id(7))),
            request_id: Some("1".into()),
            ..self.call(6, 3, "mcp", 20, 80)
        };
        self.observe(server, vec![link]);
        for (of, http, session) in [(6, 7, "first"), (5, 2, "second")] {
            let id = format!("{session}-{}", self.number);
            self.http(of, http, None, 10, 90);
            let http = self.pieces.last_mut().and_then(|piece| piece.https.last_mut());
            http.unwrap().session_id = Some(id.clone());
            let seen = self.id(if session == "first" { 8 } else { 9 });
            let watcher = Call {
                trace_id: trace(seen),
                span_id: span(seen),
                primary_span_id: span(seen),
                session: Some(SessionKey {
                    source: SessionSource::Wire,
                    key: id.clone(),
                }),
                session_id: Some(id),
                ..self.watcher(None)
            };
            self.observe(watcher, Vec::new());
        }
        self
    }

    /// Two calls of one trace are a session.
    fn together(mut self) -> Self {
        let first = self.call(1, 3, "mcp", 0, 10);
        let second = self.call(1, 4, "mcp", 20, 30);
        self.observe(first, Vec::new());
        self.observe(second, Vec::new());
        self.line(1, None, 25, "of the time");
        self
    }
}

/// What is sent, in an order in which much of one request comes at about the same time; some of it twice, some together.
fn exports(first: u64, random: &mut Random) -> Vec<Batch> {
    let mut all = Vec::new();
    for number in first..first + REQUESTS {
        let story = Story::new(number);
        let mut pieces = match random.below(10) {
            0 => story.nested(),
            1 => story.linked(),
            2 => story.listed(),
            3 => story.watched(),
            4 => story.apart(),
            5 => story.apart_over_http(),
            6 => story.handed_on(false),
            7 => story.handed_on(true),
            8 => story.of_two_sessions(),
            _ => story.together(),
        }
        .pieces;
        let again = random.pick(&pieces);
        pieces.push(again);
        while !pieces.is_empty() {
            let mut export = pieces.swap_remove(random.below(pieces.len() as u64) as usize);
            if random.below(4) == 0 && !pieces.is_empty() {
                let other = pieces.swap_remove(random.below(pieces.len() as u64) as usize);
                export.observations.extend(other.observations);
                export.https.extend(other.https);
                export.logs.extend(other.logs);
            }
            all.push(export);
        }
    }
    all
}

/// Everything that can be asked of the calls, whatever their numbers: by the span that tells each best.
async fn records(store: &Store, exports: &[Batch]) -> BTreeMap<String, String> {
    let (changes, _) = read_all(store, &CallFilter::default(), mcptap_store::Seq(0), 500).await;
    let rows: Vec<i64> = changes.iter().map(|change| change.stored.row).collect();
    let details = store.details(&rows).await.unwrap();
    let mut records = BTreeMap::new();
    for change in changes {
        let (row, call) = (change.stored.row, &*change.stored.call);
        let lines = store.logs(&[row], PageRequest::default()).await.unwrap();
        let mut lines: Vec<String> = lines
            .get(&row)
            .map(|page| page.items.iter().map(|(_, line)| line.body.clone()).collect())
            .unwrap_or_default();
        lines.sort();
        // Its identity is that of the span that came first.
        let call = Call {
            trace_id: trace(1),
            span_id: span(1),
            ..call.clone()
        };
        let record = format!("{call:?} {:?} {lines:?}", details.get(&row));
        let key = format!("call {}", call.primary_span_id);
        assert!(records.insert(key, record).is_none(), "a call is there twice");
    }
    let spans = exports.iter().flat_map(|export| &export.observations);
    for observation in spans {
        let (of, number) = (observation.call.trace_id, observation.call.span_id);
        let found = store.call(of, number).await.unwrap();
        let found = found.map(|stored| stored.call.primary_span_id);
        records.insert(format!("span {number}"), format!("{found:?}"));
    }
    records
}

async fn serial(exports: &[Batch]) -> BTreeMap<String, String> {
    let place = Place::sqlite();
    let (writer, store) = place.open().await;
    for export in exports {
        writer.write(export.clone()).await.unwrap();
    }
    let records = records(&store, exports).await;
    drop(writer);
    store.close().await;
    records
}

async fn concurrently(writers: &[Writer], exports: &[Batch]) {
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let writer = writers[task % writers.len()].clone();
        let mine: Vec<Batch> = exports.iter().skip(task).step_by(TASKS).cloned().collect();
        tasks.push(tokio::spawn(async move {
            for export in mine {
                writer.write(export).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn assert_same(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) {
    for (key, wanted) in wanted {
        assert_eq!(found.get(key), Some(wanted), "{key}");
    }
    for (key, found) in found {
        assert!(wanted.contains_key(key), "not in a serial run: {key} {found}");
    }
}

/// What came through these writers at the same time is what comes through one, whatever the seed.
async fn assert_serial(writers: &[Writer], store: &Store) {
    let mut all = Vec::new();
    for (first, seed) in (1..).step_by(REQUESTS as usize).zip(SEEDS) {
        let exports = exports(first, &mut Random(seed));
        concurrently(writers, &exports).await;
        all.extend(exports);
    }
    assert_same(&records(store, &all).await, &serial(&all).await);
}

async fn concurrent_writers_equal_a_serial_one(place: &Place) {
    let (writer, store) = place.open().await;
    assert_serial(&[writer], &store).await;
}

async fn two_stores_equal_a_serial_writer(place: &Place) {
    let (one, store) = place.open().await;
    let (other, _other_store) = place.open().await;
    assert_serial(&[one, other], &store).await;
}
