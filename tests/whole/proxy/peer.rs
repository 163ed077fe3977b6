//! Peers that speak bytes, so that nothing is tidied up on the way.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::PATIENCE;

/// A server that is played by the test.
pub(super) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(super) async fn bind() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self { listener }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/mcp", self.address())
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = patiently(self.listener.accept()).await.unwrap();
        Peer::new(stream)
    }

    /// Whether somebody has connected who was not accepted yet.
    pub(super) async fn has_caller(&self) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(50), self.listener.accept())
            .await
            .is_ok()
    }
}

/// One end of a connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::new(patiently(TcpStream::connect(address)).await.unwrap())
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        patiently(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Closes the sending side alone.
    pub(super) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Breaks the connection off with a reset.
    pub(super) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }

    /// Reads up to and with these bytes.
    pub(super) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .read
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(start) = found {
                let rest = self.read.split_off(start + end.len());
                let read = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(read).unwrap();
            }
            let count = patiently(self.stream.read_buf(&mut self.read)).await.unwrap();
            assert!(
                count > 0,
                "ended before {end:?}: {}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// A head of HTTP/1, with its empty line.
    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    pub(super) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let count = patiently(self.stream.read_buf(&mut self.read)).await.unwrap();
            assert!(count > 0, "ended after {}", String::from_utf8_lossy(&self.read));
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// Everything up to the end, which may be a reset.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        loop {
            match patiently(self.stream.read_buf(&mut self.read)).await {
                Ok(0) | Err(_) => return std::mem::take(&mut self.read),
                Ok(_) => {}
            }
        }
    }

    /// Everything up to the end, as text.
    pub(super) async fn rest_text(&mut self) -> String {
        String::from_utf8(self.rest().await).unwrap()
    }
}

/// Lets the proxy take a connection back. (If that takes longer it makes another, and the test says so.)
pub(super) async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

async fn patiently<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it happens in time")
}
