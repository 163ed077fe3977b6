//! Calls, what hangs on them, what they share, and what waits for them.
//!
//! Ids of spans and traces are integers (their bytes, most significant first), names are integers into `names`, and
//! what many calls share (client, session, origin) is stored once and found again by a hash. So no index holds wide
//! text, and a call's row stays short.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Sequence {
    Table,
    Id,
    Value,
    Epoch,
}

#[derive(DeriveIden)]
enum Names {
    Table,
    Id,
    Hash,
    Kind,
    Text,
}

#[derive(DeriveIden)]
enum Clients {
    Table,
    Id,
    Hash,
    Name,
    Version,
    Ip,
    Country,
    Authorization,
    UserAgent,
    ProtocolVersion,
    Transport,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    Hash,
    Server,
    Source,
    Key,
    KeyHash,
    Wire,
    WireHash,
}

#[derive(DeriveIden)]
enum Origins {
    Table,
    Id,
    Hash,
    Service,
    Instance,
    Scope,
    ScopeVersion,
    Resource,
}

#[derive(DeriveIden)]
enum Calls {
    Table,
    Id,
    TraceHi,
    TraceLo,
    SpanId,
    PrimarySpanId,
    ParentSpanId,
    StartedAt,
    Duration,
    ReceivedAt,
    UpdatedSeq,
    Server,
    Method,
    Tool,
    Prompt,
    ResourceUri,
    Session,
    Origin,
    Client,
    Kind,
    Vantage,
    Evidence,
    Outcome,
    Named,
    HttpStatus,
    RpcErrorCode,
    ErrorType,
    ErrorMessage,
    RequestId,
}

#[derive(DeriveIden)]
enum Details {
    Table,
    Call,
    Request,
    RequestBytes,
    Response,
    ResponseBytes,
    StackTrace,
    Attributes,
    Flags,
}

#[derive(DeriveIden)]
enum LogLines {
    Table,
    Call,
    Time,
    Fingerprint,
    TraceHi,
    TraceLo,
    SpanId,
    Severity,
    Body,
    Attributes,
}

#[derive(DeriveIden)]
enum Aliases {
    Table,
    TraceHi,
    TraceLo,
    SpanId,
    Call,
    ArrivedAt,
}

#[derive(DeriveIden)]
enum Waiting {
    Table,
    Id,
    TraceLo,
    Fingerprint,
    Kind,
    Call,
    Origin,
    Data,
    ArrivedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        shared(manager).await?;
        calls(manager).await?;
        joining(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Waiting::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Aliases::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(LogLines::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Details::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Calls::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Origins::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Sessions::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Clients::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Names::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Sequence::Table).to_owned())
            .await
    }
}

/// An integer column that is never null.
fn integer(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

/// A small code that is never null.
fn code(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).small_integer().not_null().to_owned()
}

/// The key of an interned thing. Never given out twice, so that a cached id can never mean something else later.
fn interned(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .auto_increment()
        .primary_key()
        .to_owned()
}

/// The hash by which an interned thing is found again (16 bytes).
fn hash(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name)
        .binary_len(16)
        .not_null()
        .unique_key()
        .to_owned()
}

/// What calls share, and the counter that orders them.
async fn shared(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(Sequence::Table)
                .col(
                    ColumnDef::new(Sequence::Id)
                        .small_integer()
                        .not_null()
                        .primary_key(),
                )
                // The number of the last change. Whoever writes locks this row first, so order of commit is order
                // of numbers.
                .col(integer(Sequence::Value))
                // Moves when interned rows are deleted: ids cached before may be gone.
                .col(integer(Sequence::Epoch))
                .to_owned(),
        )
        .await?;
    manager
        .execute(
            Query::insert()
                .into_table(Sequence::Table)
                .columns([Sequence::Id, Sequence::Value, Sequence::Epoch])
                .values_panic([1.into(), 0.into(), 0.into()])
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Names::Table)
                .col(interned(Names::Id))
                .col(hash(Names::Hash))
                .col(code(Names::Kind))
                .col(ColumnDef::new(Names::Text).text().not_null())
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Clients::Table)
                .col(interned(Clients::Id))
                .col(hash(Clients::Hash))
                .col(ColumnDef::new(Clients::Name).text())
                .col(ColumnDef::new(Clients::Version).text())
                .col(ColumnDef::new(Clients::Ip).text())
                .col(ColumnDef::new(Clients::Country).text())
                .col(ColumnDef::new(Clients::Authorization).text())
                .col(ColumnDef::new(Clients::UserAgent).text())
                .col(ColumnDef::new(Clients::ProtocolVersion).text())
                .col(ColumnDef::new(Clients::Transport).small_integer())
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Sessions::Table)
                .col(interned(Sessions::Id))
                .col(hash(Sessions::Hash))
                .col(integer(Sessions::Server))
                // Source and key are null where a call has a wire id but belongs to no session.
                .col(ColumnDef::new(Sessions::Source).small_integer())
                .col(ColumnDef::new(Sessions::Key).text())
                .col(ColumnDef::new(Sessions::KeyHash).big_integer())
                .col(ColumnDef::new(Sessions::Wire).text())
                .col(ColumnDef::new(Sessions::WireHash).big_integer())
                .to_owned(),
        )
        .await?;
    // filter sessionId, given a wire id
    manager
        .create_index(index("sessions_wire", Sessions::Table, [Sessions::WireHash]))
        .await?;
    // filter sessionId, given the id of a session
    manager
        .create_index(index("sessions_key", Sessions::Table, [Sessions::KeyHash]))
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Origins::Table)
                .col(interned(Origins::Id))
                .col(hash(Origins::Hash))
                .col(ColumnDef::new(Origins::Service).text())
                .col(ColumnDef::new(Origins::Instance).text())
                .col(ColumnDef::new(Origins::Scope).text().not_null())
                .col(ColumnDef::new(Origins::ScopeVersion).text())
                .col(ColumnDef::new(Origins::Resource).binary().not_null())
                .to_owned(),
        )
        .await
}

fn index<const N: usize>(
    name: &str,
    table: impl IntoIden,
    columns: [impl IntoIden; N],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table.into_iden());
    for column in columns {
        index.col(column.into_iden());
    }
    index
}

/// The calls and what only they have.
async fn calls(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table(Calls::Table)
                // The number of the change that added it: the feed reads additions along the primary key.
                .col(ColumnDef::new(Calls::Id).big_integer().not_null().primary_key())
                .col(integer(Calls::TraceHi))
                .col(integer(Calls::TraceLo))
                .col(integer(Calls::SpanId))
                .col(ColumnDef::new(Calls::PrimarySpanId).big_integer())
                .col(ColumnDef::new(Calls::ParentSpanId).big_integer())
                .col(integer(Calls::StartedAt))
                .col(integer(Calls::Duration))
                .col(integer(Calls::ReceivedAt))
                .col(ColumnDef::new(Calls::UpdatedSeq).big_integer())
                .col(integer(Calls::Server))
                .col(integer(Calls::Method))
                .col(ColumnDef::new(Calls::Tool).big_integer())
                .col(ColumnDef::new(Calls::Prompt).big_integer())
                .col(ColumnDef::new(Calls::ResourceUri).text())
                .col(ColumnDef::new(Calls::Session).big_integer())
                .col(integer(Calls::Origin))
                .col(integer(Calls::Client))
                .col(code(Calls::Kind))
                .col(code(Calls::Vantage))
                .col(code(Calls::Evidence))
                .col(code(Calls::Outcome))
                // Whether the server's name is its own (1) or its service's (0).
                .col(code(Calls::Named))
                .col(ColumnDef::new(Calls::HttpStatus).integer())
                .col(ColumnDef::new(Calls::RpcErrorCode).integer())
                .col(ColumnDef::new(Calls::ErrorType).big_integer())
                .col(ColumnDef::new(Calls::ErrorMessage).text())
                .col(ColumnDef::new(Calls::RequestId).text())
                .to_owned(),
        )
        .await?;
    // one row per span; call(id); filter traceId; joining the spans of a trace
    manager
        .create_index(
            index("calls_span", Calls::Table, [Calls::TraceLo, Calls::SpanId])
                .unique()
                .take(),
        )
        .await?;
    // pages of all calls, time windows, retention
    manager
        .create_index(index("calls_started", Calls::Table, [Calls::StartedAt]))
        .await?;
    // pages and facets of a server; when it was first and last seen
    manager
        .create_index(index(
            "calls_server",
            Calls::Table,
            [Calls::Server, Calls::StartedAt],
        ))
        .await?;
    // a session's calls
    manager
        .create_index(index(
            "calls_session",
            Calls::Table,
            [Calls::Session, Calls::StartedAt],
        ))
        .await?;
    // pages of a tool
    manager
        .create_index(
            index("calls_tool", Calls::Table, [Calls::Tool, Calls::StartedAt])
                .and_where(Expr::col(Calls::Tool).is_not_null())
                .take(),
        )
        .await?;
    // pages of errors
    manager
        .create_index(
            index("calls_errors", Calls::Table, [Calls::StartedAt])
                .and_where(Expr::col(Calls::Outcome).is_in([1, 2, 3]))
                .take(),
        )
        .await?;
    // the feed's updates
    manager
        .create_index(
            index("calls_updated", Calls::Table, [Calls::UpdatedSeq])
                .and_where(Expr::col(Calls::UpdatedSeq).is_not_null())
                .take(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Details::Table)
                .col(
                    ColumnDef::new(Details::Call)
                        .big_integer()
                        .not_null()
                        .primary_key(),
                )
                .col(ColumnDef::new(Details::Request).binary())
                .col(ColumnDef::new(Details::RequestBytes).big_integer())
                .col(ColumnDef::new(Details::Response).binary())
                .col(ColumnDef::new(Details::ResponseBytes).big_integer())
                .col(ColumnDef::new(Details::StackTrace).binary())
                .col(ColumnDef::new(Details::Attributes).binary())
                .col(code(Details::Flags))
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table(LogLines::Table)
                .col(integer(LogLines::Call))
                .col(integer(LogLines::Time))
                .col(integer(LogLines::Fingerprint))
                .col(integer(LogLines::TraceHi))
                .col(integer(LogLines::TraceLo))
                .col(ColumnDef::new(LogLines::SpanId).big_integer())
                .col(ColumnDef::new(LogLines::Severity).text().not_null())
                .col(ColumnDef::new(LogLines::Body).binary().not_null())
                .col(ColumnDef::new(LogLines::Attributes).binary())
                // a call's lines in order; the same line delivered twice is one
                .primary_key(
                    Index::create()
                        .col(LogLines::Call)
                        .col(LogLines::Time)
                        .col(LogLines::Fingerprint),
                )
                .to_owned(),
        )
        .await
}

/// What is needed to make one call of several spans, whatever order they come in.
async fn joining(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // On SQLite the primary key is the table: no second copy of the key.
    let clustered = if manager.get_database_backend() == DatabaseBackend::Sqlite {
        "WITHOUT ROWID"
    } else {
        ""
    };
    manager
        .create_table(
            Table::create()
                .table(Aliases::Table)
                .col(integer(Aliases::TraceLo))
                .col(integer(Aliases::SpanId))
                .col(integer(Aliases::TraceHi))
                // Null: the span is known to be no request at all.
                .col(ColumnDef::new(Aliases::Call).big_integer())
                .col(integer(Aliases::ArrivedAt))
                // joining; call(id) by a span that was folded into it
                .primary_key(Index::create().col(Aliases::TraceLo).col(Aliases::SpanId))
                .extra(clustered)
                .to_owned(),
        )
        .await?;
    // removing a call's aliases, moving them to another; forgetting those of no call
    manager
        .create_index(index(
            "aliases_call",
            Aliases::Table,
            [Aliases::Call, Aliases::ArrivedAt],
        ))
        .await?;
    manager
        .create_table(
            Table::create()
                .table(Waiting::Table)
                // Grows with arrival: expiry reads along it.
                .col(interned(Waiting::Id))
                .col(integer(Waiting::TraceLo))
                .col(integer(Waiting::Fingerprint))
                .col(code(Waiting::Kind))
                .col(ColumnDef::new(Waiting::Call).big_integer())
                .col(ColumnDef::new(Waiting::Origin).big_integer())
                .col(ColumnDef::new(Waiting::Data).binary().not_null())
                .col(integer(Waiting::ArrivedAt))
                .to_owned(),
        )
        .await?;
    // joining; a redelivery is one row
    manager
        .create_index(
            index(
                "waiting_trace",
                Waiting::Table,
                [Waiting::TraceLo, Waiting::Fingerprint],
            )
            .unique()
            .take(),
        )
        .await?;
    // the links of a call that becomes part of another
    manager
        .create_index(
            index("waiting_call", Waiting::Table, [Waiting::Call])
                .and_where(Expr::col(Waiting::Call).is_not_null())
                .take(),
        )
        .await
}
