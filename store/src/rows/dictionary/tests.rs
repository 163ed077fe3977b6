//! Which history of the database is remembered.

use std::sync::Arc;

use sea_orm::{ConnectOptions, ConnectionTrait, Database};

use super::Dictionary;
use crate::MemoryBudget;
use crate::db::lineage::{Lineage, State};
use crate::metrics::Counters;

/// A snapshot from before the database was put back says what is true of it alone.
#[tokio::test]
async fn names_of_a_history_that_ended_are_not_remembered() {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1);
    let db = Database::connect(options).await.unwrap();
    for statement in [
        "CREATE TABLE sequence (id INTEGER PRIMARY KEY, value BIGINT, identity BIGINT, lineage BIGINT)",
        "CREATE TABLE names (id INTEGER PRIMARY KEY, hash BLOB, kind SMALLINT, text TEXT)",
        "INSERT INTO sequence VALUES (1, 10, 1, 0)",
        "INSERT INTO names VALUES (1, x'00', 0, 'of then')",
    ] {
        db.execute_unprepared(statement).await.unwrap();
    }
    let lineage = Arc::new(Lineage::new().unwrap());
    lineage.begin(State::new(1, 7, "{}").unwrap(), |_| {});
    let dictionary = Dictionary::new(
        &MemoryBudget::new(1 << 20),
        &Arc::new(Counters::default()),
        &lineage,
    );
    let name = || async {
        let names = dictionary.names(&db, [1].into_iter()).await.unwrap();
        names.get(&1).map(|name| name.to_string())
    };
    assert_eq!(name().await.as_deref(), Some("of then"));
    for statement in [
        "UPDATE sequence SET lineage = 7",
        "UPDATE names SET text = 'of now'",
    ] {
        db.execute_unprepared(statement).await.unwrap();
    }
    assert_eq!(name().await.as_deref(), Some("of now"));
    // What is of the history that memory is of is read once.
    db.execute_unprepared("DELETE FROM names").await.unwrap();
    assert_eq!(name().await.as_deref(), Some("of now"));
}
