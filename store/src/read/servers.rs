//! `impl Store`: which MCP servers have been seen. Derived from their calls, never stored: the index by server and time
//! answers at once.

use mcptap_model::UnixNanos;
use sea_orm::sea_query::{Expr, ExprTrait, Func, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult};

use crate::read::readers::Reading;
use crate::rows::entity::{call, name};
use crate::rows::intern::NameKind;
use crate::{Error, Page, PageRequest, Store};

/// An MCP server that calls were made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, which identifies it.
    pub name: String,
    /// The earliest start of a call of it that is kept.
    pub first_seen_at: UnixNanos,
    /// The latest start of a call of it.
    pub last_seen_at: UnixNanos,
}

impl Store {
    /// Servers, by name.
    pub async fn servers(&self, page: PageRequest<String>) -> Result<Page<Server>, Error> {
        self.servers_among(&[], page).await
    }

    /// Those of these servers that have calls, by name; of all, when none is named.
    pub async fn servers_among(
        &self,
        names: &[String],
        page: PageRequest<String>,
    ) -> Result<Page<Server>, Error> {
        let bounds = page.bounds();
        let order = if bounds.backward { Order::Desc } else { Order::Asc };
        let mut select = self.seen_among(names);
        let text = || text_in_bytes("names", self.inner.database.read().get_database_backend());
        if let Some(after) = &page.after {
            select.and_where(text().gt(after.as_str()));
        }
        if let Some(before) = &page.before {
            select.and_where(text().lt(before.as_str()));
        }
        select.order_by_expr(text(), order).limit(bounds.size as u64 + 1);
        let tx = self.snapshot(Reading::Light).await?;
        let rows = tx.query_all(&select).await?;
        tx.commit().await?;
        let items: Result<Vec<Server>, Error> = rows.iter().map(server_in).collect();
        Ok(Page::of_found(items?, &page))
    }

    /// Those of these servers that have calls, in no order.
    pub(crate) async fn servers_named(
        &self,
        tx: &DatabaseTransaction,
        names: &[String],
    ) -> Result<Vec<Server>, Error> {
        let rows = tx.query_all(&self.seen_among(names)).await?;
        rows.iter().map(server_in).collect()
    }

    /// The servers of these names, or all when none is given.
    fn seen_among(&self, names: &[String]) -> SelectStatement {
        let mut select = self.seen();
        if !names.is_empty() {
            let hashes = names
                .iter()
                .map(|name| crate::rows::intern::name_hash(NameKind::Server, name));
            select.and_where(name::Column::Hash.is_in(hashes));
        }
        select
    }

    /// The server of that name.
    pub async fn server(&self, name: &str) -> Result<Option<Server>, Error> {
        let mut select = self.seen();
        select.and_where(name::Column::Hash.eq(crate::rows::intern::name_hash(NameKind::Server, name)));
        let tx = self.snapshot(Reading::Light).await?;
        let row = tx.query_one(&select).await?;
        tx.commit().await?;
        row.as_ref().map(server_in).transpose()
    }

    /// Names of servers that have calls, with the first and last of them.
    fn seen(&self) -> SelectStatement {
        let calls = |what: Expr| {
            Query::select()
                .expr(what)
                .from(call::Entity)
                .and_where(
                    Expr::col((call::Entity, call::Column::Server)).equals((name::Entity, name::Column::Id)),
                )
                .cond_where(self.kept())
                .take()
        };
        let started = || Expr::col(call::Column::StartedAt);
        Query::select()
            .column(name::Column::Text)
            .expr(Expr::SubQuery(
                None,
                Box::new(calls(Func::min(started()).into()).into()),
            ))
            .expr(Expr::SubQuery(
                None,
                Box::new(calls(Func::max(started()).into()).into()),
            ))
            .from(name::Entity)
            .and_where(name::Column::Kind.eq(NameKind::Server as i16))
            .and_where(Expr::exists(calls(Expr::cust("1"))))
            .take()
    }
}

/// A row of what [`Store::seen`] selects.
fn server_in(row: &QueryResult) -> Result<Server, Error> {
    Ok(Server {
        name: row.try_get_by_index(0)?,
        first_seen_at: UnixNanos(row.try_get_by_index(1)?),
        last_seen_at: UnixNanos(row.try_get_by_index(2)?),
    })
}

/// Names (of a table under this name) in the order of their bytes, whatever the database's language.
pub(crate) fn text_in_bytes(names: &str, backend: DbBackend) -> Expr {
    let bytes = if backend == DbBackend::Postgres {
        "\"C\""
    } else {
        "BINARY"
    };
    Expr::cust(format!("{names}.text COLLATE {bytes}"))
}
