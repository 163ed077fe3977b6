//! Forgetting: by age, by an administrator's order, and the files compacted afterwards.

pub(crate) mod cleanup;
pub(crate) mod compact;
pub(crate) mod erase;
pub(crate) mod expire;
pub(crate) mod orphans;
pub(crate) mod pace;
pub(crate) mod slack;
