//! `impl Store`: the console output of calls.

use std::collections::HashMap;

use mcptap_model::LogLine;

use crate::{Error, LogPosition, Page, PageRequest, Store};

impl Store {
    /// The console output of the calls in these rows, oldest first: the same page of each, in one query. Every row
    /// asked for has an entry.
    pub async fn logs(
        &self,
        _rows: &[i64],
        _page: PageRequest<LogPosition>,
    ) -> Result<HashMap<i64, Page<(LogPosition, LogLine)>>, Error> {
        Err(Error::Unsupported)
    }
}
