//! Which calls are meant, as a reader says it. [`Matcher`] defines what it means.

use crate::search::Query;
use crate::{CallKind, Matcher, NodeId, Outcome, TraceId, UnixNanos, cut_name};

/// Which calls are meant. All that is given must hold; inside a list, any one; an empty list is no constraint.
/// Two-valued logic: a call whose field is unknown is in no list, so `not` keeps it. Names mean the calls that have them
/// as they stand: [`CallFilter::keep_names`] for those that somebody gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFilter {
    /// Server names.
    pub servers: Vec<String>,
    /// Tool names.
    pub tools: Vec<String>,
    /// MCP methods.
    pub methods: Vec<String>,
    /// HTTP statuses.
    pub http_statuses: Vec<i32>,
    /// Outcomes.
    pub outcomes: Vec<Outcome>,
    /// A wire id or the id of a session.
    pub session_id: Option<String>,
    /// The trace.
    pub trace_id: Option<TraceId>,
    /// Client addresses.
    pub client_ips: Vec<String>,
    /// ISO 3166-1 alpha-2.
    pub countries: Vec<String>,
    /// Client names.
    pub clients: Vec<String>,
    /// Inclusive, by `started_at`.
    pub from: Option<UnixNanos>,
    /// Exclusive, by `started_at`.
    pub to: Option<UnixNanos>,
    /// Inclusive, in milliseconds.
    pub min_duration_ms: Option<f64>,
    /// Inclusive, in milliseconds.
    pub max_duration_ms: Option<f64>,
    /// Calls that run now and have for at least so many milliseconds. Judged by the clock when a call is looked at.
    pub min_running_ms: Option<f64>,
    /// Whether the answer came after the request had been given up or taken for lost.
    pub late: Option<bool>,
    /// Requests, streams, or both.
    pub kinds: Vec<CallKind>,
    /// Words that must all occur.
    pub search: Option<Query>,
    /// What must not hold.
    pub not: Option<Box<CallFilter>>,
    /// Of which at least one must hold; empty is no constraint.
    pub or: Vec<CallFilter>,
}

impl CallFilter {
    /// Whether the filter looks into bodies and log lines anywhere, so that [`Matcher::matches`] needs them.
    pub fn needs_text(&self) -> bool {
        self.search.is_some()
            || self.not.as_ref().is_some_and(|not| not.needs_text())
            || self.or.iter().any(Self::needs_text)
    }

    /// Lets every search in it look through the target alone: for whoever may not see bodies, so that no search tells
    /// what is in them.
    pub fn search_targets_alone(&mut self) {
        self.search = self.search.take().map(Query::in_target_alone);
        if let Some(not) = &mut self.not {
            not.search_targets_alone();
        }
        self.or.iter_mut().for_each(Self::search_targets_alone);
    }

    /// Whether a search in it looks into bodies and log lines, and not through targets alone.
    pub fn needs_bodies(&self) -> bool {
        self.search
            .as_ref()
            .is_some_and(|query| !query.is_in_target_alone())
            || self.not.as_ref().is_some_and(|not| not.needs_bodies())
            || self.or.iter().any(Self::needs_bodies)
    }

    /// Gives every name in it the form in which names are kept: see [`cut_name`]. To be done with any filter that somebody
    /// gave, so that a name means its calls however long it is.
    pub fn keep_names(&mut self) {
        let Self {
            servers,
            tools,
            methods,
            http_statuses: _,
            outcomes: _,
            session_id,
            trace_id: _,
            client_ips,
            countries,
            clients,
            from: _,
            to: _,
            min_duration_ms: _,
            max_duration_ms: _,
            min_running_ms: _,
            late: _,
            kinds: _,
            search: _,
            not,
            or,
        } = self;
        for name in [servers, tools, methods, client_ips, countries, clients]
            .into_iter()
            .flatten()
        {
            cut_name(name);
        }
        // The id of a session is longer than the names in it, which are kept already.
        if let Some(id) = session_id.as_mut().filter(|id| id.parse::<NodeId>().is_err()) {
            cut_name(id);
        }
        if let Some(not) = not {
            not.keep_names();
        }
        or.iter_mut().for_each(Self::keep_names);
    }

    /// Whether it says nothing that a call could fail: no constraint at all, a search without a word, an alternative that is
    /// none, all outcomes there are. A deletion by it deletes every call.
    pub fn means_every_call(&self) -> bool {
        let Self {
            servers,
            tools,
            methods,
            http_statuses,
            outcomes,
            session_id,
            trace_id,
            client_ips,
            countries,
            clients,
            from,
            to,
            min_duration_ms,
            max_duration_ms,
            min_running_ms,
            late,
            kinds,
            search,
            not,
            or,
        } = self;
        let names = [servers, tools, methods, client_ips, countries, clients];
        names.iter().all(|names| names.is_empty())
            && http_statuses.is_empty()
            && (outcomes.is_empty() || Outcome::ALL.iter().all(|outcome| outcomes.contains(outcome)))
            && session_id.is_none()
            && trace_id.is_none()
            && from.is_none()
            && to.is_none()
            && min_duration_ms.is_none()
            && max_duration_ms.is_none()
            && min_running_ms.is_none()
            && late.is_none()
            && (kinds.is_empty() || CallKind::ALL.iter().all(|kind| kinds.contains(kind)))
            && search.as_ref().is_none_or(|search| search.terms() == 0)
            && not.as_ref().is_none_or(|not| not.means_no_call())
            && (or.is_empty() || or.iter().any(Self::means_every_call))
    }

    /// Whether a search is among what must not hold. Where it looks through less, more calls are meant.
    pub fn excludes_by_search(&self) -> bool {
        self.not.as_ref().is_some_and(|not| not.needs_text()) || self.or.iter().any(Self::excludes_by_search)
    }

    /// Whether it says what no call can be.
    fn means_no_call(&self) -> bool {
        let is_empty_time = self.from.is_some() && self.to.is_some() && self.from >= self.to;
        let (least, most) = (self.min_duration_ms, self.max_duration_ms);
        let is_empty_duration = least.zip(most).is_some_and(|(least, most)| least > most);
        is_empty_time
            || is_empty_duration
            || self.not.as_ref().is_some_and(|not| not.means_every_call())
            || (!self.or.is_empty() && self.or.iter().all(Self::means_no_call))
    }

    /// The same among requests alone, unless it names kinds itself: statistics are of requests.
    #[must_use]
    pub fn requests_unless_said(mut self) -> Self {
        if self.kinds.is_empty() {
            self.kinds = vec![CallKind::Request];
        }
        self
    }

    /// Every search in it, however deep.
    pub fn queries(&self) -> Vec<&Query> {
        let mut queries: Vec<&Query> = self.search.iter().collect();
        queries.extend(self.not.iter().flat_map(|not| not.queries()));
        queries.extend(self.or.iter().flat_map(Self::queries));
        queries
    }

    /// Prepares it to be compared with many calls.
    pub fn compile(&self) -> Matcher {
        Matcher::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(text: &str) -> CallFilter {
        CallFilter {
            search: Some(Query::parse(text)),
            ..CallFilter::default()
        }
    }

    fn tool() -> CallFilter {
        CallFilter {
            tools: vec!["t".to_owned()],
            ..CallFilter::default()
        }
    }

    fn not(filter: CallFilter) -> CallFilter {
        CallFilter {
            not: Some(Box::new(filter)),
            ..CallFilter::default()
        }
    }

    fn or(filters: impl Into<Vec<CallFilter>>) -> CallFilter {
        CallFilter {
            or: filters.into(),
            ..CallFilter::default()
        }
    }

    #[test]
    fn a_search_that_excludes_is_known() {
        assert!(not(search("a")).excludes_by_search());
        assert!(or([tool(), not(or([search("a")]))]).excludes_by_search());
        assert!(!or([search("a"), not(tool())]).excludes_by_search());
    }

    #[test]
    fn filters_that_nothing_fails_are_known() {
        let all = [
            CallFilter::default(),
            search(""),
            search("--- (( *"),
            or([]),
            or([CallFilter::default()]),
            or([tool(), CallFilter::default()]),
            or([tool(), or([search("\"")])]),
            not(not(CallFilter::default())),
            not(or([not(search(""))])),
            CallFilter {
                outcomes: Outcome::ALL.to_vec(),
                kinds: CallKind::ALL.to_vec(),
                ..CallFilter::default()
            },
        ];
        for filter in all {
            assert!(filter.means_every_call(), "{filter:?}");
        }
        for filter in [
            tool(),
            search("a"),
            or([tool()]),
            not(tool()),
            not(CallFilter::default()),
            CallFilter {
                outcomes: vec![Outcome::Ok],
                ..CallFilter::default()
            },
            CallFilter {
                tools: vec!["t".to_owned()],
                ..search("")
            },
        ] {
            assert!(!filter.means_every_call(), "{filter:?}");
        }
    }
}
