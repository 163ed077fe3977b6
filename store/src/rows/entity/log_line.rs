//! A row of `log_lines`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "log_lines")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) call: i64,
    /// Nanoseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) time: i64,
    /// A hash of the whole line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) fingerprint: i64,
    pub(crate) trace_hi: i64,
    pub(crate) trace_lo: i64,
    pub(crate) span_id: Option<i64>,
    pub(crate) severity: String,
    pub(crate) body: Vec<u8>,
    /// A JSON object; `None` when empty.
    pub(crate) attributes: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
