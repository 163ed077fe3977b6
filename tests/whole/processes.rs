//! Two servers on one database, as real processes: what many senders tell them at the same time is what one server makes
//! of it when it is told one thing after the other.

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Client, Database, SpanBuilder, TestProcess, http_span, on_each_database, span};

const REQUESTS: usize = 40;
const SENDERS: usize = 6;

/// What is compared.
const FIELDS: &str =
    "spanId startedAt durationMs outcome httpStatus clientIp clientName tool server { name }";

/// One request, told by a client's span, the server's, and the HTTP span between them or linked; each comes alone.
fn told(number: usize) -> Vec<SpanBuilder> {
    let at = number as f64 * 1000.0;
    let tool = format!("tools/call tool-{number}");
    let client = span(&tool)
        .client()
        .service("agent")
        .attr("mcp.client.name", format!("agent-{number}"))
        .lasting(at, at + 100.0);
    let http = http_span(200 + number as i64 % 50)
        .attr("client.address", format!("192.0.2.{number}"))
        .lasting(at + 10.0, at + 90.0);
    let (http, server) = if number.is_multiple_of(2) {
        let http = http.parent(&client);
        let server = span(&tool).parent(&http);
        (http, server)
    } else {
        let server = span(&tool).parent(&client).link(&http);
        (http, server)
    };
    let server = server.lasting(at + 20.0, at + 80.0);
    // The order is another one for each.
    let mut spans = vec![client, http, server];
    spans.rotate_left(number % 3);
    if number.is_multiple_of(4) {
        spans.swap(0, 1);
    }
    spans
}

async fn records(client: &Client) -> Vec<String> {
    let calls = client.calls(Value::Null, FIELDS).await;
    let mut records: Vec<String> = calls.iter().map(Value::to_string).collect();
    records.sort();
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_equal_one() {
    on_each_database(async |database| {
        let pieces: Vec<SpanBuilder> = (1..=REQUESTS).flat_map(told).collect();
        let one = TestProcess::serve(&database).await;
        let other = TestProcess::serve(&database).await;
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let client = Client::clone(if sender % 2 == 0 { &one } else { &other });
            let mine: Vec<SpanBuilder> = pieces.iter().skip(sender).step_by(SENDERS).cloned().collect();
            senders.spawn(async move {
                for piece in mine {
                    client.export([piece]).await;
                }
            });
        }
        senders.join_all().await;
        let (found, beside) = (records(&one).await, records(&other).await);
        one.terminate().await;
        other.terminate().await;

        let alone = Database::sqlite();
        let serial = TestProcess::serve(&alone).await;
        for piece in pieces {
            serial.export([piece]).await;
        }
        let wanted = records(&serial).await;
        serial.terminate().await;
        assert_eq!(wanted.len(), REQUESTS);
        assert_eq!(found, wanted);
        assert_eq!(beside, wanted);
    })
    .await;
}
