//! The history of mcptap's tables, each step frozen
