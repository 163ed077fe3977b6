//! OTLP in, one Call per MCP request out, into the store
