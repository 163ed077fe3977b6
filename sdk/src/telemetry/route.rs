//! The way to a collector: where, with which headers, in which framing, over which TLS.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

use super::connector::Security;
use super::encoder::Address;
use super::error::Error;
use super::settings::Target;

/// How one signal travels.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Without credentials.
    pub(super) url: Uri,
    /// May hold credentials: never to be written down.
    pub(super) headers: HeaderMap,
    pub(super) is_grpc: bool,
    pub(super) timeout: Duration,
    pub(super) security: Security,
}

impl Route {
    pub(super) fn new(address: Address, target: &Target) -> Result<Self, Error> {
        let Address { url, mut headers } = address;
        let is_https = url.scheme_str() == Some("https");
        let Some(authority) = url.authority() else {
            return Err(Error::Endpoint(url.to_string()));
        };
        if !is_https && url.scheme_str() != Some("http") {
            return Err(Error::Endpoint(without_userinfo(&url, authority).to_string()));
        }
        if let Some((userinfo, _)) = authority.as_str().rsplit_once('@')
            && !headers.contains_key(AUTHORIZATION)
            && let Some(value) = basic(userinfo)
        {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            url: without_userinfo(&url, authority),
            headers,
            is_grpc: target.is_grpc,
            timeout: target.timeout,
            security: Security::new(is_https, target)?,
        })
    }
}

fn without_userinfo(url: &Uri, authority: &Authority) -> Uri {
    let mut parts = url.clone().into_parts();
    if let Some((_, host)) = authority.as_str().rsplit_once('@') {
        parts.authority = host.parse().ok();
    }
    Uri::from_parts(parts).unwrap_or_default()
}

/// What `user:password@` of a URL means.
fn basic(userinfo: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!(
        "Basic {}",
        BASE64_STANDARD.encode(percent_decoded(userinfo))
    ))
    .ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Text without its percent-encoding; a `%` without two digits behind it is one.
pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('%') {
        decoded.extend_from_slice(plain.as_bytes());
        let byte = escaped
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if let Some(byte) = byte {
            decoded.push(byte);
            escaped.get(2..).unwrap_or_default()
        } else {
            decoded.push(b'%');
            escaped
        };
    }
    decoded.extend_from_slice(rest.as_bytes());
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(url: &str, certificate: Option<&str>) -> Result<Route, Error> {
        let target = Target {
            endpoint: None,
            is_grpc: false,
            timeout: Duration::ZERO,
            compression: None,
            certificate: certificate.map(Into::into),
        };
        let address = Address {
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
        };
        Route::new(address, &target)
    }

    #[test]
    fn credentials_of_the_url_become_a_header() {
        let route = route("http://me:p%40ss@host:4318/v1/traces", None).unwrap();
        assert_eq!(route.url, "http://host:4318/v1/traces");
        let header = route.headers.get(AUTHORIZATION).unwrap();
        assert_eq!(header, &format!("Basic {}", BASE64_STANDARD.encode("me:p@ss")));
        assert!(header.is_sensitive());
        assert_eq!(percent_decoded("a%zz%"), b"a%zz%");
    }

    #[test]
    fn what_is_no_url_is_said() {
        for wrong in ["localhost:4318", "/v1/traces", "ftp://me:secret@host/"] {
            let error = route(wrong, None).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:4318"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_certificate_that_is_none_is_said() {
        let error = route("https://host/", Some("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
        // What is not needed is not read.
        assert!(route("http://host/", Some("/nowhere")).is_ok());
    }
}
