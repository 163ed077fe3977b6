//! How a request ended, and from what that is known.

use serde::{Deserialize, Serialize};

use crate::Sources;

/// How a request ended. Declared in the order of the contract's precedence; OK, and what has no end, come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The client gave up, or the server was told to stop.
    Cancelled,
    /// The tool said `isError`, or raised.
    ToolError,
    /// A JSON-RPC error, also under an HTTP 4xx.
    ProtocolError,
    /// The answer asks the client for more (`resultType: "input_required"`).
    InputRequired,
    /// Refused or broken without an MCP answer (401, 403, 404, 5xx, timeout, closed).
    TransportError,
    /// Answered.
    Ok,
    /// Begun, and not ended yet.
    Running,
    /// Its process or its connection was gone before it ended.
    Lost,
}

impl Outcome {
    /// Every outcome, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Cancelled,
        Self::ToolError,
        Self::ProtocolError,
        Self::InputRequired,
        Self::TransportError,
        Self::Ok,
        Self::Running,
        Self::Lost,
    ];

    /// Whether it counts as an error: TOOL_ERROR, PROTOCOL_ERROR and TRANSPORT_ERROR do.
    pub fn is_error(self) -> bool {
        matches!(self, Self::ToolError | Self::ProtocolError | Self::TransportError)
    }

    /// Whether it has ended: of RUNNING and LOST no duration is known.
    pub fn has_end(self) -> bool {
        !matches!(self, Self::Running | Self::Lost)
    }

    /// The number stored for it. Frozen: never renumber.
    pub fn code(self) -> i16 {
        match self {
            Self::Ok => 0,
            Self::ToolError => 1,
            Self::ProtocolError => 2,
            Self::TransportError => 3,
            Self::InputRequired => 4,
            Self::Cancelled => 5,
            Self::Running => 6,
            Self::Lost => 7,
        }
    }

    /// The outcome stored as `code`; `None` for a number never given out.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The contract's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::ToolError => "TOOL_ERROR",
            Self::ProtocolError => "PROTOCOL_ERROR",
            Self::TransportError => "TRANSPORT_ERROR",
            Self::InputRequired => "INPUT_REQUIRED",
            Self::Cancelled => "CANCELLED",
            Self::Running => "RUNNING",
            Self::Lost => "LOST",
        }
    }
}

/// The words of spans about the end of a request, and how it came to be known. Kept beside
/// the call, so that the outcome can be judged again when another span adds to it. Merging is a union, but for
/// [`Evidence::open`], which holds while all say so: the order in which spans arrive does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// A span said the request was cancelled.
    pub cancelled: bool,
    /// The result said `isError`, or the sender's own flag for it.
    pub tool_error: bool,
    /// The result asks for input (`resultType: "input_required"`).
    pub input_required: bool,
    /// The span's status is ERROR.
    pub failed: bool,
    /// The error type names a failure of the transport: an HTTP status, a timeout, a lost connection.
    pub transport: bool,
    /// The error type names an exception that a tool may raise.
    pub exception: bool,
    /// The stack trace is a log line's: no span had one.
    pub explained: bool,
    /// The error message is a log line's: no span had one.
    pub worded: bool,
    /// The server's library lists its tools for itself right before such a request.
    pub lists_first: bool,
    /// That list of its own has come, and is no request.
    pub listed: bool,
    /// The source of each part of it; merging decides part by part.
    pub sources: Sources,
    /// No span told of its end: it was announced while it ran.
    pub open: bool,
    /// While it was open its process fell silent.
    pub lost: bool,
    /// Its answer came after it had been given up, or it is lost and its process says that it has ended.
    pub late: bool,
    /// It is a stream that stays open for as long as the client listens, not a request that is answered.
    pub stream: bool,
    /// A view had 127.0.0.1 for the client's address. An HTTP span's address takes its place, and may turn out to be
    /// another request's.
    pub loopback_v4: bool,
    /// The same with `::1`.
    pub loopback_v6: bool,
}

impl Evidence {
    /// Both together.
    pub fn union(self, other: Self) -> Self {
        Self {
            cancelled: self.cancelled || other.cancelled,
            tool_error: self.tool_error || other.tool_error,
            input_required: self.input_required || other.input_required,
            failed: self.failed || other.failed,
            transport: self.transport || other.transport,
            exception: self.exception || other.exception,
            explained: self.explained || other.explained,
            worded: self.worded || other.worded,
            lists_first: self.lists_first || other.lists_first,
            listed: self.listed || other.listed,
            sources: self.sources,
            open: self.open && other.open,
            lost: self.lost || other.lost,
            late: self.late || other.late,
            stream: self.stream || other.stream,
            loopback_v4: self.loopback_v4 || other.loopback_v4,
            loopback_v6: self.loopback_v6 || other.loopback_v6,
        }
    }

    /// As bits, for the store, without the sources. Frozen: never renumber.
    pub fn bits(self) -> i16 {
        i16::from(self.cancelled)
            | i16::from(self.tool_error) << 1
            | i16::from(self.input_required) << 2
            | i16::from(self.failed) << 3
            | i16::from(self.transport) << 4
            | i16::from(self.exception) << 5
            | i16::from(self.explained) << 6
            | i16::from(self.worded) << 7
            | i16::from(self.lists_first) << 8
            | i16::from(self.listed) << 9
            | i16::from(self.open) << 10
            | i16::from(self.lost) << 11
            | i16::from(self.late) << 12
            | i16::from(self.stream) << 13
            | i16::from(self.loopback_v4) << 14
            | i16::from(self.loopback_v6) << 15
    }

    /// From stored bits.
    pub fn from_bits(bits: i16) -> Self {
        let bit = |position: i16| bits >> position & 1 == 1;
        Self {
            cancelled: bit(0),
            tool_error: bit(1),
            input_required: bit(2),
            failed: bit(3),
            transport: bit(4),
            exception: bit(5),
            explained: bit(6),
            worded: bit(7),
            lists_first: bit(8),
            listed: bit(9),
            sources: Sources::default(),
            open: bit(10),
            lost: bit(11),
            late: bit(12),
            stream: bit(13),
            loopback_v4: bit(14),
            loopback_v6: bit(15),
        }
    }

    /// The outcome by the contract's order: the first that holds. `tools_call` is whether the method is
    /// `tools/call`; a span that only says ERROR is the tool's when its error type is an exception of the tool.
    /// `handled` is whether the view is the server's own: a handler that says ERROR was reached, whatever the HTTP status
    /// (2026-07-28 answers errors of JSON-RPC with 4xx).
    pub fn outcome(
        self,
        tools_call: bool,
        rpc_error: bool,
        http_status: Option<i32>,
        handled: bool,
    ) -> Outcome {
        let refused = http_status.is_some_and(|status| status >= 400);
        let only_failed = self.failed && !self.transport && (handled || !refused);
        if self.open && self.lost {
            Outcome::Lost
        } else if self.open {
            Outcome::Running
        } else if self.cancelled {
            Outcome::Cancelled
        } else if self.tool_error {
            Outcome::ToolError
        } else if rpc_error {
            Outcome::ProtocolError
        } else if only_failed && tools_call && self.exception {
            Outcome::ToolError
        } else if only_failed {
            Outcome::ProtocolError
        } else if self.input_required {
            Outcome::InputRequired
        } else if refused || self.failed || self.transport {
            Outcome::TransportError
        } else {
            Outcome::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_holds() {
        let failed = Evidence {
            failed: true,
            ..Evidence::default()
        };
        let raised = Evidence {
            exception: true,
            ..failed
        };
        let judged = [
            (Evidence::default(), true, false, None, Outcome::Ok),
            (Evidence::default(), true, false, Some(200), Outcome::Ok),
            (
                Evidence::default(),
                true,
                false,
                Some(401),
                Outcome::TransportError,
            ),
            (Evidence::default(), true, true, Some(404), Outcome::ProtocolError),
            (failed, true, false, Some(400), Outcome::ProtocolError),
            (failed, true, false, None, Outcome::ProtocolError),
            (raised, true, false, None, Outcome::ToolError),
            (raised, false, false, None, Outcome::ProtocolError),
            (
                Evidence {
                    transport: true,
                    ..failed
                },
                true,
                false,
                None,
                Outcome::TransportError,
            ),
            (
                Evidence {
                    tool_error: true,
                    ..failed
                },
                true,
                true,
                Some(400),
                Outcome::ToolError,
            ),
            (
                Evidence {
                    cancelled: true,
                    tool_error: true,
                    ..failed
                },
                true,
                true,
                None,
                Outcome::Cancelled,
            ),
            (
                Evidence {
                    input_required: true,
                    ..Evidence::default()
                },
                true,
                false,
                None,
                Outcome::InputRequired,
            ),
        ];
        for (evidence, tools_call, rpc_error, status, outcome) in judged {
            assert_eq!(
                evidence.outcome(tools_call, rpc_error, status, true),
                outcome,
                "{evidence:?} {status:?}"
            );
        }
        // Seen from elsewhere, a refusal is nobody's answer.
        for evidence in [failed, raised] {
            assert_eq!(
                evidence.outcome(true, false, Some(503), false),
                Outcome::TransportError
            );
            let refused = Evidence {
                transport: true,
                ..evidence
            };
            assert_eq!(
                refused.outcome(true, false, Some(503), true),
                Outcome::TransportError
            );
        }
    }

    #[test]
    fn what_is_open_has_no_other_outcome_until_a_span_tells_of_its_end() {
        let announced = Evidence {
            open: true,
            ..Evidence::default()
        };
        let silent = Evidence {
            lost: true,
            ..announced
        };
        let ended = Evidence {
            failed: true,
            ..Evidence::default()
        };
        let judged = |evidence: Evidence| evidence.outcome(true, false, Some(200), true);
        assert_eq!(judged(announced), Outcome::Running);
        assert_eq!(judged(announced.union(silent)), Outcome::Lost);
        for (first, second) in [(silent, ended), (ended, silent)] {
            assert_eq!(judged(first.union(second)), Outcome::ProtocolError);
        }
        for outcome in [Outcome::Running, Outcome::Lost] {
            assert!(!outcome.is_error() && !outcome.has_end());
        }
    }

    #[test]
    fn stored_numbers_come_back() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
        }
        for bits in i16::MIN..=i16::MAX {
            assert_eq!(Evidence::from_bits(bits).bits(), bits);
        }
    }
}
