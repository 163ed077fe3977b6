//! Visits in filters: a session id may name one, and only the database can tell which calls that are.

use std::borrow::Cow;
use std::collections::HashMap;

use mcptap_model::{CallFilter, NodeId, SessionSource, UnixNanos};
use sea_orm::DatabaseTransaction;

use super::SessionName;
use super::places::Place;
use crate::{Error, Store, visits};

impl Store {
    /// The filter with each visit that it names said as the client's calls between two times.
    pub(crate) async fn with_visits<'a>(
        &self,
        tx: &DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Cow<'a, CallFilter>, Error> {
        let mut names = Vec::new();
        visits_in(filter, &mut names);
        if names.is_empty() {
            return Ok(Cow::Borrowed(filter));
        }
        let places = self.places(tx, &names).await?;
        Ok(Cow::Owned(without_visits(filter, &places)))
    }
}

/// The visit that a session id names.
fn named_visit(id: &str) -> Option<SessionName> {
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

/// The id by which the model knows the client of a visit, if the id names one.
pub(crate) fn client_of_visit(id: &str) -> Option<String> {
    let SessionName { source, server, key } = named_visit(id)?;
    let (client, _) = visits::parse(&key)?;
    Some(NodeId::Session(source, server, client.to_owned()).to_string())
}

/// Whether the filter names sessions that only the database can tell from others.
pub(crate) fn names_visits(filter: &CallFilter) -> bool {
    let mut names = Vec::new();
    visits_in(filter, &mut names);
    !names.is_empty()
}

fn visits_in(filter: &CallFilter, into: &mut Vec<SessionName>) {
    into.extend(filter.session_id.as_deref().and_then(named_visit));
    filter.not.iter().for_each(|not| visits_in(not, into));
    filter.or.iter().for_each(|either| visits_in(either, into));
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
