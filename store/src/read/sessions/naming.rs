//! Visits in filters: a session id may name one, and only the database can tell which calls that are.

use std::borrow::Cow;
use std::collections::HashMap;

use mcptap_model::{CallFilter, NodeId, SessionSource, UnixNanos};
use sea_orm::DatabaseTransaction;

use super::SessionName;
use super::places::Place;
use crate::read::visits;
use crate::{Error, Store};

impl Store {
    /// The filter with each visit that it names said as the client's calls between two times.
    pub(crate) async fn with_visits<'a>(
        &self,
        tx: &DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Cow<'a, CallFilter>, Error> {
        let ids = visits_of(filter);
        let names: Vec<SessionName> = ids.iter().filter_map(|id| named_visit(id)).collect();
        if names.is_empty() {
            return Ok(Cow::Borrowed(filter));
        }
        let places = self.places(tx, &names).await?;
        Ok(Cow::Owned(without_visits(filter, &places)))
    }
}

/// What the id of a visit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VisitName {
    /// The server's name.
    pub(crate) server: String,
    /// The client's key.
    pub(crate) client: String,
    /// The time, in nanoseconds since 1970: the visit that lasts then is meant.
    pub(crate) at: i64,
    /// The id by which the model knows the client, whatever visit a call is in.
    pub(crate) session_of_client: String,
}

impl VisitName {
    /// `None` where the id names no visit.
    pub(crate) fn of(id: &str) -> Option<Self> {
        let SessionName { source, server, key } = named_visit(id)?;
        let (client, at) = visits::parse(&key)?;
        let session_of_client = NodeId::Session(source, server.clone(), client.to_owned());
        Some(Self {
            client: client.to_owned(),
            at,
            session_of_client: session_of_client.to_string(),
            server,
        })
    }
}

/// The visit that a session id names.
pub(super) fn named_visit(id: &str) -> Option<SessionName> {
    let NodeId::Session(SessionSource::Client, server, key) = id.parse().ok()? else {
        return None;
    };
    visits::parse(&key)?;
    Some(SessionName {
        source: SessionSource::Client,
        server,
        key,
    })
}

/// The ids of the visits that a filter names, however deep, each once.
pub(crate) fn visits_of(filter: &CallFilter) -> Vec<String> {
    let mut ids = Vec::new();
    collect(filter, &mut ids);
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn collect(filter: &CallFilter, into: &mut Vec<String>) {
    let id = filter.session_id.as_ref().filter(|id| named_visit(id).is_some());
    into.extend(id.cloned());
    filter.not.iter().for_each(|not| collect(not, into));
    filter.or.iter().for_each(|either| collect(either, into));
}

fn without_visits(filter: &CallFilter, places: &HashMap<SessionName, Place>) -> CallFilter {
    let mut plain = CallFilter {
        not: filter
            .not
            .as_ref()
            .map(|not| Box::new(without_visits(not, places))),
        or: filter
            .or
            .iter()
            .map(|either| without_visits(either, places))
            .collect(),
        ..filter.clone()
    };
    let visit = filter.session_id.as_deref().and_then(named_visit);
    let Some((name, place)) = visit.and_then(|name| Some((name.clone(), places.get(&name)?))) else {
        return plain;
    };
    plain.session_id = None;
    let client = visits::parse(&name.key).map(|(client, _)| client.to_owned());
    let id = NodeId::Session(name.source, name.server, client.unwrap_or_default());
    CallFilter {
        session_id: Some(id.to_string()),
        from: Some(UnixNanos(place.first)),
        to: Some(UnixNanos(place.last.saturating_add(1))),
        or: vec![plain],
        ..CallFilter::default()
    }
}
