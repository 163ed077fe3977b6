//! The bytes themselves: unaltered, in order, with bounded memory, whatever they are.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ECHO, Wrapping, call_tool, calls_of, python, within};
use crate::support::TestServer;

const MIB: usize = 1 << 20;

/// Bytes of every value, in no order, without a pattern that repeats soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Sends all of it to a server that gives it back, and returns what came back.
async fn there_and_back(wrapping: &Wrapping, input: Vec<u8>) -> Vec<u8> {
    let mut wrapped = wrapping.run(&["cat".to_owned()]);
    let mut stdin = wrapped.stdin.take().unwrap();
    let sending = tokio::spawn(async move { stdin.write_all(&input).await });
    let ended = wrapped.ended().await;
    sending.await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    ended.stdout
}

#[tokio::test]
async fn garbage_passes_both_ways() {
    let server = TestServer::start().await;
    let wrapping = Wrapping::to(&server);
    let quoted = [
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"".to_vec(),
        noise(3 * MIB),
    ]
    .concat();
    let deep = [
        vec![b'['; MIB],
        b"\n".to_vec(),
        "{\"a\":".repeat(MIB / 8).into_bytes(),
    ]
    .concat();
    let inputs = [
        noise(3 * MIB),
        vec![b'x'; 3 * MIB],
        vec![b'\n'; MIB],
        vec![0; MIB],
        quoted,
        deep,
    ];
    for input in inputs {
        let output = there_and_back(&wrapping, input.clone()).await;
        assert!(output == input, "{} bytes became {}", input.len(), output.len());
    }
}

#[tokio::test]
async fn calls_among_garbage_are_recorded() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::to(&server).run(&python(ECHO));
    for garbage in [
        &b"\xff\xfe\x00 not UTF-8\n"[..],
        b"{\"jsonrpc\": \"2.0\", \"id\":\n",
        b"npm warn old lockfile\n",
        b"\n\r\n",
    ] {
        wrapped.send(garbage).await;
    }
    wrapped.send(call_tool(1, "first")).await;
    // The last line has no end.
    let last = call_tool(2, "last");
    wrapped.send(last.trim_end()).await;
    assert_eq!(wrapped.end().await.status.code(), Some(0));
    let calls = calls_of(&server, 2, "tool outcome").await;
    assert_eq!(calls[0], json!({"tool": "first", "outcome": "OK"}));
    assert_eq!(calls[1], json!({"tool": "last", "outcome": "OK"}));
}

#[tokio::test]
async fn an_answer_of_50_mb_is_not_held_in_memory() {
    let server = TestServer::start().await;
    let script = "import sys\n\
                  sys.stdin.readline()\n\
                  out = sys.stdout.buffer\n\
                  out.write(b'{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\\n'); out.flush()\n\
                  sys.stdin.readline()\n\
                  out.write(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":\"')\n\
                  for _ in range(50): out.write(b'0123456789abcdef' * 65536)\n\
                  out.write(b'\"}}\\n'); out.flush()\n\
                  sys.stdin.read()";
    let mut wrapped = Wrapping::to(&server).run(&python(script));
    // One that has begun has its tables of what is secret already.
    wrapped.call(json!(0), "ping", json!({})).await;
    let before = wrapped.peak_memory();
    wrapped.send(call_tool(1, "huge")).await;

    let head = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":\"".to_vec();
    let text = b"0123456789abcdef".repeat(65536 * 50);
    let expected = [head, text, b"\"}}\n".to_vec()].concat();
    let mut answer = vec![0; expected.len()];
    let reading = wrapped.stdout.as_mut().unwrap().read_exact(&mut answer);
    within("the answer", reading).await.unwrap();
    assert!(answer == expected, "the answer was altered");

    let more = wrapped.peak_memory() - before;
    eprintln!("the wrapper had {} MiB more than before at most", more / MIB);
    assert!(more < 25 * MIB, "{more}");
    let ended = wrapped.end().await;
    assert!(ended.stdout.is_empty());
    let calls = calls_of(&server, 2, "tool outcome response { bytes truncated text }").await;
    let call = calls.iter().find(|call| call["tool"] == "huge").unwrap();
    assert_eq!(call["outcome"], "OK");
    assert_eq!(call["response"]["truncated"], true);
    assert_eq!(call["response"]["bytes"], 50 * MIB + r#"{"text":""}"#.len());
    assert!(
        call["response"]["text"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"text":"0123"#)
    );
}

#[tokio::test]
async fn a_request_of_50_mb_is_not_held_in_memory() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::to(&server).run(&python(ECHO));
    // One that has begun has its tables of what is secret already.
    wrapped.call(json!(0), "ping", json!({})).await;
    let before = wrapped.peak_memory();
    let text = "0123456789abcdef".repeat(65536 * 50);
    let mut stdin = wrapped.stdin.take().unwrap();
    let request = super::request(
        json!(1),
        "tools/call",
        json!({"name": "huge", "arguments": {"text": text}}),
    );
    let sending = tokio::spawn(async move {
        stdin.write_all(request.as_bytes()).await.unwrap();
        stdin
    });
    let answer = wrapped.line().await;
    assert!(answer.contains(&text), "the request was altered");
    let more = wrapped.peak_memory() - before;
    eprintln!("the wrapper had {} MiB more than before at most", more / MIB);
    // Without compression it is 21 MiB; with it the records are held a little longer, while they are compressed.
    assert!(more < 40 * MIB, "{more}");
    drop(sending.await.unwrap());
    wrapped.ended().await;
    let calls = calls_of(&server, 2, "tool outcome request { truncated }").await;
    assert_eq!(
        calls[1],
        json!({"tool": "huge", "outcome": "OK", "request": {"truncated": true}})
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_server_back() {
    const TOTAL: usize = 16 * MIB;
    let script = format!(
        "import os, select, sys\n\
         os.set_blocking(1, False)\n\
         data = memoryview(bytes(range(256)) * {blocks})\n\
         sent = 0\n\
         while sent < len(data):\n    \
             if not select.select([], [1], [], 0.5)[1]:\n        \
                 print(sent, file=sys.stderr, flush=True)\n        \
                 break\n    \
             sent += os.write(1, data[sent:sent + 65536])\n\
         os.set_blocking(1, True)\n\
         while sent < len(data): sent += os.write(1, data[sent:])",
        blocks = TOTAL / 256
    );
    let mut wrapped = Wrapping::nowhere().run(&python(&script));
    // Nobody reads; the server waits.
    let held_back: usize = wrapped.error_line().await.parse().unwrap();
    assert!(held_back < MIB, "{held_back}");
    let ended = wrapped.ended().await;
    let expected: Vec<u8> = (0..TOTAL).map(|index| (index % 256) as u8).collect();
    assert!(ended.stdout == expected, "what was read is not what was written");
}
