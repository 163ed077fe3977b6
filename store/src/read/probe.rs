//! Whether stretches of an index hold calls of a filter: many stretches are probed by one statement, each from its latest
//! call on until one is found.

use sea_orm::sea_query::{
    Alias, CaseStatement, Expr, ExprTrait, Func, Order, Query, SelectStatement, Value, ValueTuple,
};
use sea_orm::{ConnectionTrait, DbBackend, IdenStatic};

use mcptap_model::CallFilter;

use crate::Error;
use crate::read::scan::Scan;
use crate::rows::entity::call;

/// How many calls of one stretch are looked at.
const LOOKED_AT: u64 = 1_000;

/// How many stretches one statement probes.
const AT_ONCE: usize = 100;

/// An index of `N` columns and the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index<const N: usize> {
    /// The columns.
    pub(crate) columns: [call::Column; N],
    /// Which calls are in it, where not all are.
    pub(crate) only: Option<&'static str>,
}

/// Calls that follow each other in an index of `N` columns and the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<const N: usize> {
    /// The values of the columns.
    pub(crate) keys: [i64; N],
    /// The earliest start, in nanoseconds since 1970.
    pub(crate) first: i64,
    /// The latest start, in nanoseconds since 1970.
    pub(crate) last: i64,
}

/// Whether calls of a filter are better looked for among others than listed: those of a session, a trace or a search are
/// few, or found by an index that is read as a whole each time.
pub(crate) fn is_probed(filter: &CallFilter) -> bool {
    filter.session_id.is_none() && filter.trace_id.is_none() && !searches(filter)
}

fn searches(filter: &CallFilter) -> bool {
    filter.search.is_some() || filter.not.iter().any(|not| searches(not)) || filter.or.iter().any(searches)
}

impl Scan<'_> {
    /// Whether each stretch of an index has a call that fulfils the condition; `None` where the latest 1,000 of its calls
    /// do not, and there are more.
    pub(crate) async fn any_in<const N: usize>(
        &self,
        index: Index<N>,
        stretches: &[Stretch<N>],
    ) -> Result<Vec<Option<bool>>, Error> {
        let mut found = vec![None; stretches.len()];
        for (chunk, some) in stretches.chunks(AT_ONCE).enumerate() {
            for row in self.tx.query_all(&self.probe(index, some)).await? {
                let number: i64 = row.try_get_by_index(0)?;
                let any: Option<i32> = row.try_get_by_index(1)?;
                let at = usize::try_from(number)
                    .ok()
                    .map(|number| chunk * AT_ONCE + number);
                if let Some(found) = at.and_then(|at| found.get_mut(at)) {
                    *found = any.map(|any| any == 1);
                }
            }
        }
        Ok(found)
    }

    fn probe<const N: usize>(&self, index: Index<N>, stretches: &[Stretch<N>]) -> SelectStatement {
        let table = Alias::new("stretches");
        // `VALUES` names its columns so on both databases.
        let given = |number: usize| Expr::col((table.clone(), Alias::new(format!("column{number}"))));
        let rows = stretches.iter().enumerate().map(|(number, stretch)| {
            let numbers = [number as i64].into_iter().chain(stretch.keys);
            let numbers = numbers.chain([stretch.first, stretch.last]);
            ValueTuple::Many(numbers.map(|number| Value::BigInt(Some(number))).collect())
        });
        // In the order of the index, so that it is read from its end and no further than it takes. SQLite takes two bounds
        // for so narrow that an index by fewer columns is as good; it is told that they are not.
        let started = || Expr::col((call::Entity, call::Column::StartedAt));
        let backend = self.tx.get_database_backend();
        let wide = |bound: Expr| match backend {
            DbBackend::Sqlite => Func::cust("likely").arg(bound).into(),
            _ => bound,
        };
        let within = || {
            let mut calls = Query::select();
            calls.from(call::Entity);
            for (column, number) in index.columns.into_iter().zip(2..) {
                calls.and_where(Expr::col((call::Entity, column)).eq(given(number)));
            }
            if let Some(only) = index.only {
                calls.and_where(Expr::cust(only));
            }
            calls
                .and_where(wide(started().gte(given(N + 2))))
                .and_where(wide(started().lte(given(N + 3))))
                .order_by((call::Entity, call::Column::StartedAt), Order::Desc)
                .take()
        };
        let one = |select: SelectStatement| Expr::SubQuery(None, Box::new(select.into()));
        let newest = within().expr(Expr::cust("*")).limit(LOOKED_AT).take();
        let meant = Query::select()
            .expr(Expr::cust("1"))
            .from_subquery(newest, Alias::new(call::Entity.as_str()))
            .cond_where(self.condition())
            .limit(1)
            .take();
        let more = within().expr(Expr::cust("1")).limit(1).offset(LOOKED_AT).take();
        let any = CaseStatement::new()
            .case(one(meant).is_not_null(), Expr::cust("1"))
            .case(one(more).is_null(), Expr::cust("0"));
        Query::select()
            .expr(given(1))
            .expr(any)
            .from_values(rows, table.clone())
            .take()
    }
}
