//! x
use crate::Schema;
/// x
pub struct Options {}
/// x
pub fn router(_schema: Schema, _options: Options) -> axum::Router { axum::Router::new() }
