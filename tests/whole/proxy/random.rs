//! Random requests and answers, byte for byte.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Peer, ProxyProcess, Upstream};

/// Half a conversation.
#[derive(Clone, Debug)]
struct Message {
    headers: Vec<(String, String)>,
    /// In the pieces that it is sent in.
    body: Vec<Vec<u8>>,
    chunked: bool,
}

fn message() -> impl Strategy<Value = Message> {
    // Few names, so that some come twice, in different spellings.
    let header = (
        "[xX]-[abAB]|[aA]ccept|[cC]ookie|[mM]cp-[sS]ession-[iI]d|x-[a-z0-9_.~!|]{1,20}",
        "[!-~]([ -~\t]{0,30}[!-~])?",
    );
    (
        vec(header, 0..20),
        vec(vec(any::<u8>(), 1..3000), 0..6),
        any::<bool>(),
    )
        .prop_map(|(headers, body, chunked)| Message {
            headers,
            body,
            chunked,
        })
}

fn conversation() -> impl Strategy<Value = (String, String, Message, String, Message)> {
    let method = "POST|PUT|DELETE|PATCH|OPTIONS|QUERY|[A-Z]{2,9}X";
    let path = "/[a-zA-Z0-9/._~!$&'()*+,;=:@%-]{0,60}([?][a-zA-Z0-9/._~!$&'()*+,;=:@%?\\[\\]{}^|-]{0,60})?";
    let status = prop_oneof![
        Just("200 OK"),
        Just("202 Accepted"),
        Just("400 Bad Request"),
        Just("401 Nobody"),
        Just("418 I'm a teapot"),
        Just("503 Not now, please"),
        Just("599 Odd")
    ];
    (method, path, message(), status.prop_map(str::to_owned), message())
}

impl Message {
    fn bytes(&self, first_line: &str) -> Vec<u8> {
        let mut bytes = format!("{first_line}\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        if self.chunked {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in &self.body {
                bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                bytes.extend(piece);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.concat().len()).into_bytes());
            bytes.extend(self.body.concat());
        }
        bytes
    }

    /// The headers as they must arrive: values of one name stand together.
    fn expected(&self) -> Vec<String> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in &self.headers {
            let line = format!("{name}: {value}");
            match groups.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                Some((_, lines)) => lines.push(line),
                None => groups.push((name.clone(), vec![line])),
            }
        }
        groups.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}

/// The first line, the headers and the body of what comes; whether it comes in chunks.
async fn receive(peer: &mut Peer) -> (String, Vec<String>, Vec<u8>, bool) {
    let head = peer.head().await;
    let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
    let first = lines.next().unwrap();
    let (mut headers, mut length, mut chunked) = (Vec::new(), 0, false);
    for line in lines {
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if lower == "transfer-encoding: chunked" {
            chunked = true;
        } else if !lower.starts_with("x-forwarded-")
            && !lower.starts_with("forwarded: ")
            && !lower.starts_with("host: ")
        {
            headers.push(line);
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = usize::from_str_radix(peer.until("\r\n").await.trim_end(), 16).unwrap();
            body.extend(peer.exactly(size).await);
            assert_eq!(peer.exactly(2).await, b"\r\n");
            if size == 0 {
                break;
            }
        }
    } else {
        body = peer.exactly(length).await;
    }
    (first, headers, body, chunked)
}

#[test]
fn whatever_is_said_arrives_as_it_was_said() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, proxy) = runtime.block_on(async {
        let upstream = Upstream::bind().await;
        let proxy = ProxyProcess::start(&upstream.url()).await;
        (upstream, proxy)
    });
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    });
    let checked = runner.run(&conversation(), |(method, path, asked, status, told)| {
        runtime.block_on(async {
            let mut client = Peer::connect(proxy.address).await;
            let asking = asked.bytes(&format!(
                "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close"
            ));
            client.send(&asking).await;
            let mut server = upstream.accept().await;
            let (first, headers, body, chunked) = receive(&mut server).await;
            prop_assert_eq!(first, format!("{method} {path} HTTP/1.1"));
            prop_assert_eq!(headers, asked.expected());
            prop_assert_eq!(body, asked.body.concat());
            prop_assert_eq!(chunked, asked.chunked);

            server
                .send(told.bytes(&format!("HTTP/1.1 {status}\r\nConnection: close")))
                .await;
            let (first, mut headers, body, chunked) = receive(&mut client).await;
            headers.retain(|line| !line.eq_ignore_ascii_case("connection: close"));
            prop_assert_eq!(first, format!("HTTP/1.1 {status}"));
            prop_assert_eq!(headers, told.expected());
            prop_assert_eq!(body, told.body.concat());
            prop_assert_eq!(chunked, told.chunked);
            prop_assert!(client.rest().await.is_empty());
            Ok(())
        })
    });
    checked.unwrap();
}
