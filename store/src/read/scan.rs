//! Walking through the calls of a filter, in one direction, without ever counting rows off.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use mcptap_model::{CallFilter, UnixNanos};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, Statement,
};

use crate::limits::operation::Operation;
use crate::read::filter::{Terms, condition, parts};
use crate::rows::entity::call;
use crate::search::Lookup;
use crate::{CallPosition, Error, Seq, Store, Stored, clock};

/// How many rows are looked at together when their bodies decide.
const CHUNK: u64 = 200;

/// Which way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Newest first: the order of pages.
    Older,
    /// Oldest first.
    Newer,
}

/// The calls of one filter in one snapshot.
pub(crate) struct Scan<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tx: &'a DatabaseTransaction,
    pub(crate) filter: Cow<'a, CallFilter>,
    condition: Condition,
    exact: bool,
    terms: Terms,
    /// Looked up when it is first needed: counting and probing need none.
    parts: OnceLock<Vec<Expr>>,
}

impl<'a> Scan<'a> {
    /// Reads what the filter's words mean, and what the index knows of its searches.
    pub(crate) async fn new(
        store: &'a Store,
        tx: &'a DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Scan<'a>, Error> {
        let lookup = Lookup::of(filter, store, tx).await?;
        Self::with(&lookup, store, tx, filter).await
    }

    /// The same without the index of words, for calls that are so new that it cannot know them.
    pub(crate) async fn of_new_calls(
        store: &'a Store,
        tx: &'a DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Scan<'a>, Error> {
        Self::with(&Lookup::default(), store, tx, filter).await
    }

    /// The same, where it was looked up already what the index knows of the filter's searches.
    pub(crate) async fn with(
        lookup: &Lookup,
        store: &'a Store,
        tx: &'a DatabaseTransaction,
        filter: &'a CallFilter,
    ) -> Result<Scan<'a>, Error> {
        let filter = store.with_visits(tx, filter).await?;
        let terms = Terms::of(&filter, tx).await?;
        Ok(Self {
            store,
            tx,
            condition: Condition::all()
                .add(condition(&filter, &terms, lookup))
                .add(store.kept()),
            exact: lookup.is_exact(&filter),
            parts: OnceLock::new(),
            terms,
            filter,
        })
    }

    /// The condition that rows must fulfil.
    pub(crate) fn condition(&self) -> Condition {
        self.condition.clone()
    }

    /// Whether the condition alone decides. Otherwise some that fulfil it are not meant.
    pub(crate) fn exact(&self) -> bool {
        self.exact
    }

    /// At most `wanted` calls strictly between two positions, starting after `from`.
    pub(crate) async fn take(
        &self,
        direction: Direction,
        from: Option<CallPosition>,
        until: Option<CallPosition>,
        wanted: usize,
    ) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::new();
        let chunk = if self.exact() { wanted as u64 } else { CHUNK };
        self.walk(direction, from, until, chunk, |stored| {
            if found.len() < wanted {
                found.push(stored);
            }
            if found.len() < wanted {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .await?;
        Ok(found)
    }

    /// Shows every call to `visit`, reading `chunk` rows at a time, until it breaks off or there are no more.
    pub(crate) async fn walk(
        &self,
        direction: Direction,
        from: Option<CallPosition>,
        until: Option<CallPosition>,
        chunk: u64,
        visit: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.walk_rows(direction, from, until, chunk, |_| {}, visit).await
    }

    /// The same, and shows each chunk of rows to `look` before their calls are shown to `visit`: texts have not decided yet
    /// which of them are meant.
    pub(crate) async fn walk_rows(
        &self,
        direction: Direction,
        mut from: Option<CallPosition>,
        until: Option<CallPosition>,
        chunk: u64,
        mut look: impl FnMut(&[call::Model]),
        mut visit: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let parts = self.parts().await?;
        loop {
            let between = Condition::all()
                .add_option(from.map(|from| beyond(direction, from)))
                .add_option(until.map(|until| beyond(direction.reverse(), until)));
            let select = match self.of_parts(parts, direction, &between, chunk) {
                Some(ids) => call::Entity::find().filter(call::Column::Id.in_subquery(ids)),
                None => call::Entity::find().filter(self.condition()).filter(between),
            };
            let rows = direction.order(select).limit(chunk).all(self.tx).await?;
            let full = rows.len() as u64 == chunk;
            from = rows.last().map(|row| CallPosition {
                started_at: UnixNanos(row.started_at),
                row: row.id,
            });
            look(&rows);
            let calls = self.store.inner.dictionary.stored(self.tx, rows).await?;
            let end = if self.exact {
                calls.into_iter().try_for_each(&mut visit)
            } else {
                let texts = self.store.texts(self.tx);
                texts.matching(&self.filter, calls, &mut visit).await?
            };
            if end.is_break() || !full {
                return Ok(());
            }
            if Operation::current().is_some_and(|operation| operation.is_over()) {
                return Err(Error::TimedOut);
            }
        }
    }

    async fn parts(&self) -> Result<&[Expr], Error> {
        if let Some(parts) = self.parts.get() {
            return Ok(parts);
        }
        let found = parts(&self.filter, &self.terms, self.tx).await?;
        Ok(self.parts.get_or_init(|| found))
    }

    /// The first `chunk` rows of each part: among them are the first of the whole. An index gives each part in order;
    /// it could not give the whole.
    fn of_parts(
        &self,
        parts: &[Expr],
        direction: Direction,
        between: &Condition,
        chunk: u64,
    ) -> Option<SelectStatement> {
        let mut ids = parts.iter().map(|part| {
            let some = call::Entity::find()
                .select_only()
                .column(call::Column::Id)
                .filter(part.clone())
                .filter(self.condition())
                .filter(between.clone());
            let some = direction.order(some).limit(chunk).into_query();
            // A part has its own order and limit, which a union takes from subselects only.
            Query::select()
                .column(call::Column::Id)
                .from_subquery(some, Alias::new("part"))
                .take()
        });
        let mut first = ids.next()?;
        for other in ids {
            first.union(UnionType::All, other);
        }
        Some(first)
    }

    /// Whether the filter means any call beyond a position.
    pub(crate) async fn any(&self, direction: Direction, from: CallPosition) -> Result<bool, Error> {
        Ok(!self.take(direction, Some(from), None, 1).await?.is_empty())
    }
}

impl Direction {
    /// The other way.
    pub(crate) fn reverse(self) -> Self {
        match self {
            Self::Older => Self::Newer,
            Self::Newer => Self::Older,
        }
    }

    fn order(self, select: Select<call::Entity>) -> Select<call::Entity> {
        let order = match self {
            Self::Older => Order::Desc,
            Self::Newer => Order::Asc,
        };
        select
            .order_by(call::Column::StartedAt, order.clone())
            .order_by(call::Column::Id, order)
    }
}

/// Strictly beyond a position. The first part alone bounds the index, the second is exact.
pub(crate) fn beyond(direction: Direction, position: CallPosition) -> Condition {
    let (time, row) = (position.started_at.0, position.row);
    let (bound, exact) = match direction {
        Direction::Older => (
            call::Column::StartedAt.lte(time),
            call::Column::StartedAt.lt(time).or(call::Column::Id.lt(row)),
        ),
        Direction::Newer => (
            call::Column::StartedAt.gte(time),
            call::Column::StartedAt.gt(time).or(call::Column::Id.gt(row)),
        ),
    };
    Condition::all().add(bound).add(exact)
}

impl Store {
    /// The condition that a row is not past its time: by when it began, and by when it arrived.
    pub(crate) fn kept(&self) -> Condition {
        let oldest = self.inner.options.retention.map(clock::ago);
        Condition::all()
            .add_option(oldest.map(|oldest| call::Column::StartedAt.gte(oldest.0)))
            .add_option(oldest.map(|oldest| call::Column::ReceivedAt.gte(oldest.0)))
    }
}

/// The last committed change.
pub(crate) async fn head(db: &impl ConnectionTrait) -> Result<Seq, Error> {
    of_sequence(db, "SELECT value FROM sequence WHERE id = 1")
        .await
        .map(Seq)
}

/// The number that tells this database from others.
pub(crate) async fn identity(db: &impl ConnectionTrait) -> Result<i64, Error> {
    of_sequence(db, "SELECT identity FROM sequence WHERE id = 1").await
}

/// The last change that the index of words knows.
pub(crate) async fn indexed(db: &impl ConnectionTrait) -> Result<i64, Error> {
    of_sequence(db, "SELECT indexed FROM sequence WHERE id = 1").await
}

async fn of_sequence(db: &impl ConnectionTrait, text: &str) -> Result<i64, Error> {
    let statement = Statement::from_string(db.get_database_backend(), text);
    let row = db.query_one_raw(statement).await?;
    let row = row.ok_or(Error::Damaged {
        table: "sequence",
        row: 1,
        what: "is missing",
    })?;
    Ok(row.try_get_by_index(0)?)
}
