//! Which session a call belongs to, and whether the id a span carries is the one on the wire.

use mcptap_model::{Origin, SessionKey, SessionSource, Transport};

use super::dialect::{Dialect, SessionTrust};
use super::keys::{Attributes, Key};

/// The versions without sessions; see [`is_stateless`].
const STATELESS: &[&str] = &["2026-07-28"];
/// The versions with sessions. Anything newer than these that is no known version is read as stateless.
const STATEFUL: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What mcp-go gives for a session id on stdio.
const STDIO: &str = "stdio";

/// Whether that protocol version has no sessions (MCP 2026-07-28, SEP-2567). Unknown dates after it have none either.
pub(super) fn is_stateless(version: Option<&str>) -> bool {
    version.is_some_and(|version| {
        STATELESS.contains(&version)
            || (!STATEFUL.contains(&version) && is_date(version) && version > "2026-07-28")
    })
}

fn is_date(version: &str) -> bool {
    version.len() == 10
        && version.bytes().enumerate().all(|(at, byte)| {
            if matches!(at, 4 | 7) {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        })
}

/// The id on the wire, where it can be trusted, and the session.
pub(super) fn session(
    attributes: &mut Attributes<'_>,
    dialect: &Dialect,
    origin: &Origin,
    version: Option<&str>,
    transport: Option<Transport>,
) -> (Option<String>, Option<SessionKey>) {
    let key = |source, key: String| Some(SessionKey { source, key });
    let conversation = attributes
        .text(Key::GenAiConversationId)
        .or_else(|| attributes.text(Key::LangfuseSessionId));
    let header = attributes.text(Key::HeaderMcpSessionId);
    let given = attributes
        .text(Key::McpSessionId)
        .or_else(|| attributes.text(Key::McpSessionIdUnderscore));
    // mcp-go's constant on stdio names nothing, but tells the transport.
    let on_stdio = transport == Some(Transport::Stdio) || given.as_deref() == Some(STDIO);
    let given = given.filter(|id| id != STDIO);
    // AgentCat says when it made the id up for the call.
    let minted = attributes.text(Key::AgentcatSessionSource).as_deref() == Some("minted");
    let given = given.filter(|_| !minted);
    if is_stateless(version) {
        return (
            None,
            conversation.and_then(|id| key(SessionSource::Conversation, id)),
        );
    }
    let wire = match (header, given.clone()) {
        (Some(header), _) => Some(header),
        (None, Some(id)) => match dialect.session {
            SessionTrust::Wire => Some(id),
            SessionTrust::WireOnHttp => (transport == Some(Transport::StreamableHttp)).then_some(id),
            SessionTrust::BareUuid => {
                (is_bare_uuid(&id) && transport != Some(Transport::Stdio)).then_some(id)
            }
            SessionTrust::Never | SessionTrust::Conversation => None,
        },
        (None, None) => None,
    };
    if let Some(id) = wire {
        attributes.take(Key::McpSessionId);
        attributes.take(Key::McpSessionIdUnderscore);
        return (Some(id.clone()), key(SessionSource::Wire, id));
    }
    let own = given
        .clone()
        .filter(|_| dialect.session == SessionTrust::Conversation);
    if let Some(id) = conversation.or(own) {
        return (None, key(SessionSource::Conversation, id));
    }
    let process = on_stdio.then(|| origin.instance.clone()).flatten();
    (
        None,
        given
            .or(process)
            .and_then(|id| key(SessionSource::Connection, id)),
    )
}

/// FastMCP takes ids from the header (32 hex digits) or makes them up for a connection (a UUID with dashes).
fn is_bare_uuid(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_stateless;

    #[test]
    fn versions_are_compared_with_a_list() {
        for stateful in [
            "2024-11-05",
            "2025-11-25",
            "2025-12-31",
            "DRAFT-2027",
            "draft",
            "",
        ] {
            assert!(!is_stateless(Some(stateful)), "{stateful}");
        }
        assert!(!is_stateless(None));
        assert!(is_stateless(Some("2026-07-28")) && is_stateless(Some("2027-01-15")));
    }
}
