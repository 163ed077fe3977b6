//! What the store does when its database fails or goes away, and what it says then.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use mcptap_model::{Batch, Call, Origin};
use mcptap_store::{Error, Store, Unready, WriteError};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement, TransactionTrait};

use crate::support::{Place, batch, full, line, on_both, plain};

/// Without what is tested here these tests would hang.
pub(crate) const ENOUGH: Duration = Duration::from_secs(60);

on_both!(
    closing_takes_no_more_writes,
    a_missing_table_is_told,
    what_is_ready_says_so,
    whoever_writes_nothing_is_ready_while_another_process_writes,
    a_database_that_refuses_to_write_is_told,
    what_refuses_every_record_is_no_records_fault,
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

pub(crate) async fn unready(store: &Store) -> Vec<Unready> {
    // Within a second; some more on a machine that is busy.
    let told = tokio::time::timeout(Duration::from_secs(10), store.ready()).await;
    told.expect("an answer in time").err().unwrap_or_default()
}

/// Until readiness is as wanted.
pub(crate) async fn until(store: &Store, wanted: impl Fn(&[Unready]) -> bool) -> Vec<Unready> {
    let mut told = Vec::new();
    let looking = async {
        loop {
            told = unready(store).await;
            if wanted(&told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let noticed = tokio::time::timeout(ENOUGH, looking).await;
    assert!(noticed.is_ok(), "not within {ENOUGH:?}: {told:?}");
    told
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

/// Faults of a database's schema: what makes them, and what mends them.
fn schema_faults(backend: DbBackend) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for table in [
        "calls",
        "details",
        "names",
        "clients",
        "sessions",
        "origins",
        "log_lines",
        "waiting",
    ] {
        if backend == DbBackend::Sqlite {
            faults.push((
                format!(
                    "CREATE TRIGGER refuses BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
                ),
                "DROP TRIGGER refuses".to_owned(),
            ));
        } else {
            faults.push((
                format!("ALTER TABLE {table} ADD CONSTRAINT refuses CHECK (false) NOT VALID"),
                format!("ALTER TABLE {table} DROP CONSTRAINT refuses"),
            ));
        }
    }
    if backend == DbBackend::Postgres {
        for code in ["P0001", "22003", "42501"] {
            faults.push((
                format!(
                    "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     RAISE 'no' USING ERRCODE = '{code}'; END $$; \
                     CREATE CONSTRAINT TRIGGER refuses AFTER INSERT ON calls DEFERRABLE INITIALLY DEFERRED \
                     FOR EACH ROW EXECUTE FUNCTION refuses()"
                ),
                "DROP FUNCTION refuses CASCADE".to_owned(),
            ));
        }
        faults.push((
            "ALTER TABLE details ADD COLUMN theirs int, ADD CHECK (theirs IS NOT NULL) NOT VALID".to_owned(),
            "ALTER TABLE details DROP COLUMN theirs".to_owned(),
        ));
    }
    faults.push((
        "ALTER TABLE calls RENAME COLUMN duration TO gone".to_owned(),
        "ALTER TABLE calls RENAME COLUMN gone TO duration".to_owned(),
    ));
    faults
}

async fn what_refuses_every_record_is_no_records_fault(place: &Place) {
    let (writer, store) = place.open().await;
    let other = Database::connect(&place.url).await.unwrap();
    let faults = schema_faults(other.get_database_backend());
    for (number, (make, mend)) in (1..).zip(&faults) {
        other.execute_unprepared(make).await.unwrap();
        // Also one alone.
        for records in [1, 40] {
            let calls = (0..records).map(|call| Call {
                origin: std::sync::Arc::new(Origin {
                    service: Some(format!("service {number}")),
                    ..Origin::default()
                }),
                server: Some(format!("server {number}")),
                session_id: Some(format!("session {number}")),
                session: None,
                client_name: Some(format!("client {number}")),
                ..full(number * 100 + call)
            });
            let sent = Batch {
                logs: vec![
                    line(&plain(number * 100), 1, "a line"),
                    line(&plain(number * 100 + 99), 1, "waits"),
                ],
                ..batch(calls)
            };
            let sent = tokio::time::timeout(ENOUGH, writer.write(sent)).await.unwrap();
            assert!(matches!(sent, Err(WriteError::Database(_))), "{make}: {sent:?}");
        }
        let told = until(&store, |told| !told.is_empty()).await;
        assert!(["write", "schema"].contains(&told[0].check), "{make}: {told:?}");
        other.execute_unprepared(mend).await.unwrap();
        let written = writer.write(batch([full(number * 100)])).await.unwrap();
        assert_eq!(written.rejected, [], "{mend}");
        until(&store, <[_]>::is_empty).await;
    }
    assert_eq!(store.metrics().records_rejected, 0);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_schema_is_told_until_it_is_mended() {
    let place = Place::sqlite();
    let (writer, store) = place.open().await;
    let other = place.connect().await;
    other
        .execute_unprepared(
            "CREATE TRIGGER refuses BEFORE INSERT ON details BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .await
        .unwrap();
    writer.write(batch([full(1)])).await.unwrap_err();
    // Longer than it takes until a fault counts as over when writes work. Nobody sends meanwhile.
    for _ in 0..180 {
        assert_eq!(unready(&store).await.len(), 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    other.execute_unprepared("DROP TRIGGER refuses").await.unwrap();
    until(&store, <[_]>::is_empty).await;
    // What was tried is not there.
    assert_eq!(store.head().0, 0);
    let left =
        "SELECT count(*) AS n FROM names UNION ALL SELECT count(*) FROM waiting ORDER BY 1 DESC LIMIT 1";
    let left = Statement::from_string(DbBackend::Sqlite, left);
    let left: i64 = other
        .query_one_raw(left)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "n")
        .unwrap();
    assert_eq!(left, 0);
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

/// Another program makes a file at the path, which takes the log away that lies beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_very_file_is_used_again_after_another_one_was_at_its_path() {
    let place = Place::sqlite();
    let file = place.file().unwrap();
    let (writer, store) = place.open().await;
    let aside = file.with_extension("aside");
    for number in [0, 2, 4] {
        writer.write(batch([plain(number + 1)])).await.unwrap();
        std::fs::rename(&file, &aside).unwrap();
        let other = Database::connect(&place.url).await.unwrap();
        other
            .execute_unprepared("CREATE TABLE theirs (id integer)")
            .await
            .unwrap();
        other.close().await.unwrap();
        let before = std::fs::read(&file).unwrap();
        let told = until(&store, |told| !told.is_empty()).await;
        assert!(told.iter().any(|told| told.check == "file"), "{told:?}");
        for _ in 0..3 {
            writer.write(batch([plain(number + 2)])).await.unwrap_err();
        }
        assert!(store.ready().await.is_err());
        assert!(
            std::fs::read(&file).unwrap() == before,
            "another file was written"
        );
        std::fs::rename(&aside, &file).unwrap();
        until(&store, <[_]>::is_empty).await;
        writer.write(batch([plain(number + 2)])).await.unwrap();
    }
    store.close().await;
    let (_, store) = place.open().await;
    assert_eq!(store.head().0, 6);
    let connection = Database::connect(&place.url).await.unwrap();
    let check = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check");
    let row = connection.query_one_raw(check).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "ok");
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

/// What somebody does to a file that is open; the bytes are those of another database.
type Mishap = fn(&std::fs::File, &[u8]);

/// Nobody reads a mapped page that is gone, and nothing is acknowledged into such a file.
#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_was_cut_or_written_over() {
    use std::os::unix::fs::FileExt;
    let other = Place::sqlite();
    let (writer, store) = other.open().await;
    writer.write(batch((1..900).map(full))).await.unwrap();
    store.close().await;
    let others = std::fs::read(other.file().unwrap()).unwrap();
    let mishaps: [(&str, Mishap); 5] = [
        ("cut to nothing", |file, _| file.set_len(0).unwrap()),
        ("cut to eight pages", |file, _| file.set_len(65_536).unwrap()),
        ("another's bytes", |file, others| {
            file.write_all_at(others, 0).unwrap()
        }),
        ("another's bytes, and its length", |file, others| {
            file.set_len(0).unwrap();
            file.write_all_at(others, 0).unwrap();
        }),
        ("no header", |file, _| file.write_all_at(&[0; 100], 0).unwrap()),
    ];
    for (name, mishap) in mishaps {
        for is_checkpointed in [true, false] {
            let place = Place::sqlite();
            let (mut writer, mut store) = place.open().await;
            writer.write(batch((1..400).map(full))).await.unwrap();
            if is_checkpointed {
                store.close().await;
                (writer, store) = place.open().await;
                writer.write(batch([plain(1_000)])).await.unwrap();
            } else if !name.contains("cut to nothing") {
                // All of it is in the log.
                continue;
            }
            let path = place.file().unwrap();
            let before = std::fs::read(&path).unwrap();
            let file = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            mishap(&file, &others);
            for number in 2_000..2_003 {
                let written = writer.write(batch([plain(number)])).await;
                let error = written.expect_err(name).to_string();
                assert!(error.contains("replaced"), "{name}: {error}");
            }
            let told = until(&store, |told| !told.is_empty()).await;
            assert!(told.iter().any(|told| told.check == "file"), "{name}: {told:?}");
            if name == "no header" {
                file.write_all_at(&before[..100], 0).unwrap();
                until(&store, <[_]>::is_empty).await;
                writer.write(batch([plain(3_000)])).await.unwrap();
            }
            // Whatever it answers, it answers.
            let filter = mcptap_model::CallFilter::default();
            let page = mcptap_store::PageRequest {
                first: Some(500),
                ..mcptap_store::PageRequest::default()
            };
            let _ = store.calls(&filter, page).await;
            drop(writer);
            store.close().await;
        }
    }
}

/// Checkpoints make the file longer and shorter, write its header before its pages, and are none of these.
#[tokio::test]
async fn what_sqlite_does_to_its_file_is_no_mishap() {
    let place = Place::sqlite();
    let (writer, store) = place.open().await;
    let other = Database::connect(&place.url).await.unwrap();
    for round in 0..6_u64 {
        for part in 0..4_u64 {
            let first = round * 1_000 + part * 200 + 1;
            writer.write(batch((first..first + 200).map(full))).await.unwrap();
            let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
            other.execute_unprepared(checkpoint).await.unwrap();
        }
        let everything = mcptap_model::CallFilter::default();
        store
            .erase(everything, mcptap_store::Actor::CommandLine, "all".into())
            .await
            .unwrap();
        for statement in [
            "PRAGMA incremental_vacuum",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "VACUUM",
        ] {
            other.execute_unprepared(statement).await.unwrap();
            assert!(unready(&store).await.iter().all(|told| told.check != "file"));
        }
        writer.write(batch([plain(round + 100_000)])).await.unwrap();
    }
    other.close().await.unwrap();
}

/// A group that takes longer than the database allows would take as long when it comes again: it is stored in parts.
#[tokio::test]
async fn what_takes_too_long_as_a_whole_is_stored_in_parts() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let (writer, store) = place.open().await;
    let other = place.connect().await;
    let refuse = |most: usize| {
        format!(
            "CREATE OR REPLACE FUNCTION too_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF (SELECT COUNT(*) FROM added) > {most} THEN RAISE 'too long' USING ERRCODE = '57014'; END IF; \
             RETURN NULL; END $$; \
             CREATE OR REPLACE TRIGGER too_long AFTER INSERT ON calls REFERENCING NEW TABLE AS added \
             FOR EACH STATEMENT EXECUTE FUNCTION too_long()"
        )
    };
    other.execute_unprepared(&refuse(4)).await.unwrap();
    let calls = |from: u64| batch((from..from + 30).map(plain));
    let written = tokio::time::timeout(ENOUGH, writer.write(calls(1)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((written.added, written.rejected), (30, vec![]));
    // Where nothing is in time, no record is at fault: all are to come again.
    other.execute_unprepared(&refuse(0)).await.unwrap();
    let refused = tokio::time::timeout(ENOUGH, writer.write(calls(100)))
        .await
        .unwrap();
    assert!(
        matches!(refused, Err(WriteError::Database(Error::TimedOut))),
        "{refused:?}"
    );
    assert_eq!(store.metrics().records_rejected, 0);
    other
        .execute_unprepared("DROP FUNCTION too_long CASCADE")
        .await
        .unwrap();
    assert_eq!(writer.write(calls(100)).await.unwrap().added, 30);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_deleted_is_told_and_what_was_acknowledged_is_saved() {
    for gone in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let place = Place::sqlite();
        let (writer, store) = place.open().await;
        writer.write(batch((1..=9).map(plain))).await.unwrap();
        let file = place.file().unwrap();
        for suffix in gone {
            let mut path = file.clone().into_os_string();
            path.push(suffix);
            std::fs::remove_file(path).unwrap();
        }
        let refused = writer.write(batch([plain(10)])).await;
        assert!(
            matches!(refused, Err(WriteError::Database(Error::LogReplaced))),
            "{gone:?} {refused:?}"
        );
        until(&store, |told| told.iter().any(|told| told.check == "file")).await;
        // Only the file is there after a crash.
        let copied = Place::sqlite();
        let copy = copied.file().unwrap();
        let saved = async {
            loop {
                std::fs::copy(&file, &copy).unwrap();
                let read = Database::connect(&format!("sqlite://{}?immutable=true", copy.display())).await;
                let count = Statement::from_string(DbBackend::Sqlite, "SELECT COUNT(*) FROM calls");
                if let Ok(Some(row)) = read.unwrap().query_one_raw(count).await
                    && row.try_get_by_index::<i64>(0).unwrap() == 9
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(ENOUGH, saved).await.expect("all are saved");
        drop(writer);
        store.close().await;
        let (_writer, store) = place.open().await;
        assert_eq!(store.head().0, 9, "{gone:?}");
        until(&store, <[_]>::is_empty).await;
    }
}

#[tokio::test]
async fn damage_that_was_none_is_over_when_all_pages_were_read() {
    let place = Place::sqlite();
    let (writer, store) = place.open().await;
    writer.write(batch([plain(1)])).await.unwrap();
    store.damage_found();
    let told = unready(&store).await;
    assert_eq!(told[0].check, "schema");
    until(&store, <[_]>::is_empty).await;
}
