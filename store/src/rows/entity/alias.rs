//! A row of `aliases`: a span that was folded into a call.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "aliases")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) trace_lo: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) span_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) trace_hi: i64,
    /// Into `calls`; `None`: the span is no request at all.
    pub(crate) call: Option<i64>,
    /// Nanoseconds since 1970.
    pub(crate) arrived_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
