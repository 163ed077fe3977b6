//! Whether the processes of running calls live.

pub(crate) mod silence;
