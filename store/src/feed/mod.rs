//! What was committed, in order of commit: the window in memory, the database behind it, and followers that are woken.

pub(crate) mod changes;
pub(crate) mod follower;
pub(crate) mod reach;
pub(crate) mod recent;
pub(crate) mod tail;
pub(crate) mod wakeups;
