//! mcptap
