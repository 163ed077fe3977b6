//! `impl Store`: sessions, which are what their calls say.

mod extents;
mod listing;
mod naming;
mod places;
mod sums;
mod walk;

use std::cmp::Reverse;
use std::collections::HashMap;

use mcptap_model::{CallFilter, SessionSource, UnixNanos};

pub(crate) use self::naming::{VisitName, visits_of};
use self::places::Place;
use crate::read::readers::Reading;
use crate::read::visits::{self, Moment};
use crate::{Error, Page, PageRequest, Store};

/// The calls of one client's visit to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The kind of key by which it was recognised.
    pub source: SessionSource,
    /// The server's name.
    pub server: String,
    /// The id, in the terms of the source.
    pub key: String,
    /// The id on the wire, from its latest call that has one.
    pub wire_id: Option<String>,
    /// The client's own name, from its latest call that says one.
    pub client_name: Option<String>,
    /// The client's own version, from the same call.
    pub client_version: Option<String>,
    /// When its first call began.
    pub started_at: UnixNanos,
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// How many calls it has.
    pub call_count: u64,
    /// How many of them are errors.
    pub error_count: u64,
    /// Its row. Visits of one client share it.
    pub row: i64,
}

impl Session {
    /// Where it stands in the order of pages.
    pub fn position(&self) -> SessionPosition {
        SessionPosition {
            last_call_at: self.last_call_at,
            row: self.row,
        }
    }
}

/// Where a session stands: newest activity first, then by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionPosition {
    /// When its last call began.
    pub last_call_at: UnixNanos,
    /// Its row.
    pub row: i64,
}

/// The natural key of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName {
    /// The kind of key by which it is recognised.
    pub source: SessionSource,
    /// The server's name.
    pub server: String,
    /// The id, in the terms of the source.
    pub key: String,
}

impl Store {
    /// The session of that natural key. A visit is found by any time at which it lasts.
    pub async fn session(
        &self,
        source: SessionSource,
        server: &str,
        key: &str,
    ) -> Result<Option<Session>, Error> {
        let name = SessionName {
            source,
            server: server.to_owned(),
            key: key.to_owned(),
        };
        Ok(self.sessions_of(std::slice::from_ref(&name)).await?.remove(&name))
    }

    /// The sessions of these keys, in a fixed number of statements. Those that are not stored are left out.
    pub async fn sessions_of(&self, names: &[SessionName]) -> Result<HashMap<SessionName, Session>, Error> {
        let tx = self.snapshot(Reading::Light).await?;
        let places = self.places(&tx, names).await?;
        let (names, places): (Vec<_>, Vec<_>) = places.into_iter().unzip();
        let sessions = self.summed(&tx, places).await?;
        tx.commit().await?;
        Ok(names
            .into_iter()
            .zip(sessions)
            .filter_map(|(name, session)| Some((name, session?)))
            .collect())
    }

    /// The keys of the visits to which calls belong, given the server, the client (the key of the call's session of
    /// source CLIENT) and the start of each, in a fixed number of statements.
    pub async fn visits(
        &self,
        calls: &[(String, String, UnixNanos)],
    ) -> Result<HashMap<(String, String, UnixNanos), String>, Error> {
        let tx = self.snapshot(Reading::Light).await?;
        let rows = self
            .rows(
                &tx,
                calls
                    .iter()
                    .map(|(server, client, _)| (SessionSource::Client, server.as_str(), client.as_str())),
            )
            .await?;
        let moment = |(server, client, at): &(String, String, UnixNanos)| {
            let rows = rows.get(&(SessionSource::Client, server.as_str(), client.as_str()))?;
            Some(Moment {
                session: *rows.first()?,
                at: at.0,
            })
        };
        let lasting = visits::lasting(&tx, self.oldest(), calls.iter().filter_map(moment)).await?;
        tx.commit().await?;
        let keyed = calls.iter().filter_map(|call| {
            let (first, _) = lasting.get(&moment(call)?)?;
            Some((call.clone(), visits::key(&call.1, *first)))
        });
        Ok(keyed.collect())
    }

    /// Sessions with calls of the filter, newest activity first. Counts and times are of the whole session.
    pub async fn sessions(
        &self,
        filter: &CallFilter,
        page: PageRequest<SessionPosition>,
    ) -> Result<Page<Session>, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        let at = |position: SessionPosition| Reverse((position.last_call_at, position.row));
        let page = PageRequest {
            first: page.first,
            after: page.after.map(at),
            last: page.last,
            before: page.before.map(at),
        };
        let page = match self.walked(&tx, filter, &page).await? {
            Some(mut places) => {
                places.sort_by_key(Place::order);
                let cut = Page::cut(places, &page, Place::order);
                Page {
                    // What stands before the position was not looked at.
                    has_previous: cut.has_previous || page.after.is_some(),
                    ..cut
                }
            }
            None => self.gathered(&tx, filter, &page).await?,
        };
        let items = self.summed(&tx, page.items).await?;
        tx.commit().await?;
        Ok(Page {
            items: items.into_iter().flatten().collect(),
            has_next: page.has_next,
            has_previous: page.has_previous,
        })
    }
}
