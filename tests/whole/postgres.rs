//! PostgreSQL as people have it: behind TLS, and behind PgBouncer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{Database, TestServer, eventually, span};

/// What a client of PostgreSQL sends first when it wants TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The address of a URL's server, and the URL with another.
fn server_of(url: &str) -> (String, impl Fn(&str) -> String + use<>) {
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

/// PgBouncer, ended with its test.
struct PgBouncer {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where PgBouncer is. `None` where it is not; with `TEST_PGBOUNCER` set it must be.
fn pgbouncer() -> Option<String> {
    let given = std::env::var("TEST_PGBOUNCER").ok();
    let named = given.clone().filter(|given| given != "1");
    let program = named.unwrap_or_else(|| "pgbouncer".to_owned());
    let found = [program.clone(), format!("/usr/sbin/{program}")]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok());
    assert!(found.is_some() || given.is_none(), "{program} is not there");
    found
}

impl PgBouncer {
    async fn start(program: &str, server: &str, mode: &str, connections: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (host, upstream) = server.split_once(':').unwrap();
        let users = folder.path().join("users");
        std::fs::write(&users, "\"mcptap\" \"\"\n").unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} port={upstream}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
             default_pool_size = {connections}\n",
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        // It refuses to run as root.
        let mut command = if rustix::process::geteuid().is_root() {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", program]);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .arg(&settings)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("PgBouncer", async || TcpStream::connect(address).await.ok()).await;
        Self {
            child,
            address,
            _folder: folder,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_may_stand_in_between() {
    let Some(program) = pgbouncer() else {
        return;
    };
    // PgBouncer's own default, and the least that will do.
    for (mode, connections) in [
        ("session", 20),
        ("transaction", 20),
        ("session", 10),
        ("transaction", 10),
    ] {
        let Some(database) = Database::of_server() else {
            return;
        };
        let (server, with) = server_of(database.url());
        let bouncer = PgBouncer::start(&program, &server, mode, connections).await;
        let url = with(&bouncer.address.to_string());
        let server = TestServer::at(database, url.clone()).await;
        let mut senders = JoinSet::new();
        for _ in 0..4 {
            let client = (*server).clone();
            senders.spawn(async move {
                for _ in 0..20 {
                    client.export([span("tools/call get_order")]).await;
                    let asked = client.calls(serde_json::Value::Null, "tool attributes").await;
                    assert!(!asked.is_empty());
                }
            });
        }
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
        assert_eq!(server.span_ids().await.len(), 80, "{mode}");
        assert_eq!(server.get("/readyz").await.0, 200, "{mode}");
        // Commands beside it, where there are connections for them.
        if connections > 10 {
            mcptap_store::open_to_read(&url).await.unwrap().close().await;
        }
        let database = server.stop().await;
        let server = TestServer::at(database, url).await;
        assert_eq!(server.span_ids().await.len(), 80, "{mode}");
        let erased = server
            .graphql(
                "mutation { deleteCalls(filter: {}, everything: true) { ... on CallsDeleted { count } } }",
                serde_json::Value::Null,
            )
            .await;
        assert_eq!(erased["deleteCalls"]["count"], 80, "{mode}: {erased}");
        assert_eq!(server.span_ids().await.len(), 0, "{mode}");
        drop(server.stop().await);
        drop(bouncer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_cannot_do_is_told_at_the_start() {
    let Some(program) = pgbouncer() else {
        return;
    };
    for (mode, connections, advice) in [
        ("statement", 20, "pool_mode"),
        ("session", 9, "default_pool_size"),
        ("session", 1, "default_pool_size"),
    ] {
        let Some(database) = Database::of_server() else {
            return;
        };
        let (server, with) = server_of(database.url());
        let bouncer = PgBouncer::start(&program, &server, mode, connections).await;
        let url = with(&bouncer.address.to_string());
        let error = mcptap_store::open(&url, mcptap_store::Options::default())
            .await
            .map(drop)
            .unwrap_err();
        assert!(
            error.to_string().contains(advice),
            "{mode} {connections}: {error}"
        );
        drop(bouncer);
    }
}
