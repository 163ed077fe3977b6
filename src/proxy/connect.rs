//! Connections to upstream: TCP, and TLS with HTTP/2 where both sides know it, made within a bounded time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::body::BoxError;
use super::failure::ConnectTimedOut;
use super::half_close::UpstreamStream;

/// After this long without a byte a connection is asked whether its peer is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Makes connections. The bound is over the whole of it: name, TCP and TLS.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

impl Connector {
    /// For upstreams with TLS the system's roots are read (or those that `SSL_CERT_FILE` names). HTTP/2 is offered
    /// only where `http2` says so.
    pub(super) fn new(tls: bool, http2: bool, timeout: Duration) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        let versions =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .context("setting up TLS")?;
        let config = if tls {
            versions
                .with_native_roots()
                .context("reading the certificates that this system trusts")?
        } else {
            versions.with_root_certificates(rustls::RootCertStore::empty())
        };
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_or_http();
        let https = if http2 {
            builder.enable_all_versions().wrap_connector(tcp)
        } else {
            builder.enable_http1().wrap_connector(tcp)
        };
        Ok(Self { https, timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = UpstreamStream<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, timeout) = (self.https.call(uri), self.timeout);
        Box::pin(async move {
            let stream = tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| ConnectTimedOut(timeout))??;
            Ok(UpstreamStream::new(stream))
        })
    }
}
