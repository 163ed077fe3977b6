//! From when to when visits last, for followers who watch them.

use std::collections::HashMap;

use super::SessionName;
use super::naming::named_visit;
use crate::feed::recent::{Extent, Lasting};
use crate::read::readers::Reading;
use crate::read::scan::head;
use crate::read::visits::rows_with;
use crate::{Error, Store};

/// How many visits one statement asks about.
const AT_ONCE: usize = 500;

/// The client's calls that are nearest to a visit and not in it. (`+`: from the visit on, and not from the oldest call.)
const NEIGHBOURS: &str = "WITH visit (i, session, first, last, oldest) AS ({rows}) SELECT i, \
    (SELECT MAX(started_at) FROM calls WHERE calls.session = visit.session AND started_at < visit.first \
        AND started_at >= visit.oldest AND received_at >= visit.oldest), \
    (SELECT MIN(started_at) FROM calls WHERE calls.session = visit.session AND started_at > visit.last \
        AND +started_at >= visit.oldest AND received_at >= visit.oldest) FROM visit";

impl Store {
    /// Reads how long the watched visits of these ids last, where memory does not know it (any more).
    pub(crate) async fn learn_visits(&self, ids: &[String]) -> Result<(), Error> {
        let ids = self.inner.recent.unknown_visits(ids);
        if ids.is_empty() {
            return Ok(());
        }
        let tx = self.snapshot(Reading::Light).await?;
        let head = head(&*tx).await?;
        let names: Vec<Option<SessionName>> = ids.iter().map(|id| named_visit(id)).collect();
        let known: Vec<SessionName> = names.iter().flatten().cloned().collect();
        let places = self.places(&tx, &known).await?;
        let place = |name: &Option<SessionName>| places.get(name.as_ref()?);
        let rows = names.iter().enumerate().filter_map(|(index, name)| {
            let place = place(name)?;
            let row = place.rows.first()?;
            Some([index as i64, *row, place.first, place.last, self.oldest()])
        });
        let mut neighbours: HashMap<i64, (Option<i64>, Option<i64>)> = HashMap::new();
        for some in rows.collect::<Vec<_>>().chunks(AT_ONCE) {
            for row in rows_with(&tx, NEIGHBOURS, some.to_vec()).await? {
                neighbours.insert(
                    row.try_get_by_index(0)?,
                    (row.try_get_by_index(1)?, row.try_get_by_index(2)?),
                );
            }
        }
        tx.commit().await?;
        let extents = ids
            .into_iter()
            .zip(&names)
            .enumerate()
            .map(|(index, (id, name))| {
                let extent = place(name).map_or(Extent::Nowhere, |place| {
                    let (before, after) = neighbours.get(&(index as i64)).copied().unwrap_or_default();
                    Extent::Lasting(Lasting {
                        first: place.first,
                        last: place.last,
                        before,
                        after,
                    })
                });
                (id, extent)
            });
        self.inner.recent.learn(head, extents.collect());
        Ok(())
    }
}
