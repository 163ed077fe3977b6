//! What the index of words says of the queries in a filter, as conditions in SQL.
//!
//! What the index does not know yet, or not rightly, is little while it keeps up: then it is read here, and the condition
//! is exact. While the index is far behind, the condition lets through all that it does not know.

use std::collections::HashMap;
use std::ops::ControlFlow;

use mcptap_model::CallFilter;
use mcptap_model::search::{Finder, Key, Query, Searches};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Query as Select, UnionType};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, Statement};

use super::stored;
use crate::db::database::Backend;
use crate::read::scan::indexed;
use crate::rows::entity::{call, unindexed};
use crate::{Error, Store};

/// How many calls that the index does not know are read for a query.
const LATE: usize = 2_000;

/// How many of them are read together.
const CHUNK: usize = 200;

/// Up to how many calls of a query are listed; more are left to the database to find.
const FEW: usize = 5_000;

/// Which calls a query means.
#[derive(Clone, Debug)]
struct Answer {
    /// Every call that is meant, and no other where it is exact.
    condition: Expr,
    exact: bool,
}

/// The answers to the queries of a filter, by what they look for.
#[derive(Debug, Default)]
pub(crate) struct Lookup(HashMap<(String, bool), Answer>);

fn name(query: &Query) -> (String, bool) {
    (query.text().to_owned(), query.is_in_target_alone())
}

impl Lookup {
    /// Looks up all queries of a filter, however deep.
    pub(crate) async fn of(
        filter: &CallFilter,
        store: &Store,
        tx: &DatabaseTransaction,
    ) -> Result<Self, Error> {
        let mut queries = Vec::new();
        collect(filter, &mut queries);
        queries.sort_unstable_by_key(|query| name(query));
        queries.dedup_by_key(|query| name(query));
        if queries.is_empty() {
            return Ok(Self::default());
        }
        let late = Late::of(&queries, store, tx).await?;
        let mut answers = HashMap::new();
        for query in queries {
            let answer = late.answer(query, store.inner.database.backend(), tx).await?;
            answers.insert(name(query), answer);
        }
        Ok(Self(answers))
    }

    /// The condition for a query. `generous`: it may let through too much, otherwise too little.
    pub(crate) fn condition(&self, query: &Query, generous: bool) -> Expr {
        match self.0.get(&name(query)) {
            Some(answer) if answer.exact || generous => answer.condition.clone(),
            _ => Expr::cust(if generous { "TRUE" } else { "FALSE" }),
        }
    }

    /// Whether all conditions of a filter are exact.
    pub(crate) fn is_exact(&self, filter: &CallFilter) -> bool {
        let mut queries = Vec::new();
        collect(filter, &mut queries);
        queries
            .into_iter()
            .all(|query| self.0.get(&name(query)).is_some_and(|answer| answer.exact))
    }
}

fn collect<'a>(filter: &'a CallFilter, queries: &mut Vec<&'a Query>) {
    queries.extend(&filter.search);
    filter.not.iter().for_each(|not| collect(not, queries));
    filter.or.iter().for_each(|either| collect(either, queries));
}

/// What the index does not know.
enum Late {
    /// These calls in order, and which of them each query means.
    Few {
        calls: Vec<i64>,
        meant: HashMap<(String, bool), Vec<i64>>,
    },
    /// Whatever fulfils this condition.
    Many(Condition),
}

impl Late {
    async fn of(queries: &[&Query], store: &Store, tx: &DatabaseTransaction) -> Result<Self, Error> {
        let known = indexed(tx).await?;
        let mut noted = Select::select();
        noted.column(unindexed::Column::Call).from(unindexed::Entity);
        let mut all = Select::select();
        all.column(call::Column::Id)
            .from(call::Entity)
            .and_where(call::Column::Id.gt(known));
        let mut completed = Select::select();
        completed
            .column(call::Column::Id)
            .from(call::Entity)
            .and_where(call::Column::UpdatedSeq.gt(known));
        all.union(UnionType::Distinct, completed)
            .union(UnionType::Distinct, noted.clone())
            .limit(LATE as u64 + 1);
        let rows = tx.query_all(&all).await?;
        let calls: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
        let mut calls = calls?;
        calls.sort_unstable();
        if calls.len() > LATE {
            return Ok(Self::Many(
                Condition::any()
                    .add(call::Column::Id.gt(known))
                    .add(call::Column::UpdatedSeq.gt(known))
                    .add(call::Column::Id.in_subquery(noted)),
            ));
        }
        let mut meant: HashMap<(String, bool), Vec<i64>> = HashMap::new();
        let searches = Searches::new(queries.iter().copied().cloned());
        let texts = store.texts(tx);
        for calls in calls.chunks(CHUNK) {
            let calls = stored(calls, tx, &store.inner.dictionary).await?;
            let finder = || Finder::new(&searches);
            let read = texts.read(&calls, searches.need_bodies(), finder, |stored, finder| {
                let found = finder.found();
                for query in queries.iter().filter(|query| found.occurs(query)) {
                    meant.entry(name(query)).or_default().push(stored.row);
                }
                ControlFlow::Continue(())
            });
            let _all: ControlFlow<()> = read.await?;
        }
        Ok(Self::Few { calls, meant })
    }

    async fn answer(
        &self,
        query: &Query,
        backend: Backend,
        tx: &DatabaseTransaction,
    ) -> Result<Answer, Error> {
        let keys = query.keys();
        if keys.all.is_empty() {
            return Ok(Answer {
                condition: Expr::cust("TRUE"),
                exact: true,
            });
        }
        let index = Index {
            keys: &keys.all,
            backend,
        };
        let few = index.few(tx).await?;
        Ok(match self {
            Self::Few { calls, meant } => {
                let meant = meant.get(&name(query)).map_or(&[][..], Vec::as_slice);
                let condition = match few {
                    Some(mut few) => {
                        few.retain(|call| calls.binary_search(call).is_err());
                        few.extend(meant);
                        listed(&few, backend)
                    }
                    None => {
                        let known = index.condition().and(listed(calls, backend).not());
                        known.or(listed(meant, backend))
                    }
                };
                Answer {
                    condition,
                    exact: keys.exact,
                }
            }
            Self::Many(late) => {
                let known = few.map_or_else(|| index.condition(), |few| listed(&few, backend));
                Answer {
                    condition: known.or(Expr::from(late.clone())),
                    exact: false,
                }
            }
        })
    }
}

/// Keys that are looked up together.
struct Index<'a> {
    keys: &'a [Key],
    backend: Backend,
}

impl Index<'_> {
    /// The keys in the language of the database's index.
    fn text(&self) -> String {
        let keys = self
            .keys
            .iter()
            .map(|Key { text, prefix }| match (self.backend, prefix) {
                (Backend::Sqlite, false) => format!("\"{text}\""),
                (Backend::Sqlite, true) => format!("\"{text}\" *"),
                (Backend::Postgres, false) => format!("'{text}'"),
                (Backend::Postgres, true) => format!("'{text}':*"),
            });
        let between = match self.backend {
            Backend::Sqlite => " AND ",
            Backend::Postgres => " & ",
        };
        keys.collect::<Vec<String>>().join(between)
    }

    fn select(&self) -> &'static str {
        match self.backend {
            Backend::Sqlite => "SELECT rowid FROM search WHERE search MATCH ?",
            Backend::Postgres => "SELECT rowid FROM search WHERE words @@ $1::tsquery",
        }
    }

    /// All calls that have the keys, if these are few.
    async fn few(&self, tx: &DatabaseTransaction) -> Result<Option<Vec<i64>>, Error> {
        let statement = Statement::from_sql_and_values(
            tx.get_database_backend(),
            format!("{} LIMIT {}", self.select(), FEW + 1),
            [self.text().into()],
        );
        let rows = tx.query_all_raw(statement).await?;
        let calls: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
        Ok(Some(calls?).filter(|calls| calls.len() <= FEW))
    }

    /// For many. The plus keeps SQLite, which does not know that they are many, from fetching each to put it in order.
    fn condition(&self) -> Expr {
        let plus = match self.backend {
            Backend::Sqlite => "+",
            Backend::Postgres => "",
        };
        Expr::cust_with_values(format!("{plus}calls.id IN ({})", self.select()), [self.text()])
    }
}

/// One of these calls.
fn listed(calls: &[i64], backend: Backend) -> Expr {
    if calls.is_empty() {
        return Expr::cust("FALSE");
    }
    match backend {
        // As one value: there may be more than SQLite takes.
        Backend::Sqlite => Expr::cust_with_values(
            "calls.id IN (SELECT value FROM json_each(?))",
            [serde_json::Value::from(calls).to_string()],
        ),
        Backend::Postgres => Expr::cust_with_values("calls.id = ANY($1)", [calls.to_vec()]),
    }
}
