//! PostgreSQL as people have it: behind TLS, and read-only.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Database, TestServer, eventually, span, traces_request};
use crate::tls::ran;

/// What a client of PostgreSQL sends first when it wants TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The address of a URL's server, and the URL with another.
pub(crate) fn server_of(url: &str) -> (String, impl Fn(&str) -> String + use<>) {
    let (before, rest) = url.split_once('@').expect("a user");
    let (server, after) = rest.split_once('/').expect("a database");
    let (before, after) = (before.to_owned(), after.split('?').next().unwrap().to_owned());
    (server.to_owned(), move |server: &str| {
        format!("{before}@{server}/{after}")
    })
}

/// A server for `localhost` that speaks TLS, in front of one that does not. Gives its port.
async fn behind_tls(server: String, authority: &Path) -> u16 {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(authority, issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let mut first = [0; 8];
                // Nothing in clear comes through.
                if client.read_exact(&mut first).await.is_err() || first != SSL_REQUEST {
                    return;
                }
                client.write_all(b"S").await.unwrap();
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let mut server = TcpStream::connect(&server).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_certificates_checked_as_asked() {
    let Some(database) = Database::of_server() else {
        return;
    };
    let (server, with) = server_of(database.url());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    let port = behind_tls(server.clone(), &authority).await;
    let known = format!("&sslrootcert={}", authority.display());
    let (named, numbered) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
    for (place, mode, more, good) in [
        (&named, "require", "", true),
        (&named, "prefer", "", true),
        (&named, "disable", "", false),
        (&named, "verify-ca", known.as_str(), true),
        (&numbered, "verify-ca", known.as_str(), true),
        (&named, "verify-ca", "", false),
        (&named, "verify-full", known.as_str(), true),
        (&numbered, "verify-full", known.as_str(), false),
        (&named, "verify-full", "", false),
        // No TLS there.
        (&server, "require", "", false),
        (&server, "prefer", "", true),
    ] {
        let url = format!("{}?sslmode={mode}{more}", with(place));
        let opened = mcptap_store::migrate(&url).await;
        assert_eq!(opened.is_ok(), good, "{mode} {place} {more}: {opened:?}");
    }
    let server = TestServer::at(database, format!("{}?sslmode=verify-full{known}", with(&named))).await;
    server.export([span("tools/call get_order")]).await;
    assert_eq!(server.span_ids().await.len(), 1);
    server.stop().await;
}

/// As on a hot standby, which gives the same error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_changes_is_called_read_only() {
    let Some(database) = Database::of_server() else {
        return;
    };
    let server = TestServer::on(database).await;
    server.export([span("tools/call get_order")]).await;
    let (_, name) = server.database().url().rsplit_once('/').unwrap();
    let name = name.split('?').next().unwrap();
    let statements = format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM \
         pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    );
    let admin = std::env::var("TEST_DATABASE_URL").unwrap();
    ran(Command::new("psql").args(["--no-psqlrc", "--quiet", "--command", &statements, &admin]));
    let save = "mutation { saveView(input: { name: \"x\", filter: {}, columns: [] }) { __typename } }";
    let told = eventually("it is told", async || {
        let asked = server
            .web()
            .post(server.url("/graphql"))
            .json(&serde_json::json!({ "query": save }))
            .send();
        let answer: serde_json::Value = asked.await.unwrap().json().await.unwrap();
        let told = answer["errors"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        // The connections that it had were ended first.
        told.contains("read-only").then_some(answer)
    })
    .await;
    assert_eq!(told["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{told}");
    assert!(!told.to_string().contains("does not answer"), "{told}");
    let refused = server
        .try_send(&traces_request([span("tools/call get_order")]))
        .await;
    assert!(refused.is_err());
    // Reading goes on.
    assert_eq!(server.span_ids().await.len(), 1);
    server.stop().await;
}
