//! `LogLine`: a line of a call's console output.

use std::sync::Arc;

use async_graphql::{Context, Error, Object};
use mcptap_store::{LogPosition, Page};

use crate::connection::Connection;
use crate::cost::Allowance;
use crate::cursor::Cursor;
use crate::loaders::store;
use crate::scalars::{DateTime, Json, json_bytes};

/// A page of lines, as it was read: several fields may ask for the same.
type Lines = Arc<Page<(LogPosition, mcptap_model::LogLine)>>;

/// A line of console output that was written during a call.
pub(crate) struct LogLine {
    page: Lines,
    /// Which line of the page.
    index: usize,
}

impl LogLine {
    pub(crate) fn page(page: &Lines) -> Connection<Self> {
        let around = (page.has_previous, page.has_next);
        let lines = page.items.iter().enumerate().collect();
        Connection::new(lines, around, |(index, (position, _))| {
            let page = Arc::clone(page);
            (position.encode(), Self { page, index })
        })
    }

    fn get<'a, T>(&'a self, part: impl FnOnce(&'a mcptap_model::LogLine) -> T) -> Option<T> {
        self.page.items.get(self.index).map(|(_, line)| part(line))
    }

    pub(crate) fn none() -> Connection<Self> {
        Connection::new(Vec::<Self>::new(), (false, false), |line| (String::new(), line))
    }
}

/// A line of console output that was written during a call.
#[Object]
impl LogLine {
    /// When it was written.
    async fn time(&self) -> DateTime {
        DateTime(self.get(|line| line.time).unwrap_or_default())
    }

    /// How serious it is, in the sender's own word where there is one: `INFO`, `warning`, `ERROR`.
    async fn severity(&self) -> &str {
        self.get(|line| line.severity.as_str()).unwrap_or_default()
    }

    /// The message. A structured message is JSON.
    async fn body(&self) -> &str {
        self.get(|line| line.body.as_str()).unwrap_or_default()
    }

    /// An object with everything else that the sender said of the line, by attribute name.
    async fn attributes(&self, ctx: &Context<'_>) -> Result<Json, Error> {
        let bytes = self.get(|line| json_bytes(&line.attributes)).unwrap_or_default();
        let (page, index) = (Arc::clone(&self.page), self.index);
        let write = move || {
            let line = page.items.get(index);
            line.map_or_else(Json::null, |(_, line)| Json::object(&line.attributes))
        };
        Allowance::of(ctx)?.work(store(ctx)?.cpu(), bytes, write).await
    }
}
