//! Traces of many calls: what a batch can touch of one is found by the spans above and by time, so that it need not be
//! read as a whole.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Waiting {
    Table,
    SpanId,
    EndedAt,
}

/// Ends are indexed by halves: the sum of a start and a duration may be larger than an integer.
const UP: &[&str] = &[
    "CREATE INDEX calls_ended ON calls (trace_lo, (started_at / 2 + duration / 2))",
    "CREATE INDEX calls_parent ON calls (trace_lo, parent_span_id) WHERE parent_span_id IS NOT NULL",
    "CREATE INDEX waiting_span ON waiting (trace_lo, span_id) WHERE span_id IS NOT NULL",
    "CREATE INDEX waiting_ended ON waiting (trace_lo, ended_at) WHERE ended_at IS NOT NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX waiting_ended",
    "DROP INDEX waiting_span",
    "DROP INDEX calls_parent",
    "DROP INDEX calls_ended",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The span that a row refers to: an HTTP span's parent, the span that a line names, a link's target. Rows from
        // before have none; they wait for minutes.
        add(manager, Waiting::SpanId).await?;
        // When an HTTP span ended, or when a line was written.
        add(manager, Waiting::EndedAt).await?;
        for statement in UP {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        for column in [Waiting::EndedAt, Waiting::SpanId] {
            let table = Table::alter()
                .table(Waiting::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

async fn add(manager: &SchemaManager<'_>, column: Waiting) -> Result<(), DbErr> {
    let column = ColumnDef::new(column).big_integer().to_owned();
    let table = Table::alter().table(Waiting::Table).add_column(column).to_owned();
    manager.alter_table(table).await
}
