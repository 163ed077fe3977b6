//! The types of the API, one file each: newtypes over the model and the store's answers.

mod api_key;
mod audit;
mod call;
mod calls;
mod count;
mod enums;
mod facets;
mod feed;
mod log_line;
mod node;
mod payload;
mod refusal;
mod server;
mod session;
mod stats;
mod tool;
mod view;
mod viewer;

pub(crate) use api_key::{ApiKey, Scope};
pub(crate) use audit::AuditEntry;
pub(crate) use call::Call;
pub(crate) use calls::CallConnection;
pub(crate) use count::Count;
pub(crate) use enums::{CallKind, Outcome, SessionSource, Transport, Vantage};
pub(crate) use facets::{CallFacets, wanted};
pub(crate) use feed::{CallFeedEvent, CallsAdded, CallsUpdated, CaughtUp};
pub(crate) use log_line::LogLine;
pub(crate) use node::Node;
pub(crate) use refusal::{Forbidden, InvalidInput, NotFound, Refusal};
pub(crate) use server::Server;
pub(crate) use session::Session;
pub(crate) use stats::{CallStats, wanted_buckets};
pub(crate) use tool::Tool;
pub(crate) use view::{View, reach};
pub(crate) use viewer::Viewer;
