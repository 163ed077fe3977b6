//! Databases that vanish with the test, and calls to put into them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcptap_model::{
    Batch, Call, Evidence, LogLine, Observation, Origin, Payload, SessionKey, SessionSource, SpanId, TraceId,
    Transport, UnixNanos, testing,
};
use mcptap_store::{Options, Store, Writer, open};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_348_800_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

/// An empty database.
pub(crate) struct Place {
    pub(crate) url: String,
    directory: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
        Self {
            url,
            directory: Some(directory),
        }
    }

    /// `None` where there is no server to test with.
    pub(crate) async fn postgres() -> Option<Self> {
        Self::postgres_as("").await
    }

    /// The same, made with these options.
    pub(crate) async fn postgres_as(options: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
            assert!(
                std::env::var("MCPTAP_REQUIRE_POSTGRES").is_err(),
                "TEST_DATABASE_URL names no PostgreSQL server"
            );
            return None;
        };
        let name = format!(
            "mcptap_test_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let admin = Database::connect(&server).await.unwrap();
        admin
            .execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}"))
            .await
            .unwrap();
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name} {options}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let base = base.rsplit_once('/').unwrap().0;
        Some(Self {
            url: format!("{base}/{name}?{query}"),
            directory: None,
        })
    }

    /// Opened, keeping everything.
    pub(crate) async fn open(&self) -> (Writer, Store) {
        self.open_with(Options {
            retention: None,
            ..Options::default()
        })
        .await
    }

    pub(crate) async fn open_with(&self, options: Options) -> (Writer, Store) {
        open(&self.url, options).await.unwrap()
    }

    /// A connection of its own to the database, to look at its tables or to damage them.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        Database::connect(&self.url).await.unwrap()
    }

    /// The same database, with a PostgreSQL server that takes its time: every answer is waited for.
    pub(crate) async fn far_away(&self) -> Self {
        let Some((before, (server, after))) = self
            .url
            .split_once('@')
            .and_then(|(before, rest)| Some((before, rest.split_once('/')?)))
        else {
            return Self {
                url: self.url.clone(),
                directory: None,
            };
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from, to) = client.into_split();
                let (answers, questions) = TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(carry(from, questions));
                tokio::spawn(carry(answers, to));
            }
        });
        Self {
            url: format!("{before}@{near}/{after}"),
            directory: None,
        }
    }

    pub(crate) fn file(&self) -> Option<std::path::PathBuf> {
        self.directory
            .as_ref()
            .map(|directory| directory.path().join("test.db"))
    }

    /// The name of a database of PostgreSQL.
    pub(crate) fn name(&self) -> &str {
        let (_, name) = self.url.rsplit_once('/').unwrap();
        name.split('?').next().unwrap()
    }

    pub(crate) async fn vanish(self) {
        if self.directory.is_none() {
            let name = self.name().to_owned();
            let admin = Database::connect(std::env::var("TEST_DATABASE_URL").unwrap())
                .await
                .unwrap();
            admin
                .execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)"))
                .await
                .unwrap();
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 64 << 10];
    // Either end may go at any time.
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

/// Each test on both databases.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let place = crate::support::Place::sqlite();
                super::$test(&place).await;
                place.vanish().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(place) = crate::support::Place::postgres().await {
                    super::$test(&place).await;
                    place.vanish().await;
                }
            })+
        }
    };
}
pub(crate) use on_both;

pub(crate) fn trace(number: u64) -> TraceId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

pub(crate) fn span(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

/// A plain call, the `number`th second after noon. Number from 1.
pub(crate) fn plain(number: u64) -> Call {
    Call {
        origin: Arc::new(Origin {
            service: Some("shop".into()),
            ..Origin::default()
        }),
        tool: Some("lookup".into()),
        started_at: UnixNanos(NOON + number as i64 * SECOND),
        duration_nanos: 1_500_000,
        received_at: UnixNanos(NOON + number as i64 * SECOND + 7),
        ..testing::call(trace(number), span(number))
    }
}

/// A call with something in every field.
pub(crate) fn full(number: u64) -> Call {
    let long = format!("{{\"text\":\"{}\"}}", "ein langer Text für zstd ".repeat(200));
    let object = |text: &str| serde_json::from_str(text).unwrap();
    Call {
        primary_span_id: span(number + 1_000_000),
        parent_span_id: Some(span(number + 2_000_000)),
        origin: Arc::new(Origin {
            service: Some("shop".into()),
            instance: Some("pod-1".into()),
            scope: "mcp".into(),
            scope_version: Some("1.2".into()),
            resource: object(r#"{"host.name":"a","big":123456789012345678}"#),
        }),
        server: Some("shop-mcp".into()),
        prompt: Some("greet".into()),
        resource_uri: Some("config://shop/main".into()),
        evidence: Evidence {
            tool_error: true,
            failed: true,
            ..Evidence::default()
        },
        http_status: Some(200),
        rpc_error_code: Some(-32602),
        error_type: Some("ValueError".into()),
        error_message: Some("no such order".into()),
        stack_trace: Some("Traceback\n  at main\n".repeat(100)),
        session_id: Some("wire-1".into()),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: "wire-1".into(),
        }),
        request_id: Some("17".into()),
        protocol_version: Some("2025-11-25".into()),
        transport: Some(Transport::StreamableHttp),
        client_name: Some("cursor".into()),
        client_version: Some("1.9".into()),
        client_ip: Some("2001:db8::1".into()),
        country: Some("IS".into()),
        authorization: Some("Bearer sk-…".into()),
        user_agent: Some("node".into()),
        request: Some(Payload {
            text: r#"{"order":"A-1001"}"#.into(),
            bytes: 18,
            truncated: false,
            redacted: true,
        }),
        response: Some(Payload {
            bytes: 99_999,
            truncated: true,
            ..Payload::whole(long)
        }),
        attributes: object(r#"{"server.port":8080,"nested":{"a":[1,2.5,null,true]},"nul":"a\u0000b"}"#),
        ..plain(number)
    }
}

pub(crate) fn line(of: &Call, number: i64, body: &str) -> LogLine {
    LogLine {
        trace_id: of.trace_id,
        span_id: Some(of.span_id),
        service: None,
        time: UnixNanos(of.started_at.0 + number),
        severity: "INFO".into(),
        body: body.into(),
        attributes: serde_json::Map::from_iter([("n".into(), number.into())]),
    }
}

pub(crate) fn batch(calls: impl IntoIterator<Item = Call>) -> Batch {
    let observations = calls
        .into_iter()
        .map(|call| Observation {
            call,
            links: Vec::new(),
        })
        .collect();
    Batch {
        observations,
        ..Batch::default()
    }
}

/// The call as lists show it.
pub(crate) fn listed(mut call: Call) -> Call {
    call.request = None;
    call.response = None;
    call.stack_trace = None;
    call.attributes = serde_json::Map::new();
    call.origin = Arc::new(Origin {
        resource: serde_json::Map::new(),
        ..Origin::clone(&call.origin)
    });
    call
}

/// Numbers without a pattern, the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize].clone()
    }
}
