//! Times that no clock can have told are mended, and what was deleted is counted until the files are rewritten.
//!
//! Until here a span's times were stored as they came. A call that began far in the future stays on top of every page,
//! outlives retention, and makes PostgreSQL's sums with its time overflow. When it arrived is known, by our own clock, so
//! such a call is taken to have begun when it arrived.

use std::time::{SystemTime, UNIX_EPOCH};

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Clocks may be wrong by this much, in nanoseconds: a day.
const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

#[derive(DeriveIden)]
enum Sequence {
    Table,
    Deleted,
    Cleaned,
}

fn counter(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .default(0)
        .to_owned()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The prelude has another of this name.
    <i64 as TryFrom<u128>>::try_from(since.as_nanos()).unwrap_or(i64::MAX - DAY)
}

/// Each is true of nothing once it has run, so an interrupted step can run again.
fn mending(now: i64) -> Vec<String> {
    let latest = now.saturating_add(DAY);
    let mut statements = vec![
        // Our own clock was wrong.
        format!("UPDATE calls SET received_at = {now} WHERE received_at > {latest} OR received_at < 0"),
        format!(
            "UPDATE calls SET started_at = received_at WHERE started_at > received_at + {DAY} OR started_at < 0"
        ),
        "UPDATE calls SET duration = 0 WHERE duration < 0".to_owned(),
        // A call that has arrived has ended.
        format!(
            "UPDATE calls SET duration = CASE WHEN received_at > started_at THEN received_at - started_at ELSE 0 END \
             WHERE duration > received_at + {DAY} - started_at"
        ),
        format!(
            "UPDATE log_lines SET time = (SELECT received_at FROM calls WHERE calls.id = log_lines.call) \
             WHERE (time > {latest} OR time < 0) AND EXISTS (SELECT 1 FROM calls WHERE calls.id = log_lines.call)"
        ),
    ];
    for table in ["waiting", "aliases"] {
        statements.push(format!(
            "UPDATE {table} SET arrived_at = {now} WHERE arrived_at > {latest} OR arrived_at < 0"
        ));
    }
    statements
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in mending(now()) {
            db.execute_unprepared(&statement).await?;
        }
        // Calls from clocks that are ahead, of which there are few: they are past their time by when they arrived.
        db.execute_unprepared(
            "CREATE INDEX IF NOT EXISTS calls_ahead ON calls (received_at) WHERE started_at > received_at",
        )
        .await?;
        for (name, column) in [("deleted", Sequence::Deleted), ("cleaned", Sequence::Cleaned)] {
            // How much was deleted, and how much of that is gone from the database's files too.
            if !manager.has_column("sequence", name).await? {
                let table = Table::alter()
                    .table(Sequence::Table)
                    .add_column(counter(column))
                    .to_owned();
                manager.alter_table(table).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP INDEX calls_ahead").await?;
        for column in [Sequence::Deleted, Sequence::Cleaned] {
            let table = Table::alter()
                .table(Sequence::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
