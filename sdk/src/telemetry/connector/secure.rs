//! TLS with ring, and what the system trusts.

use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::telemetry::error::Error;
use crate::telemetry::settings::Target;

pub(in crate::telemetry) type Connector = HttpsConnector<HttpConnector>;

/// How a connection is secured.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Security(ClientConfig);

impl Security {
    pub(in crate::telemetry) fn new(is_https: bool, target: &Target) -> Result<Self, Error> {
        settings(is_https, target).map(Self)
    }

    pub(in crate::telemetry) fn connector(&self, timeout: Duration, is_grpc: bool) -> Connector {
        let mut tcp = super::tcp(timeout);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(self.0.clone())
            .https_or_http();
        #[cfg(feature = "grpc")]
        if is_grpc {
            return https.enable_http2().wrap_connector(tcp);
        }
        // Without the feature for it no route is of gRPC.
        let _ = is_grpc;
        #[cfg(feature = "grpc")]
        let https = https.enable_all_versions();
        #[cfg(not(feature = "grpc"))]
        let https = https.enable_http1();
        https.wrap_connector(tcp)
    }
}

/// Trusts what the system trusts, and the certificates of the variable. Nothing is read for plain `http`.
fn settings(is_https: bool, target: &Target) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if is_https {
        // Some stores hold certificates that cannot be parsed; the others are good.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &target.certificate {
            let wrong = |reason: String| Error::Certificate {
                path: path.clone(),
                reason,
            };
            let bytes = read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates = CertificateDer::pem_slice_iter(&bytes)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("there is no PEM certificate in it".to_owned()));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Certificate {
            path: target.certificate.clone().unwrap_or_default(),
            reason: error.to_string(),
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The size of a file of certificates at most, in bytes: several times that of all authorities that systems trust.
const MOST: u64 = 1 << 20;

/// Reads a file of certificates. To open a named pipe would wait for its writer.
fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(format!(
            "it has more than {MOST} bytes, as no file of certificates has"
        )));
    }
    Ok(bytes)
}

/// Advice where the collector's URL asks for TLS that the server there does not speak.
pub(in crate::telemetry) fn advice(error: &(dyn StdError + 'static)) -> &'static str {
    if is_no_tls(error) {
        " (the server there does not speak TLS; let the endpoint begin with http://)"
    } else {
        ""
    }
}

/// Whether a connection failed because the server does not speak TLS. For `mcptap proxy`.
#[doc(hidden)]
pub fn is_no_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if matches!(tls_error(inner), Some(rustls::Error::InvalidMessage(_))) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The error of TLS inside an error of input and output, which may stand in another one.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut outer = error.downcast_ref::<std::io::Error>()?;
    loop {
        let inner = outer.get_ref()?;
        if let Some(tls) = inner.downcast_ref() {
            return Some(tls);
        }
        outer = inner.downcast_ref()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_a_size_that_certificates_have_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1 << 20);
        std::fs::write(&path, "x".repeat((1 << 20) + 1)).unwrap();
        let told = read(&path).unwrap_err().to_string();
        assert!(told.contains("more than 1048576 bytes"), "{told}");
        let told = read(folder.path()).unwrap_err().to_string();
        assert!(told.contains("no regular file"), "{told}");
    }
}
