//! Views that move with the time: of the last so many seconds.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Views {
    Table,
    LastSeconds,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Views::Table)
            // Null: no such bound.
            .add_column(ColumnDef::new(Views::LastSeconds).integer())
            .to_owned();
        manager.alter_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Views::Table)
            .drop_column(Views::LastSeconds)
            .to_owned();
        manager.alter_table(table).await
    }
}
