//! Input of clients: the filter, and the ids they hold.

use async_graphql::{Error, ID, InputObject, InputType};
use mcptap_model::{CallFilter, MAX_NAME, NodeId, TraceId, search};

use crate::error::bad_input;
use crate::scalars::DateTime;
use crate::types::{CallKind, Outcome};

/// How many values a list of the filter may have.
const MAX_VALUES: usize = 500;
/// How many values all lists of a filter may have together, those inside `not` and `or` too.
const MAX_ALL_VALUES: usize = 2_000;
/// How long the id of a session may be, in bytes: it holds the names of a server and of a session.
const MAX_ID: usize = 4 * MAX_NAME;
/// How long `search` may be, in characters.
const MAX_SEARCH: usize = 1_000;
/// How many words, phrases and prefixes `search` may have.
const MAX_TERMS: usize = 32;
/// How deep `not` and `or` may be nested.
const MAX_NESTING: usize = 8;
/// How many filters may stand inside one another in all.
const MAX_FILTERS: usize = 100;

/// Which calls are meant. All that is given must hold; inside a list, any one value; an empty list, or null, is no
/// constraint. Logic is two-valued: a call whose field is null is in no list, so `not` keeps it. The same filter means
/// the same calls in a list, in facets, in statistics and in the live feed. A list may have up to 500 values, all lists
/// together 2,000; names may have any length.
///
/// Failed calls of two tools since noon:
/// `{ tools: ["search", "fetch"], outcomes: [TOOL_ERROR], from: "2026-11-22T12:00:00Z" }`.
#[derive(Debug, Default, InputObject)]
#[graphql(name = "CallFilter")]
pub(crate) struct CallFilterInput {
    /// Names of servers, exactly as `Server.name` has them.
    pub(crate) servers: Option<Vec<String>>,
    /// Names of tools, whatever server they belong to.
    pub(crate) tools: Option<Vec<String>>,
    /// MCP methods, such as `tools/call` or `initialize`.
    pub(crate) methods: Option<Vec<String>>,
    /// HTTP statuses, such as 401. A call of which nobody saw a status (stdio) is in no such list.
    pub(crate) http_statuses: Option<Vec<i32>>,
    /// How calls ended.
    pub(crate) outcomes: Option<Vec<Outcome>>,
    /// The session: the id on the wire (`Call.sessionId`) or the id of a `Session`.
    pub(crate) session_id: Option<String>,
    /// The trace, as 32 hex digits.
    pub(crate) trace_id: Option<String>,
    /// Addresses of clients, exactly as `Call.clientIp` has them.
    pub(crate) client_ips: Option<Vec<String>>,
    /// Countries of clients by their ISO 3166-1 alpha-2 codes, such as `NL`.
    pub(crate) countries: Option<Vec<String>>,
    /// Names of clients, exactly as `Call.clientName` has them.
    pub(crate) clients: Option<Vec<String>>,
    /// Only calls that began at this moment or later.
    pub(crate) from: Option<DateTime>,
    /// Only calls that began before this moment.
    pub(crate) to: Option<DateTime>,
    /// Only calls that took this many milliseconds or more.
    pub(crate) min_duration_ms: Option<f64>,
    /// Only calls that took this many milliseconds or fewer.
    pub(crate) max_duration_ms: Option<f64>,
    /// Only calls that run now and have for this many milliseconds or more. In a subscription this is judged when a call
    /// changes, so one that goes on running without news is not delivered when it gets that old.
    pub(crate) min_running_ms: Option<f64>,
    /// Only calls whose answer came late (`Call.late`), or only others.
    pub(crate) late: Option<bool>,
    /// Requests, streams, or both. Lists and the live feed show both without it, statistics requests alone.
    pub(crate) kinds: Option<Vec<CallKind>>,
    /// Up to 32 words, phrases in quotes and `prefix*`, up to 1000 characters in all; case does not matter. All of them
    /// must occur, anywhere in the request, the response, the error message, the target or the log lines; for keys
    /// without scope `payloads`, in the target.
    pub(crate) search: Option<String>,
    /// What must not hold. `not` and `or` may be nested 8 deep, with 100 filters in all.
    pub(crate) not: Option<Box<CallFilterInput>>,
    /// At least one of these must hold, besides all the rest.
    pub(crate) or: Option<Vec<CallFilterInput>>,
}

/// The fields of a filter.
const FIELDS: [&str; 20] = [
    "servers",
    "tools",
    "methods",
    "httpStatuses",
    "outcomes",
    "sessionId",
    "traceId",
    "clientIps",
    "countries",
    "clients",
    "from",
    "to",
    "minDurationMs",
    "maxDurationMs",
    "minRunningMs",
    "late",
    "kinds",
    "search",
    "not",
    "or",
];

/// A filter that came as JSON, checked as one that comes as an argument is. Fails with what is wrong.
pub(crate) fn filter_of_json(json: &str) -> Result<CallFilter, String> {
    let value: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if let Some(unknown) = unknown_field(&value) {
        return Err(format!("{unknown:?} is no field of CallFilter"));
    }
    let value = async_graphql::Value::from_json(value).map_err(|error| error.to_string())?;
    let input = CallFilterInput::parse(Some(value))
        .map_err(|error| error.into_server_error(async_graphql::Pos::default()).message)?;
    filter(Some(input)).map_err(|error| error.message)
}

/// The first field that no filter has. An object of the schema is checked for this where it is written in a document, and
/// nowhere else.
fn unknown_field(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::Array(items) => items.iter().find_map(unknown_field),
        serde_json::Value::Object(members) => members.iter().find_map(|(name, value)| {
            if FIELDS.contains(&name.as_str()) {
                unknown_field(value)
            } else {
                Some(name.as_str())
            }
        }),
        _ => None,
    }
}

/// The model's filter; without one, every call is meant. The one place where a filter comes in, whatever it is for.
pub(crate) fn filter(input: Option<CallFilterInput>) -> Result<CallFilter, Error> {
    let mut filter = match input {
        Some(input) => input.read(0, &mut Tree::default())?,
        None => CallFilter::default(),
    };
    filter.keep_names();
    Ok(filter)
}

/// The sums over all filters inside one another.
#[derive(Default)]
struct Tree {
    filters: usize,
    values: usize,
}

impl Tree {
    /// Another list of the tree.
    fn values<T>(&mut self, field: &str, list: Option<Vec<T>>) -> Result<Vec<T>, Error> {
        let list = list.unwrap_or_default();
        if list.len() > MAX_VALUES {
            return Err(bad_input(format!(
                "filter.{field}: at most {MAX_VALUES} values, not {}",
                list.len()
            )));
        }
        self.values += list.len();
        if self.values > MAX_ALL_VALUES {
            return Err(bad_input(format!(
                "filter: at most {MAX_ALL_VALUES} values in all lists together, those of not and or too"
            )));
        }
        Ok(list)
    }

    /// Another list of names.
    fn names(&mut self, field: &str, list: Option<Vec<String>>) -> Result<Vec<String>, Error> {
        let mut list = self.values(field, list)?;
        for name in &mut list {
            // It may have been read into more room than it takes, and a subscription keeps it.
            name.shrink_to_fit();
        }
        Ok(list)
    }
}

impl CallFilterInput {
    fn read(self, nesting: usize, tree: &mut Tree) -> Result<CallFilter, Error> {
        tree.filters += 1;
        if nesting > MAX_NESTING || tree.filters > MAX_FILTERS {
            return Err(bad_input(format!(
                "filter: not and or may be nested {MAX_NESTING} deep, with {MAX_FILTERS} filters in all"
            )));
        }
        // Any other text is a name, which is cut.
        let is_id = |id: &String| id.len() > MAX_ID && id.parse::<NodeId>().is_ok();
        if self.session_id.as_ref().is_some_and(is_id) {
            return Err(bad_input(format!(
                "filter.sessionId: an id has at most {MAX_ID} bytes"
            )));
        }
        Ok(CallFilter {
            servers: tree.names("servers", self.servers)?,
            tools: tree.names("tools", self.tools)?,
            methods: tree.names("methods", self.methods)?,
            http_statuses: tree.values("httpStatuses", self.http_statuses)?,
            outcomes: tree
                .values("outcomes", self.outcomes)?
                .into_iter()
                .map(Into::into)
                .collect(),
            session_id: self.session_id,
            trace_id: self.trace_id.as_deref().map(trace_id).transpose()?,
            client_ips: tree.names("clientIps", self.client_ips)?,
            countries: tree.names("countries", self.countries)?,
            clients: tree.names("clients", self.clients)?,
            from: self.from.map(|time| time.0),
            to: self.to.map(|time| time.0),
            min_duration_ms: self.min_duration_ms,
            max_duration_ms: self.max_duration_ms,
            min_running_ms: self.min_running_ms,
            late: self.late,
            kinds: tree
                .values("kinds", self.kinds)?
                .into_iter()
                .map(Into::into)
                .collect(),
            search: self.search.as_deref().map(query).transpose()?,
            not: self
                .not
                .map(|not| not.read(nesting + 1, tree))
                .transpose()?
                .map(Box::new),
            or: self
                .or
                .unwrap_or_default()
                .into_iter()
                .map(|or| or.read(nesting + 1, tree))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn trace_id(text: &str) -> Result<TraceId, Error> {
    text.parse()
        .map_err(|error| bad_input(format!("filter.traceId: {error}")))
}

fn query(text: &str) -> Result<search::Query, Error> {
    match text.chars().count() {
        length if length > MAX_SEARCH => Err(bad_input(format!(
            "filter.search: at most {MAX_SEARCH} characters, not {length}"
        ))),
        _ => {
            let query = search::Query::parse(text);
            match query.terms() {
                terms if terms > MAX_TERMS => Err(bad_input(format!(
                    "filter.search: at most {MAX_TERMS} words, phrases and prefixes, not {terms}"
                ))),
                _ => Ok(query),
            }
        }
    }
}

/// An id that this API gave out.
pub(crate) fn node_id(id: &ID) -> Result<NodeId, Error> {
    id.parse()
        .map_err(|error: mcptap_model::InvalidId| bad_input(format!("id: {error}")))
}

/// The id is good, but of something else.
pub(crate) fn other_kind(id: &NodeId, wanted: &str) -> Error {
    let kind = match id {
        NodeId::Call(..) => "Call",
        NodeId::Server(..) => "Server",
        NodeId::Tool(..) => "Tool",
        NodeId::Session(..) => "Session",
    };
    bad_input(format!(
        "id: this is the id of a {kind}; needed is one of a {wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_come_as_json_too() {
        let read = |json: &str| filter_of_json(json).err();
        for good in [
            "{}",
            r#"{"tools": ["a"], "not": {"or": [{"search": "x"}]}, "minDurationMs": 1}"#,
            r#"{"outcomes": ["TOOL_ERROR"], "from": "2026-11-22T12:00:00Z"}"#,
        ] {
            assert_eq!(read(good), None, "{good}");
        }
        for (bad, told) in [
            (r#"{"outcome": ["OK"]}"#, "\"outcome\" is no field"),
            (r#"{"or": [{"not": {"tool": "x"}}]}"#, "\"tool\" is no field"),
            (r#"{"outcomes": ["FINE"]}"#, "FINE"),
            (r#"{"from": "yesterday"}"#, "RFC 3339"),
            (r#"{"traceId": "1"}"#, "traceId"),
            ("[1]", ""),
            ("7", ""),
        ] {
            let said = read(bad).unwrap_or_else(|| panic!("{bad} was taken"));
            assert!(said.contains(told), "{bad}: {said}");
        }
    }

    #[test]
    fn a_filter_has_bounds_as_a_whole() {
        let names = |count: usize| vec!["a"; count];
        let tree = |count: usize| {
            let or = vec![serde_json::json!({"tools": names(count), "clients": names(count)}); 4];
            filter_of_json(&serde_json::json!({"or": or, "not": {"countries": ["NL"]}}).to_string())
        };
        assert_eq!(tree(249).unwrap().or.len(), 4);
        assert!(tree(250).unwrap_err().contains("2000 values"));
        let one = |field: &str, value: &str| filter_of_json(&serde_json::json!({field: value}).to_string());
        let list = |value: &str| filter_of_json(&serde_json::json!({"clientIps": [value]}).to_string());
        // Longer names are kept cut, and so they are asked for.
        let name = list(&"x".repeat(5_000)).unwrap().client_ips;
        assert_eq!(name, [mcptap_model::kept_name(&"x".repeat(5_000))]);
        let session = one("sessionId", &"x".repeat(5_000)).unwrap().session_id.unwrap();
        assert_eq!(session, mcptap_model::kept_name(&"x".repeat(5_000)));
        assert!(one("search", &"a ".repeat(32)).is_ok());
        // A phrase is one.
        assert!(one("search", &format!("\"{}\"", "a ".repeat(400))).is_ok());
        let many = one("search", &"a ".repeat(33)).unwrap_err();
        assert!(many.contains("at most 32"), "{many}");
    }

    #[test]
    fn every_field_is_known() {
        let sdl = crate::sdl();
        let input = sdl
            .split("input CallFilter {")
            .nth(1)
            .unwrap()
            .split("\n}")
            .next()
            .unwrap();
        let fields: Vec<&str> = input
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": "))
            .map(|(name, _)| name)
            .filter(|name| name.chars().all(char::is_alphabetic))
            .collect();
        for field in FIELDS {
            assert!(fields.contains(&field), "{field}: {fields:?}");
        }
        assert!(fields.iter().all(|field| FIELDS.contains(field)), "{fields:?}");
    }
}
