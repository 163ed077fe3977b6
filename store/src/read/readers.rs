//! Permits for reads: light ones, which an index answers, and scans, which may take seconds. Each kind has permits of its
//! own, and no asker holds all permits of a kind where there are several.

use std::sync::Arc;

use mcptap_model::{CallFilter, Outcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::Error;
use crate::limits::operation::{Asker, Operation};
use crate::limits::shares::Shares;
use crate::read::filter::PARTS;

/// How a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Along an index, or a few rows by key.
    Light,
    /// Over as many rows as there are, or over texts.
    Scan,
}

impl Reading {
    /// How a page of the filter's calls is read: lightly where one index has the calls of the filter in the order of
    /// pages. Everything else may walk past as many calls as there are to find few or none.
    pub(crate) fn of(filter: &CallFilter) -> Self {
        let CallFilter {
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
            from: _,
            to: _,
            min_duration_ms,
            max_duration_ms,
            min_running_ms,
            late,
            kinds,
            search,
            not,
            or,
        } = filter;
        let errors = Outcome::ALL.into_iter().filter(|outcome| outcome.is_error());
        let is_errors = outcomes.iter().all(|outcome| outcome.is_error())
            && errors.into_iter().all(|error| outcomes.contains(&error));
        let indexed = usize::from(!servers.is_empty())
            + usize::from(!tools.is_empty())
            + usize::from(session_id.is_some())
            + usize::from(!outcomes.is_empty());
        let is_decided = indexed <= 1
            && (outcomes.is_empty() || is_errors)
            && servers.len().max(tools.len()) <= PARTS
            && methods.is_empty()
            && http_statuses.is_empty()
            && client_ips.is_empty()
            && countries.is_empty()
            && clients.is_empty()
            && min_duration_ms.is_none()
            && max_duration_ms.is_none()
            && min_running_ms.is_none()
            && late.is_none()
            && kinds.is_empty()
            && not.is_none()
            && or.is_empty();
        // A trace has few calls: whatever else is asked of them.
        let is_light = search.is_none() && (is_decided || trace_id.is_some() && !filter.needs_text());
        if is_light { Self::Light } else { Self::Scan }
    }
}

/// The permits of a store's readers.
#[derive(Debug)]
pub(crate) struct Readers {
    light: Places,
    scans: Places,
}

/// The permits of one kind.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    shares: Shares<Asker>,
}

/// A permit; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ReaderPlace {
    _place: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl Readers {
    /// Shares out so many connections: half of them to scans, half of each kind to one asker, and never none.
    pub(crate) fn new(connections: u32) -> Self {
        let connections = usize::try_from(connections).unwrap_or(1).max(2);
        let scans = connections / 2;
        Self {
            light: Places::new(connections - scans),
            scans: Places::new(scans),
        }
    }

    /// Waits for a permit, until the query's deadline.
    pub(crate) async fn place(&self, reading: Reading, operation: &Operation) -> Result<ReaderPlace, Error> {
        let places = match reading {
            Reading::Light => &self.light,
            Reading::Scan => &self.scans,
        };
        let waiting = async {
            // First the share: waiting for it holds up no other asker.
            let share = places.shares.of(operation.asker()).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>(ReaderPlace {
                _place: Arc::clone(&places.all).acquire_owned().await?,
                _share: share,
            })
        };
        match timeout_at(operation.deadline().into(), waiting).await {
            Ok(Ok(place)) => Ok(place),
            // Neither semaphore is ever closed.
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => Err(Error::Busy),
        }
    }
}

impl Places {
    fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            shares: Shares::new(places / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asking(key: i64) -> Operation {
        Operation::new(Asker::Key(key), Duration::from_secs(600))
    }

    #[tokio::test(start_paused = true)]
    async fn one_asker_never_has_all_places_and_each_kind_has_its_own() {
        let readers = Readers::new(8);
        let (greedy, other, third) = (asking(1), asking(2), asking(3));
        let soon = |place| tokio::time::timeout(Duration::from_secs(1), place);
        let mut held = Vec::new();
        for reading in [Reading::Scan, Reading::Light] {
            for _ in 0..2 {
                held.push(soon(readers.place(reading, &greedy)).await.unwrap().unwrap());
            }
            assert!(soon(readers.place(reading, &greedy)).await.is_err());
            let others = [
                soon(readers.place(reading, &other)).await.unwrap().unwrap(),
                soon(readers.place(reading, &other)).await.unwrap().unwrap(),
            ];
            // All four permits of the kind are taken.
            assert!(soon(readers.place(reading, &third)).await.is_err());
            drop(others);
            assert!(soon(readers.place(reading, &third)).await.is_ok());
        }
        held.remove(0);
        assert!(soon(readers.place(Reading::Scan, &greedy)).await.is_ok());
        assert!(soon(readers.place(Reading::Light, &greedy)).await.is_err());
    }

    #[test]
    fn only_what_an_index_has_in_order_is_light() {
        let all = CallFilter::default;
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        let errors: Vec<Outcome> = Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.is_error())
            .collect();
        let not = |filter| CallFilter {
            not: Some(Box::new(filter)),
            ..all()
        };
        let light = [
            all(),
            CallFilter {
                servers: names(2),
                from: Some(mcptap_model::UnixNanos(1)),
                ..all()
            },
            CallFilter {
                tools: names(1),
                ..all()
            },
            CallFilter {
                session_id: Some("s".into()),
                ..all()
            },
            CallFilter {
                outcomes: errors.clone(),
                ..all()
            },
            CallFilter {
                trace_id: mcptap_model::TraceId::from_bytes(&[1; 16]).ok(),
                http_statuses: vec![599],
                ..all()
            },
        ];
        for filter in light {
            assert_eq!(Reading::of(&filter), Reading::Light, "{filter:?}");
        }
        let search = Some(mcptap_model::search::Query::parse("word"));
        let scans = [
            CallFilter {
                http_statuses: vec![599],
                ..all()
            },
            CallFilter {
                methods: names(1),
                ..all()
            },
            CallFilter {
                outcomes: vec![Outcome::Ok],
                ..all()
            },
            CallFilter {
                outcomes: errors.into_iter().take(1).collect(),
                ..all()
            },
            CallFilter {
                clients: names(1),
                ..all()
            },
            CallFilter {
                client_ips: names(1),
                ..all()
            },
            CallFilter {
                countries: names(1),
                ..all()
            },
            CallFilter {
                min_duration_ms: Some(1e9),
                ..all()
            },
            CallFilter {
                max_duration_ms: Some(-1.0),
                ..all()
            },
            CallFilter {
                tools: names(1),
                servers: names(1),
                ..all()
            },
            CallFilter {
                servers: names(PARTS + 1),
                ..all()
            },
            CallFilter {
                session_id: Some("s".into()),
                http_statuses: vec![599],
                ..all()
            },
            CallFilter {
                search: search.clone(),
                ..all()
            },
            not(all()),
            CallFilter {
                or: vec![CallFilter {
                    http_statuses: vec![599],
                    ..all()
                }],
                ..all()
            },
            CallFilter {
                trace_id: mcptap_model::TraceId::from_bytes(&[1; 16]).ok(),
                ..not(CallFilter { search, ..all() })
            },
        ];
        for filter in scans {
            assert_eq!(Reading::of(&filter), Reading::Scan, "{filter:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_question() {
        let readers = Readers::new(4);
        let _held = readers.place(Reading::Scan, &asking(1)).await.unwrap();
        let short = Operation::new(Asker::Key(1), Duration::from_millis(20));
        let refused = readers.place(Reading::Scan, &short).await;
        assert!(matches!(refused, Err(Error::Busy)));
    }
}
