//! For mcptap's own wrapper and proxy, and without any promise: it may change in every version.

pub use crate::capture::CaptureDefaults;
pub use crate::context::is_traceparent;
#[cfg(feature = "http")]
pub use crate::layer::{Abandoned, NotForwarded, Receipt, RequestTrace};
pub use crate::pipe::Pipe;
pub use crate::telemetry::check_env;
#[cfg(feature = "tls")]
pub use crate::telemetry::is_no_tls;
