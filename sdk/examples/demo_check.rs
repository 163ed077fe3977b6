#![allow(missing_docs)]
#[path = "../../src/demo/mod.rs"]
mod demo;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let t = tokio_util::sync::CancellationToken::new();
    let u = t.clone();
    tokio::spawn(async move { tokio::time::sleep(std::time::Duration::from_secs(12)).await; u.cancel(); });
    tokio::spawn(async move { tokio::time::sleep(std::time::Duration::from_secs(3)).await; collector().await });
    demo::run("http://127.0.0.1:14318", t).await
}
async fn collector() {
    use axum::{body::Bytes, routing::post};
    use prost::Message;
    use opentelemetry_proto::tonic::collector::{trace::v1::*, logs::v1::*};
    let r = axum::Router::new()
        .route("/v1/traces", post(|b: Bytes| async move {
            for rs in ExportTraceServiceRequest::decode(b).unwrap().resource_spans { for ss in rs.scope_spans { for s in ss.spans {
                let a: Vec<String> = s.attributes.iter().filter(|a| !a.key.contains("body") && !a.key.contains("header")).map(|a| format!("{}={:?}", a.key, a.value.as_ref().unwrap().value.as_ref().unwrap())).collect();
                println!("{} {:?} {}", s.name, s.status.map(|s| (s.code, s.message)), a.join(" "));
            }}}
        }))
        .route("/v1/logs", post(|b: Bytes| async move {
            for rs in ExportLogsServiceRequest::decode(b).unwrap().resource_logs { for ss in rs.scope_logs { for s in ss.log_records {
                println!("LOG {:?} {} {:?}", s.severity_text, s.span_id.len(), s.body);
            }}}
        }));
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:14318").await.unwrap(), r).await.unwrap();
}
