//! Running calls: indexes of them, and a table of when their processes were last heard of.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Processes {
    Table,
    Id,
    HeardAt,
}

fn number(name: Processes) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let processes = Table::create()
            .table(Processes::Table)
            .if_not_exists()
            .col(number(Processes::Id).primary_key())
            .col(number(Processes::HeardAt))
            .to_owned();
        manager.create_table(processes).await?;
        let db = manager.get_connection();
        for index in [
            "CREATE INDEX IF NOT EXISTS processes_heard ON processes (heard_at)",
            // 6 is RUNNING, which are never many.
            "CREATE INDEX IF NOT EXISTS calls_running ON calls (started_at, id) WHERE outcome = 6",
            // 7 is LOST.
            "CREATE INDEX IF NOT EXISTS calls_open ON calls (outcome, origin, received_at, id) WHERE outcome >= 6",
        ] {
            db.execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for index in ["DROP INDEX calls_open", "DROP INDEX calls_running"] {
            db.execute_unprepared(index).await?;
        }
        let processes = Table::drop().table(Processes::Table).to_owned();
        manager.drop_table(processes).await
    }
}
