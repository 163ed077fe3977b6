//! Refusals, and what a sender is told of them: the only such table (OTLP specification, "Failures").

use std::time::Duration;

use mcptap_store::{BudgetExhausted, CpuError, Denied, Error, WriteError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Why an export is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body is no OTLP request. Sending it again is useless.
    #[error("{0}")]
    Malformed(String),
    /// The body is larger than allowed, after decompression.
    #[error("the request is larger than {limit} bytes after decompression; send smaller batches")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// More records at once than the queue ever holds. In parts they can be stored.
    #[error("{0}")]
    TooMany(String),
    /// Neither protobuf nor JSON.
    #[error("content-type {0:?} is not supported; send application/x-protobuf or application/json")]
    MediaType(String),
    /// Codings that are not undone, or too many.
    #[error("content-encoding {0:?} is not supported; send gzip, deflate, zstd or identity")]
    ContentEncoding(String),
    /// Keys exist, and the sender has none that holds.
    #[error("{0}")]
    Unauthenticated(#[from] Denied),
    /// The sender's key is for something else.
    #[error("this API key may not send: it needs the scope ingest")]
    Forbidden,
    /// The queue is full. The same export can be sent again after the delay.
    #[error("the queue is full; send again after {} ms", retry_after.as_millis())]
    Overloaded {
        /// How long to wait.
        retry_after: Duration,
    },
    /// As much is held or worked on as this process may. The same export can be sent again after the delay.
    #[error("{0}")]
    Exhausted(String),
    /// The export made mcptap fail. Sending it again is useless.
    #[error("{0}")]
    Failed(#[from] CpuError),
    /// The collector is stopping, or its database does not answer. The same export can be sent again later.
    #[error("{0}; send again later")]
    Unavailable(String),
}

/// The reason of a refusal in words, as an extension of the answer that tells it to the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// How long to wait when nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Refusal {
    /// gRPC code, HTTP status and the delay after which to send again.
    fn row(&self) -> (Code, u16, Option<Duration>) {
        match self {
            Self::Malformed(_) => (Code::InvalidArgument, 400, None),
            Self::TooLarge { .. } | Self::TooMany(_) => (Code::InvalidArgument, 413, None),
            Self::MediaType(_) | Self::ContentEncoding(_) => (Code::InvalidArgument, 415, None),
            Self::Unauthenticated(Denied::Unavailable) => (Code::Unavailable, 503, Some(RETRY_AFTER)),
            Self::Unauthenticated(_) => (Code::Unauthenticated, 401, None),
            Self::Forbidden => (Code::PermissionDenied, 403, None),
            Self::Overloaded { retry_after } => (Code::ResourceExhausted, 429, Some(*retry_after)),
            Self::Exhausted(_) | Self::Failed(CpuError::Full) => {
                (Code::ResourceExhausted, 429, Some(RETRY_AFTER))
            }
            Self::Failed(CpuError::Panicked) => (Code::Internal, 500, None),
            Self::Unavailable(_) => (Code::Unavailable, 503, Some(RETRY_AFTER)),
        }
    }

    /// The HTTP status.
    pub(crate) fn http_status(&self) -> u16 {
        self.row().1
    }

    /// Seconds for `Retry-After`, at least one.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.row().2.map(|delay| delay.as_secs().max(1))
    }

    /// As a gRPC status, with RetryInfo where sending again can help: without it RESOURCE_EXHAUSTED is final.
    pub(crate) fn grpc_status(&self) -> Status {
        let (code, _, retry_after) = self.row();
        match retry_after {
            Some(delay) => {
                Status::with_error_details(code, self.to_string(), ErrorDetails::with_retry_info(Some(delay)))
            }
            None => Status::new(code, self.to_string()),
        }
    }
}

impl From<BudgetExhausted> for Refusal {
    fn from(error: BudgetExhausted) -> Self {
        if error.is_final() {
            return Self::TooMany(format!(
                "the request takes {} bytes of memory, and {} is all that exports may take; send smaller batches",
                error.wanted, error.limit
            ));
        }
        Self::Exhausted(error.to_string())
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Overloaded { retry_after } => Self::Overloaded { retry_after },
            WriteError::TooLarge { .. } => Self::TooMany(error.to_string()),
            WriteError::Failed(error) => Self::Failed(error),
            WriteError::Closed => Self::Unavailable("the collector is stopping".to_owned()),
            // The writer logs it.
            error => {
                let what = match error {
                    WriteError::Database(error) if error.is_read_only() => {
                        "the database is read-only: its server is a standby, or default_transaction_read_only is on"
                    }
                    WriteError::Database(Error::Full(_)) => "the disk is full",
                    WriteError::Database(
                        Error::Corrupt(_) | Error::Damaged { .. } | Error::Incomplete { .. },
                    ) => "the database is damaged",
                    WriteError::Database(Error::Replaced | Error::LogReplaced) => {
                        "the database's file was deleted, moved or replaced"
                    }
                    WriteError::Database(Error::Refused(_)) => "the database refuses to write",
                    _ => "the database did not take the export",
                };
                Self::Unavailable(what.to_owned())
            }
        }
    }
}
