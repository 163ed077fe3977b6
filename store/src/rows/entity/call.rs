//! A row of `calls`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "calls")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) trace_hi: i64,
    pub(crate) trace_lo: i64,
    pub(crate) span_id: i64,
    /// `None`: the same as `span_id`.
    pub(crate) primary_span_id: Option<i64>,
    pub(crate) parent_span_id: Option<i64>,
    /// Nanoseconds since 1970.
    pub(crate) started_at: i64,
    /// Nanoseconds.
    pub(crate) duration: i64,
    /// Nanoseconds since 1970.
    pub(crate) received_at: i64,
    /// The number of the last change that completed it.
    pub(crate) updated_seq: Option<i64>,
    /// Into `names`.
    pub(crate) server: i64,
    /// Into `names`.
    pub(crate) method: i64,
    /// Into `names`.
    pub(crate) tool: Option<i64>,
    /// Into `names`.
    pub(crate) prompt: Option<i64>,
    pub(crate) resource_uri: Option<String>,
    /// Into `sessions`.
    pub(crate) session: Option<i64>,
    /// Into `origins`.
    pub(crate) origin: i64,
    /// Into `clients`.
    pub(crate) client: i64,
    pub(crate) kind: i16,
    pub(crate) vantage: i16,
    pub(crate) evidence: i16,
    pub(crate) sources: i64,
    /// Follows from other columns; kept for filters.
    pub(crate) outcome: i16,
    /// 1: the server's name is its own; 0: it is its service's.
    pub(crate) named: i16,
    pub(crate) http_status: Option<i32>,
    pub(crate) rpc_error_code: Option<i32>,
    /// Into `names`.
    pub(crate) error_type: Option<i64>,
    pub(crate) error_message: Option<String>,
    pub(crate) request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
