//! The forms of what is stored: entities, their rows, the dictionary that stores names once, compressed bodies, bounds.

pub(crate) mod body;
pub(crate) mod bounds;
pub(crate) mod cache;
pub(crate) mod dictionary;
pub(crate) mod entity;
pub(crate) mod hash;
pub(crate) mod intern;
pub(crate) mod row;
