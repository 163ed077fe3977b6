//! The proxy's process.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{BINARY, PATIENCE};

/// A running `mcptap proxy`.
pub(crate) struct ProxyProcess {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl ProxyProcess {
    /// In front of this URL, on a free port.
    pub(super) async fn start(upstream: &str) -> Self {
        Self::with(upstream, &[], &[]).await
    }

    /// With further flags and variables.
    pub(crate) async fn with(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["proxy", "--upstream", upstream, "--listen", "127.0.0.1:0"])
            .args(flags)
            .env("MCPTAP_PROXY_ALLOWED_HOSTS", "h,shop.example,a")
            .envs(environment.iter().copied())
            .env("NO_COLOR", "1")
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let announced = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("proxy on http://") {
                    return address.parse().unwrap();
                }
                eprintln!("{line}");
            }
            panic!("the proxy ended before it listened");
        };
        let address = tokio::time::timeout(PATIENCE, announced).await.unwrap();
        // Its log goes on: a full pipe would stop it.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        Self { address, child }
    }

    /// The most memory it ever had, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// Asks it to stop.
    pub(super) async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(told.success());
    }

    /// Waits for its end.
    pub(super) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the process ends")
            .unwrap()
    }
}
