//! Comparing calls with a filter. The one definition of every filter's meaning; the store's SQL must agree with it.

use std::borrow::Borrow;

use crate::search::{Found, Query};
use crate::{Call, CallFilter, CallKind, NodeId, Outcome, SessionSource, TraceId, UnixNanos};

/// A filter that is compared with many calls: its lists are sorted and its session is read. What one comparison costs
/// hardly grows with the values that it has.
#[derive(Clone, Debug)]
pub struct Matcher {
    servers: OneOf<String>,
    tools: OneOf<String>,
    methods: OneOf<String>,
    http_statuses: OneOf<i32>,
    outcomes: OneOf<Outcome>,
    session: Option<SessionId>,
    trace_id: Option<TraceId>,
    client_ips: OneOf<String>,
    countries: OneOf<String>,
    clients: OneOf<String>,
    from: Option<UnixNanos>,
    to: Option<UnixNanos>,
    min_duration_ms: Option<f64>,
    max_duration_ms: Option<f64>,
    min_running_ms: Option<f64>,
    late: Option<bool>,
    kinds: Vec<CallKind>,
    search: Option<Query>,
    not: Option<Box<Matcher>>,
    or: Vec<Matcher>,
}

/// The values of a list, in order, each once.
#[derive(Clone, Debug)]
struct OneOf<T>(Box<[T]>);

/// A session as a filter names it: by a wire id, or by the id of a session. It is read once and compared often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId {
    text: String,
    /// What the id of a session says: its source, its server's name, its key.
    named: Option<(SessionSource, String, String)>,
}

impl<T: Clone + Ord> OneOf<T> {
    fn new(values: &[T]) -> Self {
        let mut values = values.to_vec();
        values.sort_unstable();
        values.dedup();
        Self(values.into_boxed_slice())
    }

    /// Whether the value is one of them, or any value will do.
    fn allows<V: Ord + ?Sized>(&self, value: Option<&V>) -> bool
    where
        T: Borrow<V>,
    {
        let is_in = |value: &V| {
            self.0.binary_search_by(|one| {
                #[cfg(test)]
                tests::count();
                let one: &V = one.borrow();
                one.cmp(value)
            })
        };
        self.0.is_empty() || value.is_some_and(|value| is_in(value).is_ok())
    }

    /// How many values are compared to find one.
    fn cost(&self) -> usize {
        (usize::BITS - self.0.len().leading_zeros()) as usize
    }
}

impl Matcher {
    pub(crate) fn new(filter: &CallFilter) -> Self {
        Self {
            servers: OneOf::new(&filter.servers),
            tools: OneOf::new(&filter.tools),
            methods: OneOf::new(&filter.methods),
            http_statuses: OneOf::new(&filter.http_statuses),
            outcomes: OneOf::new(&filter.outcomes),
            session: filter.session_id.as_deref().map(SessionId::new),
            trace_id: filter.trace_id,
            client_ips: OneOf::new(&filter.client_ips),
            countries: OneOf::new(&filter.countries),
            clients: OneOf::new(&filter.clients),
            from: filter.from,
            to: filter.to,
            min_duration_ms: filter.min_duration_ms,
            max_duration_ms: filter.max_duration_ms,
            min_running_ms: filter.min_running_ms,
            late: filter.late,
            kinds: filter.kinds.clone(),
            search: filter.search.clone(),
            not: filter.not.as_ref().map(|not| Box::new(Self::new(not))),
            or: filter.or.iter().map(Self::new).collect(),
        }
    }

    /// About how many values one comparison with a call looks at, at most.
    pub fn cost(&self) -> usize {
        let texts = [
            &self.servers,
            &self.tools,
            &self.methods,
            &self.client_ips,
            &self.countries,
            &self.clients,
        ];
        let texts: usize = texts.iter().map(|list| list.cost()).sum();
        let below: usize = self.or.iter().chain(self.not.as_deref()).map(Self::cost).sum();
        let search = self.search.as_ref().map_or(0, |query| query.text().len() / 16);
        1 + texts + search + self.http_statuses.cost() + self.outcomes.cost() + below
    }

    /// Whether `are` holds for all searches in it, however deep.
    pub fn all_queries(&self, are: &impl Fn(&Query) -> bool) -> bool {
        self.search.as_ref().is_none_or(are)
            && self.not.as_ref().is_none_or(|not| not.all_queries(are))
            && self.or.iter().all(|either| either.all_queries(are))
    }

    /// Whether the call is meant. `text` says which searches occur in the call's texts; without it none does.
    pub fn matches(&self, call: &Call, text: Option<&Found>) -> bool {
        self.matches_with(call, text, &|call, id| id.has(call))
    }

    /// The same, where `in_session` decides whether a call belongs to a session: which calls a visit has depends on other
    /// calls.
    pub fn matches_with(
        &self,
        call: &Call,
        text: Option<&Found>,
        in_session: &dyn Fn(&Call, &SessionId) -> bool,
    ) -> bool {
        self.servers.allows(Some(call.server_name()))
            && self.tools.allows(call.tool.as_deref())
            && self.methods.allows(Some(call.method.as_str()))
            && self.http_statuses.allows(call.http_status.as_ref())
            && self.outcomes.allows(Some(&call.outcome()))
            && self.session.as_ref().is_none_or(|id| in_session(call, id))
            && self.trace_id.is_none_or(|trace| trace == call.trace_id)
            && self.client_ips.allows(call.client_ip.as_deref())
            && self.countries.allows(call.country.as_deref())
            && self.clients.allows(call.client_name.as_deref())
            && self.from.is_none_or(|from| call.started_at >= from)
            && self.to.is_none_or(|to| call.started_at < to)
            && self
                .min_duration_ms
                .is_none_or(|min| call.duration_ms().is_some_and(|took| took >= min))
            && self
                .max_duration_ms
                .is_none_or(|max| call.duration_ms().is_some_and(|took| took <= max))
            && self.min_running_ms.is_none_or(|min| {
                call.outcome() == Outcome::Running && call.started_at <= UnixNanos::now().before_ms(min)
            })
            && self.late.is_none_or(|late| late == call.is_late())
            && (self.kinds.is_empty() || self.kinds.contains(&call.call_kind()))
            && self
                .search
                .as_ref()
                .is_none_or(|query| text.is_some_and(|text| text.occurs(query)))
            && self
                .not
                .as_ref()
                .is_none_or(|not| !not.matches_with(call, text, in_session))
            && (self.or.is_empty()
                || self
                    .or
                    .iter()
                    .any(|either| either.matches_with(call, text, in_session)))
    }
}

impl SessionId {
    /// Reads what a filter says.
    pub fn new(text: &str) -> Self {
        let named = match text.parse::<NodeId>() {
            // Written another way it is not the id.
            Ok(id @ NodeId::Session(..)) if id.to_string() != text => None,
            Ok(NodeId::Session(source, server, key)) => Some((source, server, key)),
            _ => None,
        };
        Self {
            text: text.to_owned(),
            named,
        }
    }

    /// As it was said.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names the call's session: its wire id, or the id of the session that it was given.
    pub fn has(&self, call: &Call) -> bool {
        if call.session_id.as_deref() == Some(self.text.as_str()) {
            return true;
        }
        match (&self.named, &call.session) {
            (Some((source, server, key)), Some(session)) => {
                session.source == *source && session.key == *key && call.server_name() == server
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        COMPARED.set(COMPARED.get() + 1);
    }

    fn compared(of: &OneOf<String>, value: &str) -> (bool, usize) {
        COMPARED.set(0);
        let allowed = of.allows(Some(value));
        (allowed, COMPARED.get())
    }

    #[test]
    fn a_comparison_looks_at_few_values_of_a_long_list() {
        let values: Vec<String> = (0..65_536).map(|value| format!("name-{value}")).collect();
        let list = OneOf::new(&values);
        for (value, is_in) in [
            ("name-7", true),
            ("name-65535", true),
            ("other", false),
            ("", false),
        ] {
            let (allowed, compared) = compared(&list, value);
            assert_eq!(allowed, is_in, "{value}");
            assert!(compared <= list.cost() && list.cost() <= 17, "{compared}");
        }
        let filter = |values: &[String]| CallFilter {
            tools: values.to_vec(),
            or: vec![CallFilter {
                servers: values.to_vec(),
                ..CallFilter::default()
            }],
            ..CallFilter::default()
        };
        assert_eq!(filter(&values).compile().cost(), 36);
        assert_eq!(filter(&[]).compile().cost(), 2);
        // Any value will do, and none at all.
        let any = OneOf::<String>::new(&[]);
        assert!(any.allows(Some("x")) && any.allows::<str>(None) && !list.allows::<str>(None));
    }

    #[test]
    fn the_id_of_a_session_is_compared_as_it_is_written() {
        let id = NodeId::Session(SessionSource::Wire, "demo".into(), "3:x".into()).to_string();
        let named = Some((SessionSource::Wire, "demo".to_owned(), "3:x".to_owned()));
        assert_eq!(SessionId::new(&id).named, named);
        // "v" and the parts, with one length written otherwise.
        let wire = SessionSource::Wire.as_str();
        let other = URL_SAFE_NO_PAD.encode(format!("v0{}:{wire}4:demo3:3:x", wire.len()));
        assert!(other.parse::<NodeId>().is_ok());
        for text in [
            other.as_str(),
            "abc",
            "",
            &NodeId::Server("demo".into()).to_string(),
        ] {
            assert_eq!(SessionId::new(text).named, None, "{text}");
        }
    }
}
