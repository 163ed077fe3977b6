//! Examples that are started wrongly end with a line that says how it is right.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{PATIENCE, TestServer};

/// Runs `examples/tail.py` until it has written a line to standard error; the rest of it too, if it ends.
async fn tail(url: &str) -> String {
    let mut child = Command::new("python3")
        .args(["examples/tail.py", url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let reading = async {
        let mut told = lines.next_line().await.unwrap().unwrap();
        while !told.contains("waiting for it")
            && let Some(line) = lines.next_line().await.unwrap()
        {
            told = format!("{told}\n{line}");
        }
        told
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

#[tokio::test]
async fn a_client_without_a_server_says_so_in_a_line() {
    let server = TestServer::start().await;
    for (url, told) in [
        (
            "nonsense".to_owned(),
            "'nonsense' is no URL; give one such as http://127.0.0.1:6278/graphql",
        ),
        ("127.0.0.1:6278/graphql".to_owned(), "is no URL"),
        (server.url(""), "and no GraphQL; give the URL of the API"),
        (server.url("/graphq"), "answers HTTP 405, and no GraphQL"),
        (
            "http://127.0.0.1:9/graphql".to_owned(),
            "Connection refused>; waiting for it",
        ),
    ] {
        let said = tail(&url).await;
        assert!(said.contains(told) && said.lines().count() == 1, "{url}: {said}");
    }
}
