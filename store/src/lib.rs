//! The only part of mcptap that touches the database: write, announce, ask
