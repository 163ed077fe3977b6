//! Start, end and signals: the wrapper lives and dies as the server does.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{ECHO, Wrapping, call_tool, calls_of, python, shell, within};
use crate::support::TestServer;

#[tokio::test]
async fn its_exit_code_is_the_servers() {
    let wrapping = Wrapping::nowhere();
    for code in [0, 1, 3, 255] {
        let ended = wrapping
            .run(&shell(&format!("echo out; echo err >&2; exit {code}")))
            .ended()
            .await;
        assert_eq!(ended.status.code(), Some(code));
        assert_eq!(ended.stdout, b"out\n");
        assert_eq!(ended.stderr, "err\n");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_started() {
    let wrapping = Wrapping::nowhere();
    let ended = wrapping.run(&["/nowhere/server".to_owned()]).ended().await;
    assert_eq!(ended.status.code(), Some(127));
    assert!(ended.stderr.contains("/nowhere/server") && ended.stderr.contains("PATH"));
    assert!(ended.stdout.is_empty());

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let ended = wrapping.run(&[path]).ended().await;
    assert_eq!(ended.status.code(), Some(126));
    assert!(ended.stderr.contains("executable"), "{}", ended.stderr);
}

#[tokio::test]
async fn it_dies_of_the_servers_signal() {
    let wrapping = Wrapping::nowhere();
    for (name, number) in [("KILL", 9), ("TERM", 15), ("ABRT", 6), ("PIPE", 13)] {
        let ended = wrapping
            .run(&shell(&format!("ulimit -c 0; kill -s {name} $$")))
            .ended()
            .await;
        assert_eq!(ended.status.signal(), Some(number), "{name}");
    }
}

#[tokio::test]
async fn signals_reach_the_server() {
    let wrapping = Wrapping::nowhere();
    for name in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let script = format!(
            "import signal, sys\n\
             def told(*_):\n    print('told', flush=True)\n    sys.exit(7)\n\
             signal.signal(signal.SIG{name}, told)\n\
             print('ready', flush=True)\n\
             while True: signal.pause()"
        );
        let mut wrapped = wrapping.run(&python(&script));
        assert_eq!(wrapped.line().await, "ready");
        wrapped.signal(name).await;
        assert_eq!(wrapped.line().await, "told", "{name}");
        assert_eq!(wrapped.ended().await.status.code(), Some(7));
    }
}

#[tokio::test]
async fn a_signal_that_the_server_outlives() {
    let wrapping = Wrapping::nowhere();
    let mut wrapped = wrapping.run(&python(&format!(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready', flush=True)\n{ECHO}"
    )));
    assert_eq!(wrapped.line().await, "ready");
    wrapped.signal("INT").await;
    wrapped.send("still there\n").await;
    assert_eq!(wrapped.line().await, "still there");
    assert_eq!(wrapped.end().await.status.code(), Some(0));
}

#[tokio::test]
async fn the_end_of_input_reaches_the_server() {
    let mut wrapped = Wrapping::nowhere().run(&shell("cat; echo over; exit 5"));
    wrapped.send("last words").await;
    let ended = wrapped.end().await;
    assert_eq!(ended.stdout, b"last wordsover\n");
    assert_eq!(ended.status.code(), Some(5));
}

#[tokio::test]
async fn a_server_that_closes_its_output_and_lives_on() {
    let mut wrapped = Wrapping::nowhere().run(&python(
        "import os, sys\nprint('last', flush=True)\nos.close(1)\nsys.stdin.read()\nsys.stderr.write('bye')\nos._exit(4)",
    ));
    let mut output = String::new();
    let reading = wrapped.stdout.as_mut().unwrap().read_to_string(&mut output);
    within("the end of the output", reading).await.unwrap();
    assert_eq!(output, "last\n");
    assert!(wrapped.child.try_wait().unwrap().is_none());
    let ended = wrapped.end().await;
    assert_eq!(ended.status.code(), Some(4));
    assert_eq!(ended.stderr, "bye");
}

#[tokio::test]
async fn a_server_that_closes_its_input_and_lives_on() {
    let mut wrapped = Wrapping::nowhere().run(&python(
        "import os, time\nos.close(0)\nprint('deaf', flush=True)\ntime.sleep(1000)",
    ));
    assert_eq!(wrapped.line().await, "deaf");
    let stdin = wrapped.stdin.as_mut().unwrap();
    let refused = async {
        loop {
            if let Err(error) = stdin.write_all(b"hello?\n").await {
                break error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let error = within("a broken pipe", refused).await;
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    wrapped.signal("TERM").await;
    assert_eq!(wrapped.ended().await.status.signal(), Some(15));
}

#[tokio::test]
async fn a_client_that_reads_no_more() {
    let mut wrapped = Wrapping::nowhere().run(&shell("exec yes"));
    assert_eq!(wrapped.line().await, "y");
    wrapped.stdout = None;
    // As it would end without a wrapper: by SIGPIPE.
    assert_eq!(wrapped.ended().await.status.signal(), Some(13));
}

#[tokio::test]
async fn a_client_that_says_no_more_is_still_answered() {
    let lines = "import sys, time\nsys.stdin.read()\nfor n in range(50):\n    print(n, flush=True)\n    time.sleep(0.005)";
    let ended = Wrapping::nowhere().run(&python(lines)).end().await;
    let expected: String = (0..50).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), expected);
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_open() {
    let mut wrapped = Wrapping::nowhere().run(&shell("sleep 1000 & echo $!; exit 6"));
    let grandchild = wrapped.line().await;
    let ended = wrapped.ended().await;
    assert_eq!(ended.status.code(), Some(6));
    let killed = Command::new("kill").arg(&grandchild).status().await.unwrap();
    assert!(killed.success(), "it was left alone");
}

#[tokio::test]
async fn a_killed_wrapper_leaves_no_server_behind() {
    let server = TestServer::start().await;
    let wrapping = Wrapping::to(&server);
    let mut wrapped = wrapping.run(&python(ECHO));
    wrapped
        .call(json!(1), "tools/call", json!({"name": "before"}))
        .await;
    calls_of(&server, 1, "id").await;

    let stdout = wrapped.stdout.take();
    wrapped.child.kill().await.unwrap();
    // The server's end of the pipe is gone too, or this would go on.
    let mut rest = Vec::new();
    within("the end of the output", stdout.unwrap().read_to_end(&mut rest))
        .await
        .unwrap();

    let mut wrapped = wrapping.run(&python(ECHO));
    wrapped.send(call_tool(1, "after")).await;
    wrapped.line().await;
    assert_eq!(wrapped.end().await.status.code(), Some(0));
    let calls = calls_of(&server, 2, "tool outcome").await;
    assert_eq!(calls[0], json!({"tool": "before", "outcome": "OK"}));
    assert_eq!(calls[1], json!({"tool": "after", "outcome": "OK"}));
}

#[tokio::test]
async fn a_killed_server_leaves_its_calls_unanswered() {
    let server = TestServer::start().await;
    let mut wrapped = Wrapping::to(&server).run(&shell("read request; kill -s KILL $$"));
    wrapped.send(call_tool(1, "risky")).await;
    assert_eq!(wrapped.ended().await.status.signal(), Some(9));
    let calls = calls_of(&server, 1, "tool outcome errorMessage").await;
    assert_eq!(calls[0]["outcome"], "TRANSPORT_ERROR");
    assert!(
        calls[0]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("killed by signal 9")
    );
}
