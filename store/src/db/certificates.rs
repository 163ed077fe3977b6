//! The files of TLS that a URL of PostgreSQL names. They are read before anything is connected to: the driver's errors name
//! neither the parameter nor the file, and look as if nobody listened.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use crate::Error;
use crate::db::address::parameters;

/// The names of the parameter with the authorities that a server's certificate must be of. The first is that of libpq.
const ROOT: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
/// The same of the certificate by which mcptap says who it is.
const CERTIFICATE: [&str; 2] = ["sslcert", "ssl-cert"];
/// And of the key of it.
const KEY: [&str; 2] = ["sslkey", "ssl-key"];

/// What a parameter gives.
#[derive(Debug)]
struct Given {
    name: &'static str,
    /// `None` where the contents stand in the URL.
    path: Option<PathBuf>,
    contents: Vec<u8>,
}

/// Reads the files that a URL names, unless it says that nothing is encrypted. Connects to nothing.
///
/// # Errors
///
/// [`Error::NotOpened`], which names parameter and file, where one cannot be read or is not in PEM, or where certificate and
/// key are not of each other.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    let disabled = |(name, mode): &(String, String)| {
        ["sslmode", "ssl-mode"].contains(&name.as_str()) && mode == "disable"
    };
    if parameters(url).iter().any(disabled) {
        return Ok(());
    }
    if let Some(given) = given(url, &ROOT)? {
        let mut store = RootCertStore::empty();
        for certificate in given.certificates()? {
            store.add(certificate).map_err(|error| {
                given.refused(format!("holds a certificate of no use: {error}"), CERTIFICATES)
            })?;
        }
    }
    match (given(url, &CERTIFICATE)?, given(url, &KEY)?) {
        (None, None) => Ok(()),
        (Some(certificate), Some(key)) => fit(&certificate, &key),
        (Some(certificate), None) => Err(alone(certificate.name, "sslkey")),
        (None, Some(key)) => Err(alone(key.name, "sslcert")),
    }
}

/// The authorities that the URL names, as it names them; `None` where those that the system trusts are meant.
pub(crate) fn authorities(url: &str) -> Option<String> {
    let (name, value) = find(url, &ROOT)?;
    Some(match is_inline(&value) {
        true => name.to_owned(),
        false => format!("{name}={value}"),
    })
}

const CERTIFICATES: &str = "give a file with certificates in PEM (-----BEGIN CERTIFICATE-----)";
const PRIVATE_KEY: &str =
    "give a file with a private key in PEM (-----BEGIN PRIVATE KEY-----) that no password protects";

fn fit(certificate: &Given, key: &Given) -> Result<(), Error> {
    let chain = certificate.certificates()?;
    let private = PrivateKeyDer::from_pem_slice(&key.contents).map_err(|error| match error {
        PemError::NoItemsFound => key.refused("holds no private key", PRIVATE_KEY),
        error => key.refused(format!("is not in PEM: {error}"), PRIVATE_KEY),
    })?;
    match CertifiedKey::from_der(chain, private, &default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(key.refused(
            format!("is not the key of the certificate in {}", certificate.shown()),
            "give the two that were made for each other",
        )),
        Err(error) => Err(key.refused(
            format!("cannot be used with {}: {error}", certificate.shown()),
            PRIVATE_KEY,
        )),
    }
}

fn alone(there: &str, missing: &str) -> Error {
    Error::NotOpened {
        reason: format!("the database's URL has {there} and no {missing}"),
        advice: "give both, or neither".to_owned(),
    }
}

fn find<'n>(url: &str, names: &[&'n str]) -> Option<(&'n str, String)> {
    let all = parameters(url).into_iter().rev();
    let mut named = all.filter_map(|(name, value)| {
        let name = names.iter().find(|one| **one == name)?;
        Some((*name, value))
    });
    // The driver takes the last.
    named.next()
}

fn given(url: &str, names: &[&'static str]) -> Result<Option<Given>, Error> {
    let Some((name, value)) = find(url, names) else {
        return Ok(None);
    };
    let mut given = Given {
        name,
        path: None,
        contents: Vec::new(),
    };
    if is_inline(&value) {
        given.contents = value.into_bytes();
        return Ok(Some(given));
    }
    let path = given.path.insert(PathBuf::from(value));
    match read(path) {
        Ok(contents) => given.contents = contents,
        Err(error) => {
            return Err(given.refused(
                format!("cannot be read: {error}"),
                "give the path of one that this user may read",
            ));
        }
    }
    Ok(Some(given))
}

/// As the driver tells the contents of a file from its path.
fn is_inline(value: &str) -> bool {
    let trimmed = value.trim();
    trimmed.starts_with("-----BEGIN") && trimmed.ends_with("-----")
}

/// The size of a file of certificates or of a key at most, in bytes: ten thousand times that of a key, and several times that
/// of all authorities that systems trust.
const MOST: u64 = 1 << 20;

/// Reads a file. To open a named pipe would wait for its writer.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(format!(
            "it has more than {MOST} bytes, as no file of certificates or of a key has"
        )));
    }
    Ok(bytes)
}

impl Given {
    /// As errors name it. A path is no secret; contents in the URL may be.
    fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("{}={}", self.name, path.display()),
            None => self.name.to_owned(),
        }
    }

    fn refused(&self, why: impl AsRef<str>, advice: &str) -> Error {
        Error::NotOpened {
            reason: format!("{} in the database's URL {}", self.shown(), why.as_ref()),
            advice: advice.to_owned(),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.contents).collect();
        match read {
            Ok(none) if none.is_empty() => Err(self.refused("holds no certificate", CERTIFICATES)),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(self.refused(format!("is not in PEM: {error}"), CERTIFICATES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    #[test]
    fn files_that_do_not_serve_are_told_by_parameter_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let Made { cert, signing_key } = generate_simple_self_signed(["db".to_owned()]).unwrap();
        let other = generate_simple_self_signed(["db".to_owned()]).unwrap();
        for (name, contents) in [
            ("a.crt", cert.pem()),
            ("a.key", signing_key.serialize_pem()),
            ("other.key", other.signing_key.serialize_pem()),
            ("words", "no certificate, only words\n".to_owned()),
            (
                "broken",
                "-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n".to_owned(),
            ),
            ("large", format!("{}{}", cert.pem(), "#".repeat(1 << 20))),
        ] {
            std::fs::write(folder.path().join(name), contents).unwrap();
        }
        let told = |query: String| {
            let url = format!("postgres://u:hunter2secret@db/name?{query}");
            check(&url).map_or_else(|error| error.to_string(), |()| String::new())
        };
        let (certificate, key) = (at("a.crt"), at("a.key"));
        for good in [
            "sslmode=require".to_owned(),
            format!("sslmode=verify-full&sslrootcert={certificate}"),
            format!(
                "sslmode=verify-full&sslrootcert={}",
                certificate.replace('/', "%2F")
            ),
            format!("sslcert={certificate}&sslkey={key}"),
            format!("sslmode=disable&sslrootcert={}", at("none")),
        ] {
            assert_eq!(told(good.clone()), "", "{good}");
        }
        for (wrong, words) in [
            (
                format!("sslrootcert={}", at("none")),
                ["sslrootcert", "none", "cannot be read"],
            ),
            (
                format!("ssl-ca={}", at("none")),
                ["ssl-ca", "none", "cannot be read"],
            ),
            (
                format!("sslrootcert={}", folder.path().display()),
                ["sslrootcert", "/", "no regular file"],
            ),
            (
                format!("sslrootcert={}", at("large")),
                ["sslrootcert", "large", "more than 1048576 bytes"],
            ),
            (
                format!("sslcert={certificate}&sslkey={}", at("large")),
                ["sslkey", "large", "more than 1048576 bytes"],
            ),
            (
                format!("sslrootcert={}", at("words")),
                ["sslrootcert", "words", "holds no certificate"],
            ),
            (
                format!("sslrootcert={}", at("broken")),
                ["sslrootcert", "broken", "not in PEM"],
            ),
            (
                format!("sslcert={}&sslkey={key}", at("words")),
                ["sslcert", "words", "holds no certificate"],
            ),
            (
                format!("sslcert={certificate}&sslkey={}", at("none")),
                ["sslkey", "none", "cannot be read"],
            ),
            (
                format!("sslcert={certificate}&sslkey={}", at("words")),
                ["sslkey", "words", "holds no private key"],
            ),
            (
                format!("sslcert={certificate}&sslkey={}", at("other.key")),
                [
                    "sslkey",
                    "other.key",
                    "is not the key of the certificate in sslcert",
                ],
            ),
            (
                format!("sslcert={certificate}"),
                ["sslcert", "sslkey", "give both"],
            ),
            (format!("sslkey={key}"), ["sslkey", "sslcert", "give both"]),
        ] {
            let told = told(wrong.clone());
            assert!(words.iter().all(|word| told.contains(word)), "{wrong}: {told}");
            assert!(!told.contains("hunter2secret"), "{told}");
        }
    }
}
