//! Answers of OTLP over gRPC.

use http::HeaderMap;
use tonic::Code;
use tonic_types::StatusExt;

use super::partial::Partial;
use super::{LONGEST_WISH, NO_CREDENTIALS, ONE_TOO_LARGE, Verdict, cut};
use crate::telemetry::signal::Signal;

impl Verdict {
    /// What an answer means whose status is in the first of these heads that has one. None where none has.
    pub(in crate::telemetry) fn of_grpc(
        signal: Signal,
        heads: [Option<&HeaderMap>; 2],
        message: &[u8],
    ) -> Option<Self> {
        let mut heads = heads.into_iter().flatten();
        let status = heads.find_map(tonic::Status::from_header_map)?;
        Some(Self::of_status(signal, &status, message))
    }

    /// What an answer of OTLP over gRPC means; `message` is the body of a success.
    pub(super) fn of_status(signal: Signal, status: &tonic::Status, message: &[u8]) -> Self {
        let after = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .map(|delay| delay.min(LONGEST_WISH));
        let code = status.code();
        let said = cut(status.message());
        let why = format!("gRPC {code:?}: {said}{}", grpc_advice(code));
        let unread = matches!(
            code,
            Code::Unimplemented | Code::InvalidArgument | Code::Internal | Code::Unknown
        );
        let is_temporary = match code {
            // The status says enough where the message cannot be read.
            Code::Ok => return Partial::of_protobuf(signal, message).unwrap_or_default().into(),
            // With a delay it means what OTLP says of them. Without one it is how receivers say that a request is
            // larger than they take, and then no attempt with the same would be the last.
            Code::ResourceExhausted | Code::OutOfRange if after.is_none() => {
                return Self::TooLarge { why };
            }
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Unauthenticated => false,
            Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => true,
        };
        if is_temporary {
            Self::Later {
                why,
                after,
                answered: true,
                unread,
            }
        } else {
            Self::Refused { why, unread }
        }
    }
}

fn grpc_advice(code: Code) -> String {
    let advice = match code {
        Code::Unauthenticated | Code::PermissionDenied => NO_CREDENTIALS,
        Code::Unimplemented | Code::NotFound => {
            "nothing takes OTLP over gRPC at this address; a collector's port for it is mostly 4317"
        }
        Code::ResourceExhausted | Code::OutOfRange => ONE_TOO_LARGE,
        _ => return String::new(),
    };
    format!(" ({advice})")
}
