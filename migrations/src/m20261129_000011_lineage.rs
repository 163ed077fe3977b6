//! How many transactions each process has committed, by which a process knows whether a database still has all that it
//! remembers of it; and a number that changes when one does not.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Sequence {
    Table,
    Lineage,
    Commits,
    Writers,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let number = |name| {
            ColumnDef::new(name)
                .big_integer()
                .not_null()
                .default(0)
                .to_owned()
        };
        // JSON: the number of each process's last transaction.
        let writers = ColumnDef::new(Sequence::Writers)
            .text()
            .not_null()
            .default("{}")
            .to_owned();
        for column in [number(Sequence::Lineage), number(Sequence::Commits), writers] {
            let table = Table::alter()
                .table(Sequence::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Sequence::Writers, Sequence::Commits, Sequence::Lineage] {
            let table = Table::alter()
                .table(Sequence::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
