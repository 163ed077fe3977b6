//! Who may do what: API keys, what was done with their rights, and the views that people save.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum ApiKeys {
    Table,
    Id,
    Name,
    Hash,
    Scopes,
    Servers,
    CreatedAt,
    ExpiresAt,
    LastUsedAt,
    RevokedAt,
}

#[derive(DeriveIden)]
enum Audit {
    Table,
    Id,
    At,
    Key,
    What,
    Subject,
}

#[derive(DeriveIden)]
enum Views {
    Table,
    Id,
    Name,
    Owner,
    Filter,
    Columns,
    CreatedAt,
    UpdatedAt,
}

/// A key that grows and is never given out twice.
fn numbered(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .auto_increment()
        .primary_key()
        .to_owned()
}

fn text(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).text().not_null().to_owned()
}

fn moment(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(ApiKeys::Table)
                    .col(numbered(ApiKeys::Id))
                    .col(text(ApiKeys::Name))
                    // SHA-256 of the secret, which itself is nowhere.
                    .col(
                        ColumnDef::new(ApiKeys::Hash)
                            .binary_len(32)
                            .not_null()
                            .unique_key(),
                    )
                    // A bit for each scope.
                    .col(ColumnDef::new(ApiKeys::Scopes).small_integer().not_null())
                    // A JSON list of names; null: all servers.
                    .col(ColumnDef::new(ApiKeys::Servers).text())
                    .col(moment(ApiKeys::CreatedAt))
                    .col(ColumnDef::new(ApiKeys::ExpiresAt).big_integer())
                    .col(ColumnDef::new(ApiKeys::LastUsedAt).big_integer())
                    .col(ColumnDef::new(ApiKeys::RevokedAt).big_integer())
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Audit::Table)
                    // Read from the end.
                    .col(numbered(Audit::Id))
                    .col(moment(Audit::At))
                    // Into `api_keys`; null: nobody had a key yet, or the command line.
                    .col(ColumnDef::new(Audit::Key).big_integer())
                    .col(text(Audit::What))
                    .col(text(Audit::Subject))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Views::Table)
                    .col(numbered(Views::Id))
                    .col(text(Views::Name))
                    // Into `api_keys`; null: everybody's.
                    .col(ColumnDef::new(Views::Owner).big_integer())
                    .col(text(Views::Filter))
                    .col(text(Views::Columns))
                    .col(moment(Views::CreatedAt))
                    .col(moment(Views::UpdatedAt))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Views::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Audit::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(ApiKeys::Table).to_owned())
            .await
    }
}
