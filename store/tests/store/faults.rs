//! What the store does when its database fails, hangs or goes away, and what it says then.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use mcptap_store::{Error, Options, Store, Unready, WriteError};
use sea_orm::{ConnectionTrait, Database, DbBackend, TransactionTrait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Place, batch, full, on_both, plain};

/// Without what is tested here these tests would hang.
const ENOUGH: Duration = Duration::from_secs(60);

on_both!(
    closing_takes_no_more_writes,
    a_missing_table_is_told,
    what_is_ready_says_so,
    whoever_writes_nothing_is_ready_while_another_process_writes,
    a_database_that_refuses_to_write_is_told,
);

async fn closing_takes_no_more_writes(place: &Place) {
    let (writer, store) = place.open().await;
    let held = writer.clone();
    let mut writing = tokio::task::JoinSet::new();
    for number in 1..=50 {
        let writer = writer.clone();
        writing.spawn(async move { writer.write(batch([plain(number)])).await.is_ok() });
    }
    tokio::task::yield_now().await;
    // Nobody lets go of a writer.
    let closed = tokio::time::timeout(ENOUGH, store.close())
        .await
        .expect("it ends");
    assert!(closed.cut.is_empty(), "{closed:?}");
    assert!(matches!(
        held.write(batch([plain(99)])).await,
        Err(WriteError::Closed)
    ));
    let acknowledged = writing
        .join_all()
        .await
        .into_iter()
        .filter(|stored| *stored)
        .count();
    let (_, store) = place.open().await;
    let head = usize::try_from(store.head().0).unwrap();
    assert!(head >= acknowledged, "{head} of {acknowledged}");
}

async fn unready(store: &Store) -> Vec<Unready> {
    // Within a second; some more on a machine that is busy.
    let told = tokio::time::timeout(Duration::from_secs(10), store.ready()).await;
    told.expect("an answer in time").err().unwrap_or_default()
}

/// Until readiness is as wanted.
async fn until(store: &Store, wanted: impl Fn(&[Unready]) -> bool) -> Vec<Unready> {
    let told = async {
        loop {
            let told = unready(store).await;
            if wanted(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(ENOUGH, told).await.expect("it is noticed")
}

async fn what_is_ready_says_so(place: &Place) {
    let (writer, store) = place.open().await;
    assert_eq!(store.ready().await, Ok(()));
    writer.write(batch([plain(1)])).await.unwrap();
    assert_eq!(store.ready().await, Ok(()));
}

async fn whoever_writes_nothing_is_ready_while_another_process_writes(place: &Place) {
    let (_writer, store) = place.open().await;
    let other = Database::connect(&place.url).await.unwrap();
    let tx = other.begin().await.unwrap();
    tx.execute_unprepared("UPDATE sequence SET value = value")
        .await
        .unwrap();
    // Longer than an answer counts.
    for _ in 0..35 {
        assert_eq!(store.ready().await, Ok(()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tx.rollback().await.unwrap();
    other.close().await.unwrap();
}

async fn a_database_that_refuses_to_write_is_told(place: &Place) {
    let (writer, store) = place.open().await;
    let other = Database::connect(&place.url).await.unwrap();
    let (refuse, allow) = if other.get_database_backend() == DbBackend::Sqlite {
        (
            "CREATE TRIGGER refuses BEFORE UPDATE ON sequence BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
            "DROP TRIGGER refuses",
        )
    } else {
        (
            "ALTER TABLE sequence ADD CONSTRAINT refuses CHECK (value < 1) NOT VALID",
            "ALTER TABLE sequence DROP CONSTRAINT refuses",
        )
    };
    other.execute_unprepared(refuse).await.unwrap();
    // Not the record's fault: it is not left out.
    assert!(matches!(
        writer.write(batch([plain(1)])).await,
        Err(WriteError::Database(Error::Refused(_)))
    ));
    let told = until(&store, |told| !told.is_empty()).await;
    assert_eq!(told[0].check, "write");
    other.execute_unprepared(allow).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    until(&store, <[_]>::is_empty).await;
    other.close().await.unwrap();
}

async fn a_missing_table_is_told(place: &Place) {
    let (_writer, store) = place.open().await;
    let connection = Database::connect(&place.url).await.unwrap();
    connection
        .execute_unprepared("ALTER TABLE log_lines RENAME TO gone")
        .await
        .unwrap();
    let told = until(&store, |told| !told.is_empty()).await;
    assert_eq!(told[0].check, "schema");
    assert!(told[0].reason.contains("log_lines"), "{told:?}");
    connection
        .execute_unprepared("ALTER TABLE gone RENAME TO log_lines")
        .await
        .unwrap();
    until(&store, <[_]>::is_empty).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_is_gone() {
    let place = Place::sqlite();
    let file = place.file().unwrap();
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    let aside = file.with_extension("aside");
    for replaced in [false, true] {
        std::fs::rename(&file, &aside).unwrap();
        if replaced {
            std::fs::copy(&aside, &file).unwrap();
        }
        for number in 2..5 {
            let error = writer.write(batch([plain(number)])).await.unwrap_err();
            assert!(error.to_string().contains("replaced"), "{error}");
        }
        let told = until(&store, |told| !told.is_empty()).await;
        assert!(told.iter().any(|told| told.check == "file"), "{told:?}");
        // Put back, it goes on by itself.
        std::fs::rename(&aside, &file).unwrap();
        until(&store, <[_]>::is_empty).await;
        writer.write(batch([plain(7)])).await.unwrap();
    }
    store.close().await;
    let (_, store) = place.open().await;
    assert_eq!(store.head().0, 2);
}

#[tokio::test]
async fn damaged_pages_are_told() {
    let place = Place::sqlite();
    let (writer, store) = place.open().await;
    writer.write(batch((1..2000).map(full))).await.unwrap();
    store.close().await;
    let path = place.file().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // The first pages hold the tables that opening reads; the last ones hold calls.
    file.seek(SeekFrom::Start(size - size / 8)).unwrap();
    file.write_all(&vec![0x5a; usize::try_from(size / 8).unwrap()])
        .unwrap();
    drop(file);
    let (_writer, store) = place.open().await;
    let told = until(&store, |told| !told.is_empty()).await;
    assert!(
        told.iter()
            .any(|told| told.check == "schema" && told.reason.contains("damaged")),
        "{told:?}"
    );
}

/// A way to a server on which nothing moves any more once `frozen` is true.
async fn way_to(server: String, frozen: watch::Receiver<bool>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from, to) = client.into_split();
            let (answers, questions) = TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(carry(from, questions, frozen.clone()));
            tokio::spawn(carry(answers, to, frozen.clone()));
        }
    });
    address
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

/// A database of PostgreSQL behind such a way.
async fn freezable() -> Option<(Place, String, watch::Sender<bool>)> {
    let place = Place::postgres().await?;
    let (before, rest) = place.url.split_once('@').unwrap();
    let (server, after) = rest.split_once('/').unwrap();
    let (freeze, frozen) = watch::channel(false);
    let address = way_to(server.to_owned(), frozen).await;
    let url = format!("{before}@{address}/{after}");
    Some((place, url, freeze))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_told_and_closing_ends() {
    let Some((place, url, freeze)) = freezable().await else {
        return;
    };
    let (writer, store) = mcptap_store::open(&url, Options::default()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    assert_eq!(store.ready().await, Ok(()));
    freeze.send_replace(true);
    let told = until(&store, |told| !told.is_empty()).await;
    assert!(
        told.iter().any(|told| told.reason.contains("does not answer")),
        "{told:?}"
    );
    let waiting = tokio::spawn(async move { writer.write(batch([plain(2)])).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let closed = tokio::time::timeout(ENOUGH / 2, store.close())
        .await
        .expect("it ends");
    assert!(!closed.cut.is_empty());
    // The one that waited is told, too.
    tokio::time::timeout(ENOUGH, waiting)
        .await
        .expect("an answer")
        .unwrap()
        .unwrap_err();
    drop(store);
    let (_, store) = place.open().await;
    assert!(store.head().0 >= 1);
    store.close().await;
    place.vanish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hung_is_used_again() {
    let Some((place, url, freeze)) = freezable().await else {
        return;
    };
    let (writer, store) = mcptap_store::open(&url, Options::default()).await.unwrap();
    writer.write(batch([plain(1)])).await.unwrap();
    freeze.send_replace(true);
    // It is given up by whoever waits for it, and by the sender.
    let sent = tokio::time::timeout(ENOUGH, writer.write(batch([plain(2)]))).await;
    assert!(sent.expect("it is given up").is_err());
    freeze.send_replace(false);
    until(&store, <[_]>::is_empty).await;
    writer.write(batch([plain(2)])).await.unwrap();
    assert_eq!(store.close().await.cut, [""; 0]);
    place.vanish().await;
}
