//! `impl Store`: which tools have been called.

use mcptap_model::CallFilter;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, JoinType, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, IdenStatic};

use crate::entity::{call, name};
use crate::readers::Reading;
use crate::scan::Scan;
use crate::servers::text_in_bytes;
use crate::tally::Counter;
use crate::{Error, Page, PageRequest, Store};

/// How many pairs of ids one statement puts in order, where texts decide which calls are meant.
const PAIRS: usize = 500;

/// A tool of a server. Also its position: tools are ordered by name, then by server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The server's name.
    pub server: String,
}

impl Store {
    /// Tools with calls of the filter, by name, then by server.
    pub async fn tools(&self, filter: &CallFilter, page: PageRequest<Tool>) -> Result<Page<Tool>, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let mut bounds = page.bounds();
        let mut items = if scan.exact() {
            let distinct = Query::select()
                .columns([call::Column::Tool, call::Column::Server])
                .from(call::Entity)
                .cond_where(scan.condition())
                .and_where(call::Column::Tool.is_not_null())
                .group_by_columns([call::Column::Tool, call::Column::Server])
                .take();
            first_tools(&tx, distinct, &page).await?
        } else {
            self.tools_by_texts(&tx, &scan, &page).await?
        };
        tx.commit().await?;
        let cut = items.len() > bounds.size;
        items.truncate(bounds.size);
        let behind = if bounds.backward {
            page.before.is_some()
        } else {
            page.after.is_some()
        };
        bounds.set(cut, behind);
        if bounds.backward {
            items.reverse();
        }
        Ok(Page {
            items,
            has_next: bounds.has_next,
            has_previous: bounds.has_previous,
        })
    }

    /// The first tools of the page and one more, where texts decide which calls are meant. Of the others only numbers are
    /// kept, and what these take is taken from the process's memory budget.
    async fn tools_by_texts(
        &self,
        tx: &DatabaseTransaction,
        scan: &Scan<'_>,
        page: &PageRequest<Tool>,
    ) -> Result<Vec<Tool>, Error> {
        let mut pairs = Counter::new(&self.inner.memory);
        scan.tally(|tally| {
            let pair = tally.tool.map(|tool| (tool, tally.server));
            Ok(pair.map_or(Ok(()), |pair| pairs.add(pair, 1))?)
        })
        .await?;
        let bounds = page.bounds();
        let mut first: Vec<Tool> = Vec::new();
        let mut pairs = pairs.values().peekable();
        while pairs.peek().is_some() {
            let given = Alias::new("given");
            let some = Query::select()
                .expr_as(
                    Expr::col((given.clone(), Alias::new("column1"))),
                    Alias::new(call::Column::Tool.as_str()),
                )
                .expr_as(
                    Expr::col((given.clone(), Alias::new("column2"))),
                    Alias::new(call::Column::Server.as_str()),
                )
                .from_values(pairs.by_ref().take(PAIRS), given)
                .take();
            first.extend(first_tools(tx, some, page).await?);
            first.sort_unstable();
            if bounds.backward {
                first.reverse();
            }
            first.truncate(bounds.size + 1);
        }
        Ok(first)
    }

    /// Whether that tool of that server has been called.
    pub async fn tool(&self, server: &str, name: &str) -> Result<Option<Tool>, Error> {
        let filter = CallFilter {
            servers: vec![server.to_owned()],
            tools: vec![name.to_owned()],
            ..CallFilter::default()
        };
        let tx = self.snapshot(Reading::Light).await?;
        let scan = Scan::new(self, &tx, &filter).await?;
        let one = Query::select()
            .expr(Expr::cust("1"))
            .from(call::Entity)
            .cond_where(scan.condition())
            .limit(1)
            .take();
        let called = tx.query_one(&one).await?.is_some();
        tx.commit().await?;
        Ok(called.then(|| Tool {
            name: name.to_owned(),
            server: server.to_owned(),
        }))
    }
}

/// The first tools of a page among pairs of ids, and one more: no row leaves the database but those.
async fn first_tools(
    tx: &DatabaseTransaction,
    pairs: SelectStatement,
    page: &PageRequest<Tool>,
) -> Result<Vec<Tool>, Error> {
    let bounds = page.bounds();
    let order = if bounds.backward { Order::Desc } else { Order::Asc };
    let (called, tools, servers) = (Alias::new("called"), Alias::new("tools"), Alias::new("servers"));
    let id_of = |names: &Alias| Expr::col((names.clone(), name::Column::Id));
    let backend = tx.get_database_backend();
    let (tool, server) = (
        || text_in_bytes("tools", backend),
        || text_in_bytes("servers", backend),
    );
    let beyond = |position: &Tool, later: bool| {
        let (name, of) = (position.name.as_str(), position.server.as_str());
        if later {
            tool().gt(name).or(tool().eq(name).and(server().gt(of)))
        } else {
            tool().lt(name).or(tool().eq(name).and(server().lt(of)))
        }
    };
    let select = Query::select()
        .column((tools.clone(), name::Column::Text))
        .column((servers.clone(), name::Column::Text))
        .from_subquery(pairs, called.clone())
        .join_as(
            JoinType::InnerJoin,
            name::Entity,
            tools.clone(),
            id_of(&tools).equals((called.clone(), call::Column::Tool)),
        )
        .join_as(
            JoinType::InnerJoin,
            name::Entity,
            servers.clone(),
            id_of(&servers).equals((called, call::Column::Server)),
        )
        .cond_where(
            Condition::all()
                .add_option(page.after.as_ref().map(|after| beyond(after, true)))
                .add_option(page.before.as_ref().map(|before| beyond(before, false))),
        )
        .order_by_expr(tool(), order.clone())
        .order_by_expr(server(), order)
        .limit(bounds.size as u64 + 1)
        .take();
    let rows = tx.query_all(&select).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(Tool {
            name: row.try_get_by_index(0)?,
            server: row.try_get_by_index(1)?,
        });
    }
    Ok(items)
}
