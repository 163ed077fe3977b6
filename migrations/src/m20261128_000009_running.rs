//! Running calls: an index of them, and a table of when their processes were last heard of.

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
        // 6 is RUNNING. There are never many.
        let db = manager.get_connection();
        db.execute_unprepared(
            "CREATE INDEX IF NOT EXISTS calls_running ON calls (started_at, id) WHERE outcome = 6",
        )
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("DROP INDEX calls_running")
            .await?;
        let processes = Table::drop().table(Processes::Table).to_owned();
        manager.drop_table(processes).await
    }
}
