//! PostgreSQL with TLS and an authority of its own: the server itself, and connections that end before TLS has begun.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, TestServer, eventually, span, traces_request};

/// PostgreSQL itself, with TLS and nothing else; ended with its test.
struct TlsServer {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.control(&["stop", "-m", "immediate"]).output();
    }
}

/// The folder with `initdb` and `pg_ctl`. `None` where there is none; with `TEST_POSTGRES_BIN` set it must be there.
fn postgres_bin() -> Option<PathBuf> {
    let given = std::env::var_os("TEST_POSTGRES_BIN").map(PathBuf::from);
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let installed = installed.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let found = given
        .clone()
        .into_iter()
        .chain(installed)
        .find(|bin| bin.join("initdb").exists());
    assert!(found.is_some() || given.is_none(), "{given:?} has no initdb");
    found
}

impl TlsServer {
    /// Makes one, whose certificate is for `localhost` and of the authority that is written to `authority.pem` in its folder.
    async fn start(bin: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr();
        let server = Self {
            bin,
            folder,
            port: port.unwrap().port(),
        };
        let (authority, cert, key) = certificate();
        std::fs::write(server.authority(), authority).unwrap();
        let data = server.folder.path().join("data");
        if rustix::process::geteuid().is_root() {
            let mut chown = Command::new("chown");
            ran(chown.arg("postgres").arg(server.folder.path()));
        }
        let mut initdb = server.command("initdb");
        ran(initdb
            .args(["--auth=trust", "--username=mcptap", "--no-sync", "-D"])
            .arg(&data));
        for (name, contents) in [("server.crt", &cert), ("server.key", &key)] {
            std::fs::write(data.join(name), contents).unwrap();
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(0o600)).unwrap();
            if rustix::process::geteuid().is_root() {
                ran(Command::new("chown").arg("postgres").arg(data.join(name)));
            }
        }
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nssl = on\nfsync = off\n",
            server.port
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        ran(&mut server.control(&["start", "-w"]));
        server
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            // It refuses to run as root.
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("pg_ctl");
        command
            .args(arguments)
            .arg("-D")
            .arg(self.folder.path().join("data"));
        command.arg("-l").arg(self.folder.path().join("data/log"));
        command
    }
}

pub(crate) fn ran(command: &mut Command) {
    // What it starts keeps no pipe of the test's open.
    let ended = command.stdout(Stdio::null()).status().unwrap();
    assert!(ended.success(), "{command:?}");
}

/// An authority, a certificate of it for `localhost`, and the key of that; in PEM.
fn certificate() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    (issuer.pem(), cert.pem(), key.serialize_pem())
}

/// The ways in which a server that starts, or what stands before it, ends a connection before TLS has begun.
const UNFINISHED: [&[u8]; 4] = [b"", b"E", b"S", b"S\x16\x03"];

/// Ends the first connections like this, and carries the others to a server. Gives its port, and counts them.
async fn at_first_unfinished(server: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                if let Some(answer) = UNFINISHED.get(number) {
                    let mut first = [0; 8];
                    drop(client.read_exact(&mut first).await);
                    drop(client.write_all(answer).await);
                    return;
                }
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (port, came)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_before_tls_has_begun_is_tried_again_and_distrust_is_not() {
    let Some(bin) = postgres_bin() else {
        eprintln!("not run: there is no initdb here");
        return;
    };
    let server = TlsServer::start(bin).await;
    let (port, came) = at_first_unfinished(server.port).await;
    let url = |port: u16, authority: &Path| {
        format!(
            "postgres://mcptap@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={}",
            authority.display()
        )
    };
    mcptap_store::migrate(&url(port, &server.authority()))
        .await
        .unwrap();
    assert!(came.load(Ordering::SeqCst) > UNFINISHED.len());

    let other = server.folder.path().join("other.pem");
    std::fs::write(&other, certificate().0).unwrap();
    let before = came.load(Ordering::SeqCst);
    let error = mcptap_store::migrate(&url(port, &other))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none of the authorities") && error.contains("other.pem"),
        "{error}"
    );
    assert_eq!(came.load(Ordering::SeqCst), before + 1, "it is not tried again");
    // Nothing in clear is let in, and that is told.
    let clear = format!(
        "postgres://mcptap@localhost:{}/postgres?sslmode=disable",
        server.port
    );
    let error = mcptap_store::migrate(&clear).await.unwrap_err().to_string();
    assert!(error.contains("pg_hba"), "{error}");

    // A restart is got over.
    let Some(database) = Database::of_server() else {
        return;
    };
    let running = TestServer::at(database, url(server.port, &server.authority())).await;
    running.export([span("tools/call get_order")]).await;
    ran(&mut server.control(&["restart", "-w", "-m", "immediate"]));
    let again = traces_request([span("tools/call get_order")]);
    eventually("it takes exports again", async || {
        running.try_send(&again).await.ok()
    })
    .await;
    eventually("it is ready", async || {
        (running.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(running.span_ids().await.len(), 2);
    running.stop().await;
}
