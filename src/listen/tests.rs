//! The listener against peers that say nothing, half, or too slowly, and that read nothing.

mod pages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// The time that whole requests have at the end.
const GRACE: Duration = Duration::from_secs(10);
/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The client's half of HTTP/2 and its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A request of HTTP/2 whose answer may not come, by a client that then reads nothing: the window of each stream is 0.
const FROZEN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01x";

/// Limits that nothing here comes near.
fn patient() -> Limits {
    let long = Duration::from_secs(3600);
    Limits {
        head: long,
        idle: long,
        body_pause: long,
        body_grace: long,
        stall: long,
        ..Limits::server(64)
    }
}

fn short() -> Duration {
    Duration::from_millis(200)
}

struct Served {
    listeners: Listeners,
    address: SocketAddr,
    counters: Arc<Counters>,
}

async fn serve(limits: Limits) -> Served {
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/healthz", get(async || "ok"))
        .route("/echo", post(async |body: String| body))
        .route(
            "/refuse",
            post(async || axum::http::StatusCode::PAYLOAD_TOO_LARGE),
        )
        .route("/large", get(async || vec![b'a'; 64 << 20]))
        .route("/never", get(async || std::future::pending::<()>().await))
        .route(
            "/stream",
            get(
                async || Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()),
            ),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = Port::new("test", limits);
    let counters = Arc::clone(port.counters());
    let mut listeners = Listeners::default();
    listeners.serve(port, listener, Plain, router);
    Served {
        listeners,
        address,
        counters,
    }
}

impl Served {
    async fn say(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket
    }

    async fn ask(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        rest(&mut self.say(request.as_bytes()).await).await
    }
}

/// All that comes until the peer hangs up.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut off may end with a reset.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut bytes))
        .await
        .expect("the connection is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until(what: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it comes true");
}

const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n";
const HALF_BODY: &[u8] = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";

#[tokio::test]
async fn a_peer_that_takes_too_long_for_a_head_is_let_go() {
    let served = serve(Limits {
        head: short(),
        ..patient()
    })
    .await;
    for begun in [b"".as_slice(), b"G", HALF_HEAD] {
        let mut socket = served.say(begun).await;
        assert_eq!(rest(&mut socket).await, "");
    }
    // The next head of a connection that was good so far.
    let mut socket = served.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = [0; 16];
    socket.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    socket.write_all(HALF_HEAD).await.unwrap();
    rest(&mut socket).await;
    assert_eq!(served.counters.timed_out.load(Ordering::Relaxed), 4);
}

/// A POST that is refused unread, with this length and header.
fn refused(length: usize, header: &str) -> String {
    format!("POST /refuse HTTP/1.1\r\nhost: x\r\n{header}content-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn who_still_sends_what_was_refused_gets_the_answer_and_goes_on() {
    let served = serve(patient()).await;
    // More than the buffers of a connection hold.
    let large = vec![b'a'; 32 << 20];
    let mut socket = served.say(refused(large.len(), "").as_bytes()).await;
    // A client that sends its whole request before it looks for an answer.
    socket.write_all(&large).await.expect("it is discarded");
    let mut answer = [0; 16];
    socket.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"));
    // The answer's rest, and that of the next request, by the same connection.
    let next = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(next).await.unwrap();
    let rest = rest(&mut socket).await;
    assert!(
        rest.contains("HTTP/1.1 200 OK") && rest.ends_with("hello"),
        "{rest}"
    );
}

#[tokio::test]
async fn what_was_refused_is_not_discarded_without_end() {
    let served = serve(patient()).await;
    let endless = "POST /refuse HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"100000\r\n".as_slice(), &vec![b'a'; 1 << 20], b"\r\n"].concat();
    for begin in [endless.to_owned(), refused(usize::MAX >> 1, "")] {
        let mut socket = served.say(begin.as_bytes()).await;
        let mut sent = 0;
        while sent < 256 && socket.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
        assert!(sent < 256, "the connection is closed");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_not_told_to_send_what_is_refused() {
    let served = serve(patient()).await;
    let mut socket = served
        .say(refused(1 << 20, "expect: 100-continue\r\n").as_bytes())
        .await;
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_connection_without_a_request_is_not_kept_for_ever() {
    let served = serve(Limits {
        idle: short(),
        ..patient()
    })
    .await;
    rest(&mut served.say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    rest(&mut served.say(PREFACE).await).await;
    assert_eq!(served.counters.open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_request_timeout() {
    let paused = Limits {
        body_pause: short(),
        ..patient()
    };
    let served = serve(paused).await;
    let answer = rest(&mut served.say(HALF_BODY).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    // One byte at a time is too slow, however steadily they come.
    let dripped = Limits {
        body_grace: short(),
        ..patient()
    };
    let served = serve(dripped).await;
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let (mut reader, mut writer) = served.say(head).await.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = [0; 12];
    timeout(PATIENCE, reader.read_exact(&mut answer))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    drip.abort();
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let served = serve(Limits {
        stall: short(),
        ..patient()
    })
    .await;
    let _reads_nothing = served.say(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(|| served.counters.accepted.load(Ordering::Relaxed) == 1).await;
    until(|| served.counters.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(served.counters.timed_out.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_stream_may_be_silent_for_longer_than_any_limit() {
    let limits = Limits {
        head: short(),
        idle: short(),
        body_pause: short(),
        body_grace: short(),
        stall: short(),
        ..patient()
    };
    let served = serve(limits).await;
    let mut socket = served.say(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    let mut more = [0; 4096];
    let read_on = async {
        loop {
            assert_ne!(socket.read(&mut more).await.unwrap(), 0, "the stream is cut off");
        }
    };
    assert!(timeout(10 * short(), read_on).await.is_err());
}

#[tokio::test]
async fn silent_connections_give_up_their_places() {
    let served = serve(Limits {
        places: 4,
        ..patient()
    })
    .await;
    let mut silent = Vec::new();
    for begun in [b"".as_slice(), HALF_HEAD, PREFACE, HALF_BODY].repeat(4) {
        silent.push(served.say(begun).await);
        assert!(served.ask("/").await.ends_with("hello"));
    }
    assert!(served.counters.displaced.load(Ordering::Relaxed) >= 12);
    assert!(served.counters.open.load(Ordering::Relaxed) <= 4);
}

#[tokio::test]
async fn answers_that_nobody_takes_give_up_their_places() {
    let served = serve(Limits {
        places: 4,
        ..patient()
    })
    .await;
    for request in [b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(), FROZEN] {
        let before = served.counters.accepted.load(Ordering::Relaxed);
        let mut unread = Vec::new();
        for _ in 0..4 {
            unread.push(served.say(request).await);
        }
        until(|| served.counters.accepted.load(Ordering::Relaxed) == before + 4).await;
        let answer = timeout(PATIENCE, served.ask("/healthz")).await;
        assert!(answer.expect("a place").ends_with("ok"));
    }
    assert_eq!(served.counters.timed_out.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_answer_that_is_still_being_sent_is_a_request() {
    let served = serve(Limits {
        idle: short(),
        ..patient()
    })
    .await;
    let _waits_for_its_window = served.say(FROZEN).await;
    let mut reading = served
        .say(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    until(|| served.counters.open.load(Ordering::Relaxed) == 2).await;
    // More than a peer has that was told goodbye.
    tokio::time::sleep(10 * short()).await;
    assert_eq!(served.counters.open.load(Ordering::Relaxed), 2);
    let end = tokio::spawn(served.listeners.end(Instant::now() + GRACE));
    tokio::time::sleep(10 * short()).await;
    let answer = rest(&mut reading).await;
    let body = answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    assert_eq!(body, 64 << 20);
    end.await.unwrap();
}

#[tokio::test]
async fn who_is_at_work_keeps_the_place_and_the_next_one_waits() {
    let served = serve(Limits {
        places: 1,
        ..patient()
    })
    .await;
    let mut streaming = served.say(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut head = [0; 12];
    streaming.read_exact(&mut head).await.unwrap();
    let (waited, ()) = tokio::join!(served.ask("/"), async {
        until(|| served.counters.accepted.load(Ordering::Relaxed) == 2).await;
        drop(streaming);
    });
    assert!(waited.ends_with("hello"), "{waited}");
    assert_eq!(served.counters.displaced.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn too_many_requests_may_come_again_and_health_is_told() {
    let served = serve(Limits {
        requests: 1,
        ..patient()
    })
    .await;
    let _at_work = served.say(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(|| served.counters.accepted.load(Ordering::Relaxed) == 1).await;
    let refused = async {
        loop {
            let answer = served.ask("/").await;
            if answer.starts_with("HTTP/1.1 503") {
                return answer;
            }
        }
    };
    let answer = timeout(PATIENCE, refused)
        .await
        .expect("a refusal")
        .to_lowercase();
    assert!(
        answer.contains("retry-after: 1") && answer.contains("nosniff"),
        "{answer}"
    );
    assert!(served.ask("/healthz").await.ends_with("ok"));
}

#[tokio::test]
async fn one_peer_never_has_all_requests() {
    let served = serve(Limits {
        requests: 4,
        requests_of_peer: 1,
        ..patient()
    })
    .await;
    let _at_work = served.say(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(|| served.counters.accepted.load(Ordering::Relaxed) == 1).await;
    let refused = async {
        loop {
            let answer = served.ask("/").await;
            if answer.starts_with("HTTP/1.1 503") {
                return answer;
            }
        }
    };
    let answer = timeout(PATIENCE, refused).await.expect("a refusal");
    assert!(answer.contains("of this address"), "{answer}");
    assert!(served.ask("/healthz").await.ends_with("ok"));
    // All of this network is this machine.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(served.address).await.unwrap();
    other
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut other).await.ends_with("hello"));
}

#[tokio::test]
async fn every_answer_says_that_it_is_what_it_says_it_is() {
    let served = serve(patient()).await;
    for path in ["/", "/healthz", "/none"] {
        let answer = served.ask(path).await.to_lowercase();
        assert!(
            answer.contains("\r\nx-content-type-options: nosniff\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn nothing_half_sent_or_unread_keeps_the_end_from_coming() {
    let served = serve(patient()).await;
    let mut open = Vec::new();
    for begun in [
        b"".as_slice(),
        HALF_HEAD,
        HALF_BODY,
        PREFACE,
        FROZEN,
        b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        open.push(served.say(begun).await);
    }
    until(|| served.counters.open.load(Ordering::Relaxed) == 8).await;
    let until = Instant::now() + short();
    timeout(PATIENCE, served.listeners.end(until))
        .await
        .expect("an end");
    assert_eq!(served.counters.open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn without_a_whole_request_the_end_does_not_wait() {
    let served = serve(patient()).await;
    let mut open = Vec::new();
    for begun in [b"".as_slice(), HALF_HEAD, HALF_BODY, PREFACE] {
        open.push(served.say(begun).await);
    }
    until(|| served.counters.open.load(Ordering::Relaxed) == 4).await;
    // Within the time that whole requests have.
    timeout(GRACE, served.listeners.end(Instant::now() + GRACE))
        .await
        .expect("an end");
}

#[tokio::test]
async fn a_peer_that_sends_frames_without_end_that_carry_nothing_is_let_go() {
    let served = serve(patient()).await;
    let frame =
        |kind: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0], payload].concat();
    // Settings, pings, priorities, windows, and those of no known kind.
    for (kind, payload) in [
        (4, &[0, 4, 0, 1, 0, 0][..]),
        (6, b"12345678"),
        (8, &[0, 0, 0, 1]),
        (0x77, b"nothing"),
    ] {
        let mut peer = served.say(PREFACE).await;
        let many = frame(kind, payload).repeat(1_000);
        let sending = async {
            while peer.write_all(&many).await.is_ok() {
                // The answers are taken, or no more is read.
                let _ = peer.try_read(&mut [0; 1 << 16]);
            }
        };
        timeout(PATIENCE, sending)
            .await
            .expect("the connection is closed");
    }
    until(|| served.counters.flooded.load(Ordering::Relaxed) == 4).await;
    assert!(served.ask("/").await.ends_with("hello"));
}
