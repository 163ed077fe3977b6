//! JSON-RPC messages, read while they stream by: bytes in any pieces go in, [`Message`]s come out. Nothing is
//! parsed into a tree and no message is held whole, so that an answer of any size costs the same memory.

mod events;
mod excerpt;
mod id;
mod lines;
mod message;
mod places;
mod scanner;

pub(crate) use events::{Event, EventStream};
pub(crate) use excerpt::{Excerpt, Taking, boundary};
pub(crate) use id::Id;
pub(crate) use lines::Lines;
pub(crate) use message::Message;
pub(crate) use places::Field;
pub(crate) use scanner::{Scan, Scanner};
