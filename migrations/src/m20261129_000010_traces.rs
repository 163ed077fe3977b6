//! A span is known by its whole trace id: until here two spans of traces with the same last eight bytes had one key, so
//! the call of the second was left out, and only its details were stored.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Waiting {
    Table,
    TraceHi,
}

/// What was stored of calls that were left out. No call has it, so no retention would ever find it.
const ORPHANS: &[&str] = &[
    "DELETE FROM details WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = details.call)",
    "DELETE FROM log_lines WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = log_lines.call)",
    "DELETE FROM unindexed WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = unindexed.call)",
    "DELETE FROM waiting WHERE call IS NOT NULL AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = waiting.call)",
    "DELETE FROM aliases WHERE call IS NOT NULL AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = aliases.call)",
];

/// The statements that give both tables a key of these columns.
fn keyed(db: DatabaseBackend, columns: &str) -> Vec<String> {
    let mut statements = vec![
        "DROP INDEX calls_span".to_owned(),
        format!("CREATE UNIQUE INDEX calls_span ON calls ({columns})"),
    ];
    if db == DatabaseBackend::Postgres {
        statements.push("ALTER TABLE aliases DROP CONSTRAINT aliases_pkey".to_owned());
        statements.push(format!("ALTER TABLE aliases ADD PRIMARY KEY ({columns})"));
        return statements;
    }
    // In SQLite the key is the table: it is made anew.
    statements.extend([
        format!(
            "CREATE TABLE aliases_keyed (trace_lo bigint NOT NULL, span_id bigint NOT NULL, trace_hi bigint NOT NULL, \
             call bigint, arrived_at bigint NOT NULL, PRIMARY KEY ({columns})) WITHOUT ROWID"
        ),
        "INSERT INTO aliases_keyed (trace_lo, span_id, trace_hi, call, arrived_at) \
         SELECT trace_lo, span_id, trace_hi, call, arrived_at FROM aliases ORDER BY trace_lo, span_id"
            .to_owned(),
        "DROP TABLE aliases".to_owned(),
        "ALTER TABLE aliases_keyed RENAME TO aliases".to_owned(),
        "CREATE INDEX aliases_call ON aliases (call, arrived_at)".to_owned(),
    ]);
    statements
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in keyed(manager.get_database_backend(), "trace_lo, span_id, trace_hi") {
            db.execute_unprepared(&statement).await?;
        }
        // Of rows from before it is not known: they wait for minutes.
        let column = ColumnDef::new(Waiting::TraceHi).big_integer().to_owned();
        let table = Table::alter().table(Waiting::Table).add_column(column).to_owned();
        manager.alter_table(table).await?;
        let mut deleted = 0;
        for statement in ORPHANS {
            deleted += db.execute_unprepared(statement).await?.rows_affected();
        }
        // So that they are taken out of the database's files too.
        db.execute_unprepared(&format!("UPDATE sequence SET deleted = deleted + {deleted}"))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Waiting::Table)
            .drop_column(Waiting::TraceHi)
            .to_owned();
        manager.alter_table(table).await?;
        for statement in keyed(manager.get_database_backend(), "trace_lo, span_id") {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}
