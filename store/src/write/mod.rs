//! From a batch to its commit: the queue, the preparation of a group, folding, the committer.

pub(crate) mod committer;
pub(crate) mod fold;
pub(crate) mod footprint;
pub(crate) mod incoming;
pub(crate) mod neighbourhood;
pub(crate) mod prepare;
pub(crate) mod queue;
