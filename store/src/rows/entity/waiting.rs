//! A row of `waiting`: what came before its call.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "waiting")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) trace_lo: i64,
    /// `None`: stored by a version that did not keep it.
    pub(crate) trace_hi: Option<i64>,
    /// A hash of what waits.
    pub(crate) fingerprint: i64,
    /// See `row::Waiting`.
    pub(crate) kind: i16,
    /// Of a link: the call it is of.
    pub(crate) call: Option<i64>,
    /// Of an HTTP span: into `origins`.
    pub(crate) origin: Option<i64>,
    /// The span that it refers to: an HTTP span's parent, the span that a line names, a link's target.
    pub(crate) span_id: Option<i64>,
    /// When an HTTP span ended, or when a line was written, in nanoseconds since 1970.
    pub(crate) ended_at: Option<i64>,
    /// JSON.
    pub(crate) data: Vec<u8>,
    /// Nanoseconds since 1970.
    pub(crate) arrived_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
