//! Why a server cannot be used: one cause, and one piece of advice.

use std::io;
use std::time::{Duration, Instant};

use rustls::CertificateError;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use tokio::time::timeout;

use super::RELEASE;
use crate::Error;
use crate::db::certificates;
use crate::db::pooler::Pooling;

/// How long to wait before a server that is not there, or not ready, is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a server may take to answer at least.
const LEAST: Duration = Duration::from_secs(10);

/// Connects to a server once. One that is not there, or not ready, is tried again for as long as `wait`, and that is logged.
/// The URL is the one that `connect` was made of.
pub(crate) async fn server(url: &str, connect: &PgConnectOptions, wait: Duration) -> Result<(), Error> {
    certificates::check(url)?;
    let place = match connect.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    };
    let connect = Pooling::Session.fit(connect.clone());
    let started = Instant::now();
    let mut told = false;
    loop {
        let left = wait.saturating_sub(started.elapsed()).max(LEAST);
        let failed = match timeout(left, connect.connect()).await {
            Ok(Ok(connection)) => {
                // Whether it says goodbye in time does not matter.
                let _closed = timeout(RELEASE, connection.close()).await;
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(Error::NotOpened {
                    reason: format!("{place} does not answer within {} s", left.as_secs()),
                    advice: "look at PostgreSQL and the way to it, and whether a pooler there has no connection left".to_owned(),
                });
            }
        };
        let may_pass = may_pass(&failed);
        let error = explained(url, &place, &connect, failed);
        if !may_pass || started.elapsed() >= wait {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!("{error}; tried again for {} s", wait.as_secs());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether it may be otherwise a moment later: nobody listens, too many are connected, or the server starts or stops.
fn may_pass(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(error, sqlx::Error::Io(cause) if of_tls(cause).is_none())
        || is_undecided(error)
        || matches!(code.as_deref(), Some("57P03" | "53300" | "57P01"))
}

/// Whether the server closed the connection, or refused it, before it said whether it speaks TLS: it starts or stops, or what
/// stands before it listens already. The driver has no other sign of it than its words, which have the byte that came: none,
/// or that of an error.
fn is_undecided(error: &sqlx::Error) -> bool {
    let bytes = ["SSLRequest: 0x00", "SSLRequest: 0x45"];
    matches!(error, sqlx::Error::Protocol(words) if bytes.iter().any(|byte| words.contains(byte)))
}

/// The error of TLS that a connection failed with. The driver gives it as one of reading or writing.
fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why the two sides do not trust each other, and the advice. `authorities`: those that the URL names.
fn distrust(error: &rustls::Error, host: &str, authorities: Option<String>) -> (String, String) {
    let told = |reason: String, advice: &str| (reason, advice.to_owned());
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => told(
            format!("the server's certificate is not of the name {host}"),
            "connect by a name that it is of, or compare no names: sslmode=verify-ca",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => match authorities {
            Some(authorities) => told(
                format!("the server's certificate is of none of the authorities in {authorities}"),
                "give the certificate of the authority that signed it by sslrootcert in the URL",
            ),
            None => told(
                "the server's certificate is of no authority that this system trusts".to_owned(),
                "give the certificate of the authority that signed it by sslrootcert in the URL",
            ),
        },
        rustls::Error::InvalidCertificate(cause) => told(
            format!("the server's certificate is refused: {cause}"),
            "look at the certificate of the server (ssl_cert_file in postgresql.conf), and at the clocks of both machines",
        ),
        rustls::Error::AlertReceived(cause) => told(
            format!("the server refuses the TLS connection: {cause:?}"),
            "look at sslcert and sslkey in the URL, which the server's ssl_ca_file must know, and at its log",
        ),
        cause => told(
            format!("no TLS connection: {cause}"),
            "look at sslmode, sslrootcert, sslcert and sslkey in the URL, and at ssl in postgresql.conf",
        ),
    }
}

fn explained(url: &str, place: &str, connect: &PgConnectOptions, error: sqlx::Error) -> Error {
    let told = |reason: String, advice: &str| Error::NotOpened {
        reason,
        advice: advice.to_owned(),
    };
    match &error {
        sqlx::Error::Io(cause) if let Some(cause) = of_tls(cause) => {
            let (reason, advice) = distrust(cause, connect.get_host(), certificates::authorities(url));
            told(format!("{place}: {reason}"), &advice)
        }
        sqlx::Error::Io(cause) => told(
            format!("{place}: {cause}"),
            "is PostgreSQL running there, and is the way to it open?",
        ),
        sqlx::Error::Protocol(_) if is_undecided(&error) => told(
            format!("{place}: the connection was closed before the server said whether it speaks TLS"),
            "is PostgreSQL running there, and is the way to it open?",
        ),
        sqlx::Error::Protocol(cause) => told(
            format!("{place}: what answers there does not speak as PostgreSQL does ({cause})"),
            "look at host and port in the URL",
        ),
        sqlx::Error::Tls(cause) => told(
            format!("{place}: {cause}"),
            "look at sslmode and sslrootcert in the URL, and at ssl in postgresql.conf",
        ),
        sqlx::Error::Database(cause) => match cause.code().as_deref() {
            Some("3D000") => told(
                cause.message().to_owned(),
                &match connect.get_database() {
                    Some(name) => format!("make it with: createdb {name}"),
                    None => "make it with createdb, or name another one in the URL".to_owned(),
                },
            ),
            Some("28P01" | "28000") => told(
                cause.message().to_owned(),
                "look at user and password in the URL, at the roles of the server (createuser), and at pg_hba.conf",
            ),
            Some("57P03" | "53300" | "57P01") => told(
                cause.message().to_owned(),
                "look at the server, and at what else is connected",
            ),
            _ => error.into(),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distrust_is_final_and_names_the_parameter_and_its_path() {
        let url = "postgres://u:hunter2secret@db/name?sslmode=verify-full&sslrootcert=/etc/ca.pem";
        let connect = PgConnectOptions::new_without_pgpass().host("db");
        for (cause, words) in [
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                ["none of the authorities", "sslrootcert=/etc/ca.pem"],
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::NotValidForName),
                ["not of the name db", "verify-ca"],
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::Expired),
                ["refused", "clocks"],
            ),
            (
                rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired),
                ["CertificateRequired", "sslcert and sslkey"],
            ),
        ] {
            let error = sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, cause));
            assert!(!may_pass(&error), "{error}");
            let told = explained(url, "db:5432", &connect, error).to_string();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
            assert!(
                !told.contains("is PostgreSQL running") && !told.contains("hunter2"),
                "{told}"
            );
        }
        let refused = sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
        assert!(may_pass(&refused));
    }
}
