//! The source of each part of a call, so that the value of a better source replaces that of a worse one.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Calls {
    Table,
    Sources,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("calls", "sources").await? {
            return Ok(());
        }
        // Of calls stored until here it is not known; what they say stays.
        let sources = ColumnDef::new(Calls::Sources)
            .big_integer()
            .not_null()
            .default(0)
            .to_owned();
        let table = Table::alter().table(Calls::Table).add_column(sources).to_owned();
        manager.alter_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Calls::Table)
            .drop_column(Calls::Sources)
            .to_owned();
        manager.alter_table(table).await
    }
}
