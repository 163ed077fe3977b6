//! PostgreSQL behind PgBouncer.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::postgres::server_of;
use crate::support::{Database, TestServer, eventually, span};

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

/// The fewest that leave a command its connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_beside_a_server_where_connections_are_few() {
    let Some(program) = pgbouncer() else {
        return;
    };
    for mode in ["session", "transaction"] {
        let Some(database) = Database::of_server() else {
            return;
        };
        let (server, with) = server_of(database.url());
        let bouncer = PgBouncer::start(&program, &server, mode, 13).await;
        let url = with(&bouncer.address.to_string());
        let server = TestServer::at(database, url.clone()).await;
        // All that it uses are taken.
        for _ in 0..3 {
            server.export([span("tools/call get_order")]).await;
        }
        let folder = tempfile::tempdir().unwrap();
        for words in [
            "config check",
            "keys create --name x --scope read",
            "keys list",
            "keys revoke 1",
            "prune --older-than 1h",
            "migrate",
        ] {
            let mut command = tokio::process::Command::new(crate::support::BINARY);
            command
                .args(words.split(' '))
                .args(["--database-url", &url])
                .current_dir(folder.path())
                .kill_on_drop(true);
            let ended = tokio::time::timeout(crate::support::PATIENCE, command.output());
            let ended = ended.await.expect("it ends").unwrap();
            let told = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{mode}: {words}: {told}");
        }
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
