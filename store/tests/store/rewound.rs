//! A database that is put back to an earlier state while it is open, as a standby that is behind or a backup does it, or
//! that gives its place to another one.

use std::time::Duration;

use mcptap_model::{Call, CallFilter, SessionKey, SessionSource};
use mcptap_store::{Error, Follower, Options, Seq, Store, Writer};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use tokio::time::timeout;

use crate::support::{Place, batch, on_both, plain, span, trace};

on_both!(
    names_are_right_after_a_rewind,
    feeds_end_when_the_head_is_passed_again,
    another_process_goes_on_first,
    a_database_in_the_place_of_another,
    nothing_is_dropped_while_several_processes_write,
    the_list_of_writers_stays_short,
);

/// The tables that a copy has.
const TABLES: [&str; 10] = [
    "aliases",
    "calls",
    "clients",
    "details",
    "log_lines",
    "names",
    "origins",
    "sequence",
    "sessions",
    "waiting",
];

async fn open(place: &Place) -> (Writer, Store) {
    place
        .open_with(Options {
            retention: None,
            // The index is not part of the copies.
            index_delay: Duration::from_secs(3_600),
            ..Options::default()
        })
        .await
}

/// With a name of its own in everything that is stored once for all calls.
fn named(number: u64) -> Call {
    let text = |what: &str| Some(format!("{what}-{number}"));
    Call {
        server: text("server"),
        tool: text("tool"),
        client_name: text("client"),
        session_id: text("session"),
        session: Some(SessionKey {
            source: SessionSource::Wire,
            key: format!("session-{number}"),
        }),
        ..plain(number)
    }
}

/// Keeps the present state of the tables under this name.
async fn copy(db: &DatabaseConnection, name: &str) {
    for table in TABLES {
        db.execute_unprepared(&format!("CREATE TABLE {name}_{table} AS SELECT * FROM {table}"))
            .await
            .unwrap();
    }
}

/// Puts it back, in one transaction.
async fn put_back(db: &DatabaseConnection, name: &str) {
    let tx = db.begin().await.unwrap();
    for table in TABLES {
        for statement in [
            format!("DELETE FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {name}_{table}"),
        ] {
            tx.execute_unprepared(&statement).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

async fn is_right(store: &Store, number: u64) {
    let found = store.call(trace(number), span(number)).await.unwrap();
    let call = found.unwrap_or_else(|| panic!("call {number}")).call;
    let sent = named(number);
    assert_eq!(call.server, sent.server);
    assert_eq!(call.tool, sent.tool);
    assert_eq!(call.client_name, sent.client_name);
    assert_eq!(call.session_id, sent.session_id);
    assert_eq!(call.session, sent.session);
}

async fn write(writer: &Writer, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let written = writer.write(batch([named(number)])).await.unwrap();
        assert!(written.rejected.is_empty());
    }
}

/// The numbers of the calls that a feed gives, until it has an error.
async fn until_error(follower: &mut Follower) -> Error {
    let reading = async {
        loop {
            match follower.next(100).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the feed ended as if the store were closed"),
                Err(error) => return error,
            }
        }
    };
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("an error of the feed")
}

async fn rewound(follower: &mut Follower) {
    let error = until_error(follower).await;
    assert!(matches!(error, Error::Rewound), "{error}");
}

async fn names_are_right_after_a_rewind(place: &Place) {
    let (writer, store) = open(place).await;
    write(&writer, 1..=3).await;
    let db = place.connect().await;
    copy(&db, "old").await;
    write(&writer, 4..=9).await;
    for number in 1..=9 {
        is_right(&store, number).await;
    }
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(follower.next(10).await.unwrap().unwrap().caught_up);
    let identity = store.identity();
    put_back(&db, "old").await;
    // New names get the numbers that those of the lost calls had.
    write(&writer, 20..=27).await;
    rewound(&mut follower).await;
    assert_ne!(store.identity(), identity);
    for number in [1, 2, 3, 20, 21, 22, 23, 24, 25, 26, 27] {
        is_right(&store, number).await;
    }
    // Names of lost calls are stored anew.
    write(&writer, 4..=9).await;
    for number in (1..=9).chain(20..=27) {
        is_right(&store, number).await;
    }
    drop((writer, store));
    let (_writer, store) = open(place).await;
    for number in (1..=9).chain(20..=27) {
        is_right(&store, number).await;
    }
    assert_eq!(store.count(&CallFilter::default(), 100).await.unwrap().value, 17);
}

/// Nobody writes, or the head is beyond the old one before anything is looked at: feeds end all the same.
async fn feeds_end_when_the_head_is_passed_again(place: &Place) {
    let (writer, store) = open(place).await;
    write(&writer, 1..=3).await;
    let db = place.connect().await;
    copy(&db, "old").await;
    write(&writer, 4..=6).await;
    let mut waiting = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(waiting.next(10).await.unwrap().unwrap().caught_up);
    let mut slow = store.follow(CallFilter::default(), Some(Seq(1))).await.unwrap();
    put_back(&db, "old").await;
    rewound(&mut waiting).await;
    rewound(&mut slow).await;
    // From here on all is well.
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    assert!(follower.next(10).await.unwrap().unwrap().caught_up);
    let gone = store.follow(CallFilter::default(), Some(Seq(6))).await;
    assert!(matches!(gone, Err(Error::Ahead)));
    write(&writer, 10..=12).await;
    for number in 10..=12 {
        let changes = timeout(Duration::from_secs(60), follower.next(1)).await.unwrap();
        let changes = changes.unwrap().unwrap();
        assert_eq!(changes.items[0].stored.call.server, named(number).server);
    }
    // The same once more, with a head that is ahead again at once.
    let tx = db.begin().await.unwrap();
    for table in TABLES {
        tx.execute_unprepared(&format!("DELETE FROM {table}"))
            .await
            .unwrap();
        tx.execute_unprepared(&format!("INSERT INTO {table} SELECT * FROM old_{table}"))
            .await
            .unwrap();
    }
    tx.execute_unprepared("UPDATE sequence SET value = value + 1000, commits = commits + 1000")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    rewound(&mut follower).await;
    write(&writer, 30..=33).await;
    for number in (1..=3).chain(30..=33) {
        is_right(&store, number).await;
    }
}

async fn another_process_goes_on_first(place: &Place) {
    let (writer, store) = open(place).await;
    let (other_writer, other) = open(place).await;
    write(&writer, 1..=3).await;
    write(&other_writer, 4..=5).await;
    let db = place.connect().await;
    copy(&db, "old").await;
    write(&writer, 6..=9).await;
    write(&other_writer, 10..=11).await;
    // Both have seen all of it.
    for store in [&store, &other] {
        for number in 1..=11 {
            is_right(store, number).await;
        }
    }
    let mut followers = [
        store.follow(CallFilter::default(), None).await.unwrap(),
        other.follow(CallFilter::default(), None).await.unwrap(),
    ];
    put_back(&db, "old").await;
    // The head is beyond the old one with this.
    write(&other_writer, 20..=35).await;
    for follower in &mut followers {
        rewound(follower).await;
    }
    write(&writer, 40..=45).await;
    for store in [&store, &other] {
        for number in (1..=5).chain(20..=35).chain(40..=45) {
            is_right(store, number).await;
        }
    }
    assert_eq!(store.identity(), other.identity());
}

async fn a_database_in_the_place_of_another(place: &Place) {
    let (writer, store) = open(place).await;
    let db = place.connect().await;
    copy(&db, "empty").await;
    write(&writer, 1..=8).await;
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    // As one that was made apart has it: another number, and other writers.
    put_back(&db, "empty").await;
    let another = "UPDATE sequence SET identity = 4711, value = 100, commits = 100, writers = '{\"w1\":100}'";
    db.execute_unprepared(another).await.unwrap();
    write(&writer, 20..=27).await;
    rewound(&mut follower).await;
    for number in 20..=27 {
        is_right(&store, number).await;
    }
    assert_eq!(store.identity(), 4711);
}

async fn nothing_is_dropped_while_several_processes_write(place: &Place) {
    let stores = [open(place).await, open(place).await, open(place).await];
    let mut followers = Vec::new();
    for (_, store) in &stores {
        followers.push(store.follow(CallFilter::default(), Some(Seq(0))).await.unwrap());
    }
    let writing = (0..3u64).map(|of| {
        let writer = stores[of as usize].0.clone();
        tokio::spawn(async move {
            for number in 0..40 {
                writer.write(batch([named(1 + of * 100 + number)])).await.unwrap();
            }
        })
    });
    for writing in writing.collect::<Vec<_>>() {
        writing.await.unwrap();
    }
    for follower in &mut followers {
        let mut calls = 0;
        while calls < 120 {
            let changes = timeout(Duration::from_secs(60), follower.next(100))
                .await
                .unwrap();
            calls += changes.unwrap().unwrap().items.len();
        }
    }
    let identity = stores[0].1.identity();
    assert!(stores.iter().all(|(_, store)| store.identity() == identity));
}

async fn the_list_of_writers_stays_short(place: &Place) {
    let (writer, store) = open(place).await;
    write(&writer, 1..=2).await;
    let db = place.connect().await;
    let many: Vec<String> = (0..200).map(|number| format!("\"w{number}\":{number}")).collect();
    let many = format!(
        "UPDATE sequence SET writers = '{{{}}}', commits = 1000",
        many.join(",")
    );
    db.execute_unprepared(&many).await.unwrap();
    drop((writer, store));
    let (writer, store) = open(place).await;
    let text = "SELECT CAST(LENGTH(writers) AS BIGINT) FROM sequence";
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), text);
    let length = async || {
        let length = db.query_one_raw(statement.clone()).await.unwrap().unwrap();
        length.try_get_by_index::<i64>(0).unwrap()
    };
    assert!(length().await < 500);
    // The same while a server runs: each command that deletes is a writer.
    let statement =
        sea_orm::Statement::from_string(db.get_database_backend(), "SELECT writers FROM sequence");
    let there = db.query_one_raw(statement).await.unwrap().unwrap();
    let mut there: serde_json::Value =
        serde_json::from_str(&there.try_get_by_index::<String>(0).unwrap()).unwrap();
    for number in 0..200 {
        there[format!("w{number}")] = number.into();
    }
    db.execute_unprepared(&format!("UPDATE sequence SET writers = '{there}'"))
        .await
        .unwrap();
    let shorter = async {
        while length().await >= 500 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), shorter)
        .await
        .expect("some are left out");
    let mut follower = store.follow(CallFilter::default(), None).await.unwrap();
    write(&writer, 3..=4).await;
    let changes = timeout(Duration::from_secs(60), follower.next(10)).await.unwrap();
    assert!(changes.unwrap().is_some());
}
