//! Searching. An index of words says which calls have a query's keys. What it does not say (phrases of more than two
//! words, calls that it does not know yet) is decided by reading bodies and log lines, here.

mod index;
mod live;
mod lookup;
mod texts;

use std::ops::ControlFlow;

use mcptap_model::CallFilter;
use mcptap_model::search::{Finder, Searches};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

pub(crate) use self::index::{Indexer, UnindexedRow, unindex};
pub(crate) use self::live::{LiveSearcher, LiveSearches};
pub(crate) use self::lookup::Lookup;
pub(crate) use self::texts::Texts;
use crate::limits::operation::Operation;
use crate::rows::dictionary::Dictionary;
use crate::rows::entity::call;
use crate::{Error, Store, Stored};

impl Store {
    /// Texts in a snapshot, for the query that this task runs for.
    pub(crate) fn texts<'a>(&'a self, tx: &'a DatabaseTransaction) -> Texts<'a> {
        Texts {
            tx,
            cpu: &self.inner.cpu,
            memory: Some(&self.inner.memory),
            operation: Operation::reading(self.inner.options.read_timeout),
            counters: &self.inner.counters,
        }
    }
}

impl Texts<'_> {
    /// Shows those of the calls that the filter means to `visit`, in their order, until that breaks off.
    pub(crate) async fn matching(
        &self,
        filter: &CallFilter,
        calls: Vec<Stored>,
        mut visit: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let (searches, matcher) = (Searches::of(filter), filter.compile());
        self.read(
            &calls,
            searches.need_bodies(),
            || Finder::new(&searches),
            |stored, finder| {
                if matcher.matches(&stored.call, Some(&finder.found())) {
                    visit(stored.clone())
                } else {
                    ControlFlow::Continue(())
                }
            },
        )
        .await
    }
}

/// The calls in these rows.
async fn stored(
    rows: &[i64],
    tx: &DatabaseTransaction,
    dictionary: &Dictionary,
) -> Result<Vec<Stored>, Error> {
    let rows = call::Entity::find()
        .filter(call::Column::Id.is_in(rows.iter().copied()))
        .all(tx)
        .await?;
    dictionary.stored(tx, rows).await
}
