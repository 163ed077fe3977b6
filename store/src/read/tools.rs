//! `impl Store`: which tools have been called.

use std::collections::HashMap;

use mcptap_model::CallFilter;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, JoinType, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, IdenStatic, QueryResult};

use crate::read::filter::{IS_ERROR, is_of_errors};
use crate::read::probe::{Index, Stretch, is_probed};
use crate::read::readers::Reading;
use crate::read::scan::Scan;
use crate::read::servers::text_in_bytes;
use crate::read::tally::Counter;
use crate::read::visits::rows_with;
use crate::rows::entity::{call, name};
use crate::rows::intern::{NameKind, name_hash};
use crate::{Error, Page, PageRequest, Store};

/// How many pairs of ids one statement puts in order, where texts decide which calls are meant.
const PAIRS: usize = 500;

/// How many names of tools are looked at first, and at most at a time.
const NAMES: usize = 200;
const MOST_NAMES: usize = 12_800;

/// How many servers these tools may have together.
const MOST_PAIRS: usize = 4 * MOST_NAMES;

/// How many tools are probed at a time, or as many as a page has.
const AT_A_TIME: usize = 50;

/// Of how many tools one statement finds the servers.
const AT_ONCE: usize = 500;

/// The servers that have calls of these tools, by jumping from one to the next along the index: as many seeks as there
/// are servers, however many calls each has.
const SERVERS_OF_TOOLS: &str = "WITH RECURSIVE wanted (tool) AS ({rows}), \
    pairs (tool, server) AS (SELECT tool, (SELECT MIN(server) FROM calls WHERE calls.tool = wanted.tool) FROM wanted \
        UNION ALL SELECT tool, (SELECT MIN(server) FROM calls WHERE calls.tool = pairs.tool \
            AND calls.server > pairs.server) FROM pairs WHERE server IS NOT NULL) \
    SELECT tool, server FROM pairs WHERE server IS NOT NULL";

/// A tool of a server. Also its position: tools are ordered by name, then by server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The server's name.
    pub server: String,
}

/// Each tool with each server that has calls of it; `None` where that is more than `most` pairs.
pub(crate) async fn of_servers(
    tx: &DatabaseTransaction,
    tools: &[i64],
    most: usize,
) -> Result<Option<Vec<(i64, i64)>>, Error> {
    // With a limit the databases stop there, however many servers there are.
    let statement = format!("{SERVERS_OF_TOOLS} LIMIT {}", most + 1);
    let mut pairs = Vec::new();
    for some in tools.chunks(AT_ONCE) {
        let tools = some.iter().map(|tool| [*tool]).collect();
        for row in rows_with(tx, &statement, tools).await? {
            pairs.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
        if pairs.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(pairs))
}

impl Store {
    /// Tools with calls of the filter, by name, then by server.
    pub async fn tools(&self, filter: &CallFilter, page: PageRequest<Tool>) -> Result<Page<Tool>, Error> {
        let tx = self.snapshot(Reading::Scan).await?;
        let scan = Scan::new(self, &tx, filter).await?;
        let items = if !scan.exact() {
            self.tools_by_texts(&tx, &scan, &page).await?
        } else if let Some(tools) = self.probed_tools(&tx, &scan, &page).await? {
            tools
        } else {
            first_tools(&tx, called(&scan), &page).await?
        };
        tx.commit().await?;
        Ok(Page::of_found(items, &page))
    }

    /// The first tools of the page and one more, by going through the names of tools in their order and looking for a call
    /// of each, until there are enough: no call is read that does not tell of a tool of the page. `None` where that would
    /// not say it soon.
    async fn probed_tools(
        &self,
        tx: &DatabaseTransaction,
        scan: &Scan<'_>,
        page: &PageRequest<Tool>,
    ) -> Result<Option<Vec<Tool>>, Error> {
        if !is_probed(&scan.filter) {
            return Ok(None);
        }
        let bounds = page.bounds();
        let wanted = bounds.size + 1;
        let index = Index {
            columns: [call::Column::Tool, call::Column::Server],
            only: is_of_errors(&scan.filter).then_some(IS_ERROR),
        };
        let first = scan.filter.from.map_or(i64::MIN, |from| from.0);
        let first = std::cmp::max(first, self.oldest());
        let last = scan.filter.to.map_or(i64::MAX, |to| to.0.saturating_sub(1));
        let mut held = self.inner.memory.hold_nothing();
        let mut items: Vec<Tool> = Vec::new();
        let mut named = NAMES;
        let mut passed: Option<String> = None;
        loop {
            let names = self
                .tool_names(tx, &scan.filter.tools, page, passed.as_deref(), named)
                .await?;
            let ids: Vec<i64> = names.iter().map(|(id, _)| *id).collect();
            let Some(pairs) = of_servers(tx, &ids, MOST_PAIRS).await? else {
                return Ok(None);
            };
            let servers = pairs.iter().map(|(_, server)| *server);
            let servers = self.inner.dictionary.names(tx, servers).await?;
            let texts = names.iter().map(|(_, text)| text.len()).sum::<usize>()
                + servers.values().map(|text| text.len()).sum::<usize>();
            held.resize(texts + pairs.len() * size_of::<(&str, &str, Stretch<2>)>())?;
            let tools: HashMap<i64, &str> = names.iter().map(|(id, text)| (*id, text.as_str())).collect();
            let asked = |tool: (&str, &str)| {
                let is_after = |after: &Tool| tool > (after.name.as_str(), after.server.as_str());
                let is_before = |before: &Tool| tool < (before.name.as_str(), before.server.as_str());
                (scan.filter.servers.is_empty() || scan.filter.servers.iter().any(|server| server == tool.1))
                    && page.after.as_ref().is_none_or(is_after)
                    && page.before.as_ref().is_none_or(is_before)
            };
            let tools = pairs.into_iter().filter_map(|(tool, server)| {
                let keys = [tool, server];
                let tool: (&str, &str) = (*tools.get(&tool)?, &**servers.get(&server)?);
                asked(tool).then_some((tool, Stretch { keys, first, last }))
            });
            let mut tools: Vec<((&str, &str), Stretch<2>)> = tools.collect();
            tools.sort_unstable_by_key(|(tool, _)| *tool);
            if bounds.backward {
                tools.reverse();
            }
            let (tools, stretches): (Vec<(&str, &str)>, Vec<Stretch<2>>) = tools.into_iter().unzip();
            let mut tools = tools.into_iter();
            for some in stretches.chunks(wanted.max(AT_A_TIME)) {
                for (any, (name, server)) in scan.any_in(index, some).await?.into_iter().zip(&mut tools) {
                    match any {
                        Some(true) => items.push(Tool {
                            name: name.to_owned(),
                            server: server.to_owned(),
                        }),
                        Some(false) => {}
                        None => return Ok(None),
                    }
                }
                if items.len() >= wanted {
                    items.truncate(wanted);
                    return Ok(Some(items));
                }
            }
            if names.len() < named {
                return Ok(Some(items));
            }
            passed = names.last().map(|(_, name)| name.clone());
            // Each statement sorts all names: where many have no call that is meant, few statements must do.
            named = (named * 4).min(MOST_NAMES);
        }
    }

    /// The next `limit` names of tools that are on the page or behind it, after the one that was `passed`.
    async fn tool_names(
        &self,
        tx: &DatabaseTransaction,
        among: &[String],
        page: &PageRequest<Tool>,
        passed: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(i64, String)>, Error> {
        let text = || text_in_bytes("names", tx.get_database_backend());
        let backward = page.bounds().backward;
        let order = if backward { Order::Desc } else { Order::Asc };
        let hashes = among.iter().map(|name| name_hash(NameKind::Tool, name));
        let passed = passed.map(|name| {
            if backward {
                text().lt(name)
            } else {
                text().gt(name)
            }
        });
        let select = Query::select()
            .columns([name::Column::Id, name::Column::Text])
            .from(name::Entity)
            .cond_where(
                Condition::all()
                    .add(name::Column::Kind.eq(NameKind::Tool as i16))
                    .add_option((!among.is_empty()).then(|| name::Column::Hash.is_in(hashes)))
                    // Other servers may have a tool of the same name.
                    .add_option(page.after.as_ref().map(|after| text().gte(after.name.as_str())))
                    .add_option(
                        page.before
                            .as_ref()
                            .map(|before| text().lte(before.name.as_str())),
                    )
                    .add_option(passed),
            )
            .order_by_expr(text(), order)
            .limit(limit as u64)
            .take();
        let rows = tx.query_all(&select).await?;
        let name = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(name).collect()
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

/// The tools, each of each server, that have a call of the filter.
fn called(scan: &Scan<'_>) -> SelectStatement {
    Query::select()
        .columns([call::Column::Tool, call::Column::Server])
        .from(call::Entity)
        .cond_where(scan.condition())
        .and_where(call::Column::Tool.is_not_null())
        .group_by_columns([call::Column::Tool, call::Column::Server])
        .take()
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
