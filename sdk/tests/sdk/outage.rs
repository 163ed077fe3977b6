//! A collector that is away, slow or picky, and processes that die meanwhile.
//!
//! The variables are read from the environment, so the recording is done by [`recording_process`], run as a process
//! of its own and told by its standard input what to do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mcptap_sdk::{Guard, Stats, log_layer};
use opentelemetry::trace::{Span, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tracing_subscriber::prelude::*;

use crate::collector::{Collector, PAGE, Received, free_address};

/// Has the shape of a secret.
const SECRET: &str = "sk-live-0123456789abcdefghijkl";

/// Not a test of its own: the process that the others run. Each line it reads is an order; it answers with the
/// counts of what it recorded: delivered, waiting, spooled, lost, refused.
#[test]
#[ignore = "run by the other tests as a process"]
fn recording_process() {
    // The layer may come before what it writes to.
    tracing_subscriber::registry().with(log_layer()).init();
    let telemetry = mcptap_sdk::init("recorder").unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (order, what) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            // A span, and nothing else before it is delivered or on disk.
            "span" => {
                record(what, 1);
                settle(&telemetry);
            }
            "megabytes" => (0..what.parse().unwrap()).for_each(|at: u32| record(&at.to_string(), 1 << 20)),
            // Spans whose bodies do not become smaller, of so many kB each.
            "noise" => what.split(' ').enumerate().for_each(|(at, kilobytes)| {
                noise(&at.to_string(), kilobytes.parse().unwrap());
            }),
            "log" => {
                let context = Context::current_with_span(global::tracer("test").start("logging"));
                let _current = context.attach();
                tracing::warn!(api_key = SECRET, "{what}");
            }
            "settle" => settle(&telemetry),
            "end" => {
                let is_ok = telemetry.shutdown().is_ok();
                println!("> ended {is_ok}");
            }
            other => panic!("{other}?"),
        }
        let Stats {
            delivered,
            waiting,
            spooled,
            lost,
            refused,
            ..
        } = telemetry.stats();
        println!("> {delivered} {waiting} {spooled} {lost} {refused}");
    }
}

fn record(name: &str, body: usize) {
    let mut span = global::tracer("test").start(name.to_owned());
    span.set_attribute(KeyValue::new("body", "x".repeat(body)));
    span.set_attribute(KeyValue::new("note", format!("Authorization: Bearer {SECRET}")));
    span.end();
}

fn noise(name: &str, kilobytes: u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::new();
    while text.len() as u64 <= kilobytes * 1000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Hyphens keep it from looking like a secret.
        text.push_str(&format!("{:x}-", state >> 40));
    }
    let mut span = global::tracer("test").start(name.to_owned());
    span.set_attribute(KeyValue::new("body", text));
    span.end();
}

/// Waits until nothing is in memory any more.
fn settle(telemetry: &Guard) {
    for _ in 0..12_000 {
        if telemetry.stats().waiting == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("still in memory: {:?}", telemetry.stats());
}

/// The counts: delivered, waiting, spooled, lost, refused.
type Counts = [u64; 5];

struct Recorder {
    child: Child,
    /// None once there are no more.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Recorder {
    fn start(endpoint: &str, spool: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "outage::recording_process"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_BSP_SCHEDULE_DELAY", "1")
            .env("MCPTAP_SPOOL_DIR", spool)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn order(&mut self, order: &str) -> Counts {
        self.tell(order);
        loop {
            let answer = self.answer();
            if !answer.starts_with("ended") {
                let numbers: Vec<u64> = answer.split(' ').map(|number| number.parse().unwrap()).collect();
                return numbers.try_into().unwrap();
            }
        }
    }

    fn record(&mut self, names: std::ops::Range<usize>) -> Counts {
        names
            .map(|name| self.order(&format!("span {name}")))
            .last()
            .unwrap()
    }

    /// Ends telemetry; whether that went well, and the last counts.
    fn end(mut self) -> (bool, Counts) {
        self.tell("end");
        let answer = self.answer();
        let is_ok = answer.strip_prefix("ended ").unwrap().parse().unwrap();
        let numbers = self.answer();
        self.orders = None;
        assert!(self.child.wait().unwrap().success());
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        (is_ok, numbers.try_into().unwrap())
    }

    /// Kills it: there is no farewell.
    fn kill(self) {
        drop(self);
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the process died");
            // The harness may have begun the line.
            if let Some((_, answer)) = line.split_once("> ") {
                return answer.trim().to_owned();
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|name| name.to_string()).collect()
}

/// Everything in all files of a directory and those below.
fn contents(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(contents(&path));
        } else {
            fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        }
    }
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn spool() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_collector_that_comes_late_gets_everything_in_order_and_once() {
    for protocol in ["http/protobuf", "grpc"] {
        let (address, received, spool) = (free_address(), Received::default(), spool());
        let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
        assert_eq!(recorder.record(0..20), [0, 0, 20, 0, 0]);
        recorder.order("log out of stock");
        let collector = Collector::start(address, &received);
        received.wait_for(21, 1);
        recorder.record(20..30);
        received.wait_for(31, 1);
        assert_eq!(recorder.end(), (true, [32, 0, 0, 0, 0]));
        let mut expected = names(0..20);
        expected.push("logging".to_owned());
        expected.extend(names(20..30));
        assert_eq!(received.names(), expected);
        assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);

        // The console output belongs to its call.
        let span = received
            .spans()
            .into_iter()
            .find(|span| span.name == "logging")
            .unwrap();
        let logs = received.logs();
        assert_eq!(
            (&logs[0].trace_id, &logs[0].span_id),
            (&span.trace_id, &span.span_id)
        );
        drop(collector);
    }
}

#[test]
fn a_collector_that_is_killed_and_restarted_misses_nothing() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let collector = Collector::start(address, &received);
    let mut recorder = Recorder::start(&url(address), spool.path(), &[]);
    recorder.record(0..10);
    received.wait_for(10, 0);
    drop(collector);
    recorder.record(10..20);
    let _collector = Collector::start(address, &received);
    recorder.record(20..30);
    received.wait_for(30, 0);
    assert_eq!(received.names(), names(0..30));
    assert_eq!(recorder.end(), (true, [30, 0, 0, 0, 0]));
}

#[test]
fn the_next_process_delivers_what_a_killed_one_left() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    for round in 0..2 {
        let mut recorder = Recorder::start(&url(address), spool.path(), &[]);
        recorder.record(round * 5..round * 5 + 5);
        recorder.kill();
    }
    // One that sends elsewhere leaves it alone.
    let stranger = Recorder::start(&url(free_address()), spool.path(), &[]);
    assert_eq!(stranger.end(), (true, [0, 0, 0, 0, 0]));
    let _collector = Collector::start(address, &received);
    let recorder = Recorder::start(&url(address), spool.path(), &[]);
    received.wait_for(10, 0);
    assert_eq!(received.names(), names(0..10));
    assert_eq!(recorder.end(), (true, [10, 0, 0, 0, 0]));
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
}

#[test]
fn a_process_that_exits_leaves_what_nobody_took() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let mut recorder = Recorder::start(&url(address), spool.path(), &[]);
    recorder.record(0..3);
    assert_eq!(recorder.end(), (true, [0, 0, 3, 0, 0]));
    let _collector = Collector::start(address, &received);
    let _recorder = Recorder::start(&url(address), spool.path(), &[]);
    received.wait_for(3, 0);
    assert_eq!(received.names(), names(0..3));
}

#[test]
fn when_the_spool_is_full_the_oldest_go_and_are_counted() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let variables = [("MCPTAP_SPOOL_BYTES", "40960")];
    let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
    // Each takes a block of 4096 bytes.
    assert_eq!(recorder.record(0..25), [0, 0, 10, 15, 0]);
    let _collector = Collector::start(address, &received);
    received.wait_for(10, 0);
    assert_eq!(received.names(), names(15..25));
    assert_eq!(recorder.end(), (true, [10, 0, 0, 15, 0]));
}

#[test]
fn a_disk_that_cannot_be_written_is_done_without() {
    let (address, received, root) = (free_address(), Received::default(), spool());
    let file = root.path().join("file");
    fs::write(&file, "no directory").unwrap();
    for spool in [file.join("spool"), file] {
        let mut recorder = Recorder::start(&url(address), &spool, &[("OTEL_BSP_SCHEDULE_DELAY", "50")]);
        for name in 0..3 {
            recorder.tell(&format!("span {name}"));
        }
        let collector = Collector::start(address, &received);
        received.wait_for(3, 0);
        assert_eq!(received.names(), names(0..3));
        recorder.kill();
        drop(collector);
        received.forget();
    }
}

#[test]
fn neither_credentials_nor_secrets_are_on_disk() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tenant-credential"),
        // The files on disk are searched as they are.
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
    ];
    let endpoint = format!("http://somebody:url-credential@{address}");
    let mut recorder = Recorder::start(&endpoint, spool.path(), &variables);
    recorder.record(0..2);
    recorder.order(&format!("log the key is {SECRET}"));
    assert_eq!(recorder.order("settle")[2], 4);
    let bytes = contents(spool.path());
    assert!(has(&bytes, "Authorization") && has(&bytes, "the key is"));
    for secret in [SECRET, "tenant-credential", "url-credential", "somebody"] {
        assert!(!has(&bytes, secret), "{secret}");
    }
    recorder.kill();
    // Another process sends them with credentials of its own.
    let _collector = Collector::start(address, &received);
    let _recorder = Recorder::start(&endpoint, spool.path(), &variables);
    received.wait_for(3, 1);
    assert_eq!(received.header("x-tenant").unwrap(), "tenant-credential");
    assert_eq!(
        received.header("authorization").unwrap(),
        "Basic c29tZWJvZHk6dXJsLWNyZWRlbnRpYWw="
    );
    assert!(!format!("{:?}{:?}", received.spans(), received.logs()).contains(SECRET));
}

#[test]
fn https_with_a_certificate_of_ones_own() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = spool();
    let pem = directory.path().join("collector.pem");
    fs::write(&pem, cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let (address, received) = (free_address(), Received::default());
    let _collector = Collector::start_with(address, &received, Some(tls));
    let endpoint = format!("https://localhost:{}", address.port());
    let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", pem.to_str().unwrap());
    for (round, protocol) in ["http/protobuf", "grpc"].into_iter().enumerate() {
        let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let mut recorder = Recorder::start(&endpoint, directory.path(), &[certificate, protocol]);
        recorder.record(round..round + 1);
        let (is_ok, counts) = recorder.end();
        assert!(is_ok && counts[0] == 1, "{protocol:?} {counts:?}");
    }
    assert_eq!(received.names(), names(0..2));

    // Without the certificate nothing is sent, and nothing is lost.
    let mut recorder = Recorder::start(&endpoint, directory.path(), &[]);
    recorder.record(2..3);
    assert_eq!(recorder.end(), (true, [0, 0, 1, 0, 0]));
    assert_eq!(received.names(), names(0..2));
}

#[test]
fn a_collector_that_never_answers_costs_neither_time_nor_memory() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = url(deaf.local_addr().unwrap());
    for size in ["off", "20000000"] {
        let spool = spool();
        let variables = [
            ("MCPTAP_SPOOL_BYTES", size),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ];
        let mut recorder = Recorder::start(&endpoint, spool.path(), &variables);
        let counts = recorder.order("megabytes 200");
        assert_eq!(counts.iter().sum::<u64>(), 200);
        let status = fs::read_to_string(format!("/proc/{}/status", recorder.child.id()));
        if let Ok(status) = status {
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))
                .unwrap();
            let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(kilobytes < 150_000, "{kilobytes} kB for 200 MB of bodies");
        }
        let (is_ok, [delivered, waiting, spooled, lost, refused]) = recorder.end();
        assert_eq!((delivered, refused), (0, 0));
        // The end has a bound: on a busy machine some may not get to the disk in time, and they are told.
        assert_eq!(waiting + spooled + lost, 200);
        // What went to disk is as safe as can be; what was in memory only is not.
        if size == "off" {
            assert_eq!((is_ok, spooled), (false, 0));
        } else {
            assert!((1..20).contains(&spooled), "{spooled}");
        }
    }
}

#[test]
fn what_a_deaf_collector_was_sent_survives_a_kill() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, received, spool) = (deaf.local_addr().unwrap(), Received::default(), spool());
    // Nothing goes to disk because the time is up: it goes there because the answer takes long.
    let patient = [("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")];
    let mut recorder = Recorder::start(&url(address), spool.path(), &patient);
    assert_eq!(recorder.record(0..5), [0, 0, 5, 0, 0]);
    recorder.kill();
    drop(deaf);
    let _collector = Collector::start(address, &received);
    let _recorder = Recorder::start(&url(address), spool.path(), &[]);
    received.wait_for(5, 0);
    assert_eq!(received.names(), names(0..5));
}

#[test]
fn what_is_refused_is_dropped_and_counted() {
    for protocol in ["http/protobuf", "grpc"] {
        let (address, received, spool) = (free_address(), Received::default(), spool());
        let _collector = Collector::start(address, &received);
        let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
        received.answer(&[200, 400, 503, 206, 200]);
        recorder.record(0..1);
        received.wait_for_answers(4);
        recorder.record(1..2);
        received.wait_for_answers(3);
        recorder.record(2..3);
        received.wait_for_answers(1);
        recorder.record(3..4);
        received.wait_for(2, 0);
        assert_eq!(recorder.end(), (false, [2, 0, 0, 0, 2]), "{protocol}");
        assert_eq!(received.names(), ["0", "3"]);
    }
}

#[test]
fn a_page_in_place_of_the_collector_takes_nothing() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let _collector = Collector::start(address, &received);
    let mut recorder = Recorder::start(&url(address), spool.path(), &[]);
    received.answer(&[PAGE, PAGE]);
    recorder.record(0..1);
    received.wait_for_answers(0);
    recorder.record(1..2);
    received.wait_for(2, 0);
    assert_eq!(recorder.end(), (true, [2, 0, 0, 0, 0]));
    assert_eq!(received.names(), names(0..2));
}

/// Sizes of spans in kB: one of them is larger than the limit of [`a_collector_with_a_limit_gets_all_but_what_is_too_large_alone`].
const NOISE: &str = "noise 300 300 2 300 1300 300 2 2 300";

#[test]
fn a_collector_with_a_limit_gets_all_but_what_is_too_large_alone() {
    for (protocol, compression) in [
        ("http/protobuf", "gzip"),
        ("http/protobuf", "zstd"),
        ("http/protobuf", "none"),
        ("grpc", "gzip"),
        ("grpc", "none"),
    ] {
        let (address, received, spool) = (free_address(), Received::default(), spool());
        // As a reverse proxy counts, and as a server of gRPC does.
        let largest = if compression != "none" && protocol != "grpc" {
            500_000
        } else {
            1_000_000
        };
        received.limits(largest, true);
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ];
        let mut expected = names(0..9);
        expected.remove(4);
        // Also from the disk, as a later process finds it.
        let mut away = Recorder::start(&url(address), spool.path(), &variables);
        away.order(NOISE);
        assert_eq!(away.order("settle")[2], 9);
        away.kill();
        let collector = Collector::start(address, &received);
        let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
        received.wait_for(8, 0);
        assert_eq!(received.names(), expected, "{protocol} {compression}");

        // The size that passed is kept to: only the one that is too large alone is tried for nothing.
        received.forget();
        received.limits(largest, true);
        for round in 1..4 {
            recorder.order(NOISE);
            recorder.order("settle");
            received.wait_for(8 * round, 0);
        }
        assert!(
            received.rejected() <= 4,
            "{protocol} {compression}: {}",
            received.rejected()
        );
        let (is_ok, counts) = recorder.end();
        assert_eq!(
            (is_ok, counts),
            (false, [32, 0, 0, 0, 4]),
            "{protocol} {compression}"
        );
        drop(collector);
    }
}

#[test]
fn a_collector_that_fails_for_a_while_gets_gzip_again() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let _collector = Collector::start(address, &received);
    let mut recorder = Recorder::start(&url(address), spool.path(), &[]);
    // It fails without compression too, so that was not the cause.
    received.answer(&[500, 503]);
    recorder.record(0..1);
    received.wait_for(1, 0);
    assert_eq!(received.header("content-encoding"), None);
    recorder.record(1..2);
    received.wait_for(2, 0);
    assert_eq!(received.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(recorder.end(), (true, [2, 0, 0, 0, 0]));
}

#[test]
fn a_collector_that_does_not_read_gzip_gets_it_without() {
    for protocol in ["http/protobuf", "grpc"] {
        let (address, received, spool) = (free_address(), Received::default(), spool());
        received.limits(usize::MAX, false);
        let _collector = Collector::start(address, &received);
        let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
        recorder.record(0..5);
        assert_eq!(recorder.end(), (true, [5, 0, 0, 0, 0]), "{protocol}");
        assert_eq!(received.names(), names(0..5));
        // Once is enough to know. (Over gRPC it is the library that rejects it.)
        assert_eq!(received.rejected(), usize::from(protocol != "grpc"));
    }
}

#[test]
fn a_compressed_parcel_stays_so_over_grpc() {
    let (address, received, spool) = (free_address(), Received::default(), spool());
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let mut recorder = Recorder::start(&url(address), spool.path(), &variables);
    recorder.record(0..2);
    let _collector = Collector::start(address, &received);
    received.wait_for(2, 0);
    assert_eq!(received.header("grpc-encoding").unwrap(), "gzip");
    assert_eq!(received.names(), names(0..2));
}
