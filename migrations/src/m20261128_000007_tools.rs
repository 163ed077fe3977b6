//! The calls of a tool of a server: which tools there are is found by jumping from one to the next. Calls of a tool are
//! read server by server, so the index by tool and time is not needed any more, and writing costs what it did. Errors have
//! an index of their own: one seek finds that a tool has none, however many calls it has.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(
            "CREATE INDEX calls_tool_server ON calls (tool, server, started_at) WHERE tool IS NOT NULL",
        )
        .await?;
        db.execute_unprepared(
            "CREATE INDEX calls_tool_errors ON calls (tool, server, started_at) \
                WHERE tool IS NOT NULL AND outcome IN (1, 2, 3)",
        )
        .await?;
        db.execute_unprepared("DROP INDEX calls_tool").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("CREATE INDEX calls_tool ON calls (tool, started_at) WHERE tool IS NOT NULL")
            .await?;
        db.execute_unprepared("DROP INDEX calls_tool_errors").await?;
        db.execute_unprepared("DROP INDEX calls_tool_server").await?;
        Ok(())
    }
}
