//! `LogLine`: a line of a call's console output.

use async_graphql::Object;
use mcptap_store::{LogPosition, Page};

use crate::connection::Connection;
use crate::cursor::Cursor;
use crate::scalars::{DateTime, Json};

/// A line of console output that was written during a call.
pub(crate) struct LogLine(mcptap_model::LogLine);

impl LogLine {
    pub(crate) fn page(page: Page<(LogPosition, mcptap_model::LogLine)>) -> Connection<Self> {
        Connection::new(
            page.items,
            (page.has_previous, page.has_next),
            |(position, line)| (position.encode(), Self(line)),
        )
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
        DateTime(self.0.time)
    }

    /// How serious it is, in the sender's own word where there is one: `INFO`, `warning`, `ERROR`.
    async fn severity(&self) -> &str {
        &self.0.severity
    }

    /// The message. A structured message is JSON.
    async fn body(&self) -> &str {
        &self.0.body
    }

    /// An object with everything else that the sender said of the line, by attribute name.
    async fn attributes(&self) -> Json {
        Json::object(&self.0.attributes)
    }
}
