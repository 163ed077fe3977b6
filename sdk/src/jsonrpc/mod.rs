//! JSON-RPC messages, read while they stream by: bytes in any pieces go in, [`Message`]s come out. Nothing is
//! parsed into a tree and no message is held whole, so that an answer of any size costs the same memory.

mod excerpt;
mod message;
mod scanner;
mod stream;

pub(crate) use excerpt::Excerpt;
pub(crate) use message::{Field, Id, Message};
pub(crate) use scanner::{Scan, Scanner};
pub(crate) use stream::{EventStream, Lines};
