//! `impl Store`: which tools have been called.

use std::collections::HashSet;

use mcptap_model::CallFilter;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, JoinType, Order, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction};

use crate::entity::{call, name};
use crate::readers::Reading;
use crate::scan::Scan;
use crate::servers::text_in_bytes;
use crate::{Error, Page, PageRequest, Store};

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
        let tools = if scan.exact() {
            self.distinct_tools(&tx, &scan, &page).await?
        } else {
            self.tools_by_texts(&tx, &scan, &page).await?
        };
        tx.commit().await?;
        Ok(tools)
    }

    /// The page, as the database finds it: no row leaves it but those of the page.
    async fn distinct_tools(
        &self,
        tx: &DatabaseTransaction,
        scan: &Scan<'_>,
        page: &PageRequest<Tool>,
    ) -> Result<Page<Tool>, Error> {
        let mut bounds = page.bounds();
        let order = if bounds.backward { Order::Desc } else { Order::Asc };
        let (called, tools, servers) = (Alias::new("called"), Alias::new("tools"), Alias::new("servers"));
        let id_of = |names: &Alias| Expr::col((names.clone(), name::Column::Id));
        let distinct = Query::select()
            .columns([call::Column::Tool, call::Column::Server])
            .from(call::Entity)
            .cond_where(scan.condition())
            .and_where(call::Column::Tool.is_not_null())
            .group_by_columns([call::Column::Tool, call::Column::Server])
            .take();
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
            .from_subquery(distinct, called.clone())
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

    /// The page, where texts decide which calls are meant.
    async fn tools_by_texts(
        &self,
        tx: &DatabaseTransaction,
        scan: &Scan<'_>,
        page: &PageRequest<Tool>,
    ) -> Result<Page<Tool>, Error> {
        let mut pairs: HashSet<(i64, i64)> = HashSet::new();
        scan.tally(|tally| pairs.extend(tally.tool.map(|tool| (tool, tally.server))))
            .await?;
        let ids = pairs.iter().flat_map(|(tool, server)| [*tool, *server]);
        let names = self.inner.dictionary.names(tx, ids).await?;
        let name = |id: &i64| names.get(id).map(|name| name.to_string());
        let tools = pairs.iter().filter_map(|(tool, server)| {
            Some(Tool {
                name: name(tool)?,
                server: name(server)?,
            })
        });
        let mut tools: Vec<Tool> = tools.collect();
        tools.sort_unstable();
        Ok(Page::cut(tools, page, Clone::clone))
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
