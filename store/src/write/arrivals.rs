//! When exports came first whose lines have no time of their own.
//!
//! Such lines are of the moment at which they came. A sender that hears no answer sends them again, and to be the same lines
//! they must be of the same moment then: that of the first time. It is kept until the sender hears that they are stored, and
//! no longer than anything waits for its call, also over a restart and for other processes.

use mcptap_model::{LogLine, UnixNanos};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use tokio::time::timeout;

use crate::db::database::Database;
use crate::rows::entity::waiting;
use crate::rows::hash::Identity;
use crate::rows::row::{kind, log_fingerprint, trace_halves};
use crate::{Error, WriteError, Writer};

/// The key of an export, by its lines that have no time (zero) and their order: the same export has the same again.
pub fn export_key(lines: &[LogLine]) -> i64 {
    let mut identity = Identity::default();
    let identity = identity.start(b'e');
    for line in lines {
        let (trace_hi, trace_lo) = trace_halves(line.trace_id);
        identity
            .number(trace_hi)
            .number(trace_lo)
            .text(line.service.as_deref())
            .number(log_fingerprint(line));
    }
    identity.hash8()
}

impl Writer {
    /// When the export with this key came first, if that is remembered; else it is remembered that it came at `at`.
    ///
    /// # Errors
    /// The database failed, or did not answer in time; asking again is safe.
    pub async fn first_arrival(&self, export: i64, at: UnixNanos) -> Result<UnixNanos, WriteError> {
        let database = self.database();
        match timeout(database.write_limit(), first(database, export, at)).await {
            Ok(first) => Ok(first?),
            Err(_) => Err(WriteError::Lost),
        }
    }

    /// Forgets when the export with this key came, as its sender hears that it is stored: one that says the same comes later by
    /// itself.
    ///
    /// # Errors
    /// The database failed, or did not answer in time.
    pub async fn forget_arrival(&self, export: i64) -> Result<(), WriteError> {
        let database = self.database();
        match timeout(database.write_limit(), forget(database, export)).await {
            Ok(forgotten) => Ok(forgotten?),
            Err(_) => Err(WriteError::Lost),
        }
    }
}

async fn forget(database: &Database, export: i64) -> Result<(), Error> {
    let tx = database.change().await?;
    waiting::Entity::delete_many()
        .filter(waiting::Column::TraceLo.eq(export))
        .filter(waiting::Column::Fingerprint.eq(fingerprint(export)))
        .exec(&tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Of the row that remembers an export.
fn fingerprint(export: i64) -> i64 {
    Identity::default().start(b'x').number(export).hash8()
}

async fn first(database: &Database, export: i64, at: UnixNanos) -> Result<UnixNanos, Error> {
    let tx = database.change().await?;
    let fingerprint = fingerprint(export);
    let row = waiting::ActiveModel {
        trace_lo: ActiveValue::Set(export),
        fingerprint: ActiveValue::Set(fingerprint),
        kind: ActiveValue::Set(kind::EXPORT),
        data: ActiveValue::Set(Vec::new()),
        arrived_at: ActiveValue::Set(at.0),
        ..waiting::ActiveModel::default()
    };
    let mut known = OnConflict::columns([waiting::Column::TraceLo, waiting::Column::Fingerprint]);
    waiting::Entity::insert(row)
        .on_conflict(known.do_nothing().to_owned())
        .exec_without_returning(&tx)
        .await?;
    let first: Option<i64> = waiting::Entity::find()
        .select_only()
        .column(waiting::Column::ArrivedAt)
        .filter(waiting::Column::TraceLo.eq(export))
        .filter(waiting::Column::Fingerprint.eq(fingerprint))
        .into_tuple()
        .one(&tx)
        .await?;
    tx.commit().await?;
    Ok(first.map_or(at, UnixNanos))
}
