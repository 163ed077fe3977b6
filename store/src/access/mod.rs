//! Who may ask and write: API keys, failed attempts, the audit log, saved views.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod gate;
pub(crate) mod key_set;
pub(crate) mod keys;
pub(crate) mod saved_views;
pub(crate) mod secret;
