//! A number by which a database is told from every other, so that a position in the feed of one is not taken for a
//! position in that of another.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Sequence {
    Table,
    Identity,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let identity = ColumnDef::new(Sequence::Identity)
            .big_integer()
            .not_null()
            .default(0)
            .to_owned();
        manager
            .alter_table(
                Table::alter()
                    .table(Sequence::Table)
                    .add_column(identity)
                    .to_owned(),
            )
            .await?;
        let random = match manager.get_database_backend() {
            DatabaseBackend::Postgres => {
                "UPDATE sequence SET identity = \
                 ('x' || substr(md5(random()::text || clock_timestamp()::text), 1, 16))::bit(64)::bigint"
            }
            _ => "UPDATE sequence SET identity = random()",
        };
        manager.get_connection().execute_unprepared(random).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Sequence::Table)
            .drop_column(Sequence::Identity)
            .to_owned();
        manager.alter_table(table).await
    }
}
