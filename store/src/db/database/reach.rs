//! Why a server cannot be used: one cause, and one piece of advice.

use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use tokio::time::timeout;

use super::RELEASE;
use crate::Error;
use crate::db::pooler::Pooling;

/// How long to wait before a server that is not there, or not ready, is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a server may take to answer at least.
const LEAST: Duration = Duration::from_secs(1);

/// Connects to a server once. One that is not there, or not ready, is tried again for as long as `wait`, and that is logged.
pub(crate) async fn server(connect: &PgConnectOptions, wait: Duration) -> Result<(), Error> {
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
                    reason: format!("{place} does not answer"),
                    advice: "look at PostgreSQL and the way to it".to_owned(),
                });
            }
        };
        let may_pass = may_pass(&failed);
        let error = explained(&place, &connect, failed);
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
    matches!(error, sqlx::Error::Io(_)) || matches!(code.as_deref(), Some("57P03" | "53300" | "57P01"))
}

fn explained(place: &str, connect: &PgConnectOptions, error: sqlx::Error) -> Error {
    let told = |reason: String, advice: &str| Error::NotOpened {
        reason,
        advice: advice.to_owned(),
    };
    match &error {
        sqlx::Error::Io(cause) => told(
            format!("{place}: {cause}"),
            "is PostgreSQL running there, and is the way to it open?",
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
