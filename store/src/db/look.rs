//! A check of the place where the database is to be, without opening it for use: most errors of a server's start are found
//! here. Nothing is changed.

use std::io::ErrorKind;
use std::path::Path;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use rustix::fs::{Access, access};

use crate::Error;
use crate::db::address::{Address, parameter};
use crate::db::database::Database;
use crate::db::pooler::suffice;
use crate::db::schema::{Upkeep, grants, inspect, look_into_file};

/// Looks at the database named by a URL, as a server would use it. A server of PostgreSQL that is not there is tried again for
/// 10 s.
///
/// # Errors
///
/// [`Error::NotOpened`] where the file, its folder, or a file that the URL names is missing or may not be used, or where a server
/// cannot be connected to or gives the role too few rights; [`Error::FewConnections`] where it was set to give too few;
/// otherwise the database is another program's, a newer version's, or damaged.
pub async fn examine(url: &str) -> Result<(), Error> {
    match Address::parse(url)? {
        Address::Memory => Ok(()),
        Address::File(connect) => file(url, &connect).await,
        Address::Server { connect, pooled } => server(url, &connect, pooled).await,
    }
}

/// A server is given the time that one which starts gives it.
async fn server(url: &str, connect: &PgConnectOptions, pooled: bool) -> Result<(), Error> {
    let upkeep = Upkeep::Migrate;
    let (connection, pooling) = Database::look_at_server(url, connect, pooled, upkeep.patience()).await?;
    let looked = async {
        let work = upkeep.asks_for_work(inspect(&connection).await?)?;
        grants::check(&connection, upkeep, work).await
    }
    .await;
    connection.close().await?;
    looked?;
    suffice(connect, pooling).await
}

/// Whether mcptap's tables are there. Fails where the database belongs to another program or cannot be read.
pub async fn exists(url: &str) -> Result<bool, Error> {
    let Some(connection) = Database::look(url, Upkeep::Leave.patience()).await? else {
        return Ok(false);
    };
    connection.close().await?;
    Ok(true)
}

async fn file(url: &str, connect: &SqliteConnectOptions) -> Result<(), Error> {
    if !place_of_file(url, connect)? {
        return Ok(());
    }
    match look_into_file(connect, Upkeep::Leave.patience()).await {
        Ok((_, looked)) => {
            if let Some(connection) = looked {
                connection.close().await?;
            }
            Ok(())
        }
        // Another process is at work on it.
        Err(error) if error.kind().is_transient() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the file is there. Fails where it could not be written to, or not be made.
pub(crate) fn place_of_file(url: &str, connect: &SqliteConnectOptions) -> Result<bool, Error> {
    let mode = parameter(url, "mode");
    if mode == Some("ro") || parameter(url, "immutable") == Some("true") {
        return Err(refusal(
            "mode=ro and immutable=true let nothing be stored",
            "use mode=rw or mode=rwc",
        ));
    }
    let path = connect.get_filename();
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(refusal(
            format!("the folder {} is not there", folder.display()),
            "make it, or give another path",
        ));
    }
    let there = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(refusal(
                format!("{shown} is no file"),
                "give the path of a file, which may be made with ?mode=rwc",
            ));
        }
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(_) => return Err(not_writable(path)),
    };
    if !there && mode != Some("rwc") {
        return Err(refusal(
            format!("{shown} is not there"),
            "add ?mode=rwc to have it made, or give the path of the file that is",
        ));
    }
    // The log of the database is a file beside it.
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|_| not_writable(folder))?;
    if there {
        access(path, Access::READ_OK | Access::WRITE_OK).map_err(|_| not_writable(path))?;
    }
    Ok(there)
}

fn not_writable(path: &Path) -> Error {
    refusal(
        format!("{} cannot be written by this user", path.display()),
        "change its owner or mode, or give another path",
    )
}

fn refusal(reason: impl Into<String>, advice: &str) -> Error {
    Error::NotOpened {
        reason: reason.into(),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, open};

    async fn told(url: &str) -> String {
        examine(url)
            .await
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[tokio::test]
    async fn what_a_start_would_trip_over_is_told_and_nothing_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("sqlite://{}/{name}", directory.path().display());
        std::fs::write(
            directory.path().join("text.db"),
            "not a database, only words\n".repeat(9),
        )
        .unwrap();
        std::fs::create_dir(directory.path().join("folder.db")).unwrap();
        for (url, words) in [
            (at("missing/x.db?mode=rwc"), "folder"),
            (at("text.db/x.db?mode=rwc"), "folder"),
            (at("nothere.db"), "?mode=rwc"),
            (at("nothere.db?mode=rw"), "?mode=rwc"),
            (at("folder.db?mode=rwc"), "no file"),
            (at("text.db?mode=rwc"), "another program"),
            (at("new.db?mode=ro"), "mode=ro"),
            (
                "postgres://u@h/d?sslmode=verify-ca&sslrootcert=/none.pem".to_owned(),
                "sslrootcert",
            ),
        ] {
            assert!(told(&url).await.contains(words), "{url}: {}", told(&url).await);
        }
        assert_eq!(told(&at("new.db?mode=rwc")).await, "");
        assert_eq!(told("sqlite::memory:").await, "");
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        // Beside a running server.
        let url = at("ours.db?mode=rwc");
        assert!(!exists(&url).await.unwrap());
        let (writer, store) = open(&url, Options::default()).await.unwrap();
        assert_eq!(told(&url).await, "");
        assert!(exists(&url).await.unwrap());
        drop(writer);
        store.close().await;
    }
}
