//! The index of words: what `search` looks up. It is built behind the writes, from calls in the order of their changes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Sequence {
    Table,
    Indexed,
}

#[derive(DeriveIden)]
enum Unindexed {
    Table,
    Call,
    Seq,
}

/// A call's row and its keys, which have no white space and no punctuation of ASCII. Only which calls have a key is kept,
/// neither where nor how often. What a transaction brings is gathered in memory (bytes): many small parts would have to be
/// merged again and again.
const SQLITE: &str = "CREATE VIRTUAL TABLE search USING fts5(words, content = '', contentless_delete = 1, \
    detail = none, tokenize = 'ascii'); \
    INSERT INTO search (search, rank) VALUES ('hashsize', 16777216)";

/// The same. A call's row is named as SQLite names it.
const POSTGRES: &str = "CREATE TABLE search (rowid bigint PRIMARY KEY, words tsvector NOT NULL); \
    CREATE INDEX search_words ON search USING gin (words)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The last change that the index knows.
        let indexed = ColumnDef::new(Sequence::Indexed)
            .big_integer()
            .not_null()
            .default(0)
            .to_owned();
        manager
            .alter_table(
                Table::alter()
                    .table(Sequence::Table)
                    .add_column(indexed)
                    .to_owned(),
            )
            .await?;
        // Calls that the index does not know as they are, though it knows their last change: after which change that is.
        manager
            .create_table(
                Table::create()
                    .table(Unindexed::Table)
                    .col(
                        ColumnDef::new(Unindexed::Call)
                            .big_integer()
                            .not_null()
                            .primary_key(),
                    )
                    .col(ColumnDef::new(Unindexed::Seq).big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        let index = match manager.get_database_backend() {
            DatabaseBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared("DROP TABLE search")
            .await?;
        manager
            .drop_table(Table::drop().table(Unindexed::Table).to_owned())
            .await?;
        manager
            .alter_table(
                Table::alter()
                    .table(Sequence::Table)
                    .drop_column(Sequence::Indexed)
                    .to_owned(),
            )
            .await
    }
}
