//! Lists as Relay connections: arguments to the store's page requests, the store's pages to edges.

use std::borrow::Cow;

use async_graphql::{Error, Object, OutputType, SimpleObject, TypeName};
use mcptap_store::{Page, PageRequest, Ranked, Ranking};

use crate::cost::{DEFAULT_SIZE, MAX_SIZE};
use crate::cursor::{Cursor, Place};
use crate::error::bad_input;

/// Where a page lies in its list.
#[derive(Clone, Debug, Default, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether more stands after this page: go on with `first` and `after: endCursor`.
    pub(crate) has_next_page: bool,
    /// Whether more stands before this page: go back with `last` and `before: startCursor`.
    pub(crate) has_previous_page: bool,
    /// The cursor of the first edge. Null when the page is empty.
    pub(crate) start_cursor: Option<String>,
    /// The cursor of the last edge. Null when the page is empty.
    pub(crate) end_cursor: Option<String>,
}

/// One object of a list, and where it stands.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Edge<N: OutputType> {
    /// Where it stands, for `after` and `before` of the same list. Opaque; good across restarts, and still good when
    /// the object it came from has been removed.
    pub(crate) cursor: String,
    /// The object itself.
    pub(crate) node: N,
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

/// A page of a list.
pub(crate) struct Connection<N: OutputType> {
    pub(crate) edges: Vec<Edge<N>>,
    pub(crate) page_info: PageInfo,
}

impl<N: OutputType> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: OutputType> Connection<N> {
    /// The objects of this page, each with its cursor.
    async fn edges(&self) -> &[Edge<N>] {
        &self.edges
    }

    /// The objects of this page alone, for when their cursors are of no interest.
    async fn nodes(&self) -> Vec<&N> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page lies in the list.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }
}

impl<N: OutputType> Connection<N> {
    /// From items in their order.
    pub(crate) fn new<T>(
        items: Vec<T>,
        (has_previous_page, has_next_page): (bool, bool),
        edge: impl Fn(T) -> (String, N),
    ) -> Self {
        let edges = edges(items, edge);
        let page_info = PageInfo {
            has_next_page,
            has_previous_page,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { edges, page_info }
    }
}

impl<N: OutputType> Connection<N> {
    /// A page in the order of names, or in its reverse.
    pub(crate) fn by_name<T>(mut page: Page<T>, from_the_end: bool, edge: impl Fn(T) -> (String, N)) -> Self {
        if from_the_end {
            page.items.reverse();
            std::mem::swap(&mut page.has_previous, &mut page.has_next);
        }
        Self::new(page.items, (page.has_previous, page.has_next), edge)
    }

    /// A page in the order of a figure. `edge` gives the name that an item goes by, and its node.
    pub(crate) fn ranked<T, K>(ranking: Ranking, page: Page<Ranked<T>>, edge: impl Fn(T) -> (K, N)) -> Self
    where
        Place<K>: Cursor,
    {
        let around = (page.has_previous, page.has_next);
        Self::new(page.items, around, |Ranked { figure, item }| {
            let (item, node) = edge(item);
            let at = Ranked { figure, item };
            (Place { ranking, at }.encode(), node)
        })
    }
}

/// Items in their order, each with its cursor.
pub(crate) fn edges<T, N: OutputType>(items: Vec<T>, edge: impl Fn(T) -> (String, N)) -> Vec<Edge<N>> {
    items
        .into_iter()
        .map(edge)
        .map(|(cursor, node)| Edge { cursor, node })
        .collect()
}

/// The arguments of a list that can be walked both ways.
pub(crate) struct PageArguments {
    pub(crate) first: Option<i32>,
    pub(crate) after: Option<String>,
    pub(crate) last: Option<i32>,
    pub(crate) before: Option<String>,
}

impl PageArguments {
    /// The arguments of a list that can only be walked forward.
    pub(crate) fn forward(first: Option<i32>, after: Option<String>) -> Self {
        Self {
            first,
            after,
            last: None,
            before: None,
        }
    }

    /// The size of the page of a list that can only be walked forward, checked.
    pub(crate) fn first(&self) -> Result<usize, Error> {
        Ok(size("first", self.first)?.map_or(DEFAULT_SIZE, |size| size as usize))
    }

    /// The place in a ranking that the page begins after, if there is one.
    pub(crate) fn place<T>(&self, ranking: Ranking) -> Result<Option<Ranked<T>>, Error>
    where
        Place<T>: Cursor,
    {
        let after = self.after.as_deref();
        after.map(|text| Place::of(ranking, "after", text)).transpose()
    }

    /// Of a list that can only be walked forward: from its first item on, or from its last on. Then the page comes in
    /// reverse from [`Connection::by_name`].
    pub(crate) fn sorted<K: Cursor>(self, from_the_end: bool) -> Result<PageRequest<K>, Error> {
        let PageRequest { first, after, .. } = self.request()?;
        Ok(if from_the_end {
            PageRequest {
                last: first,
                before: after,
                ..PageRequest::default()
            }
        } else {
            PageRequest {
                first,
                after,
                ..PageRequest::default()
            }
        })
    }

    /// Checked, as the store wants them.
    pub(crate) fn request<K: Cursor>(self) -> Result<PageRequest<K>, Error> {
        if self.first.is_some() && self.last.is_some() {
            return Err(bad_input(
                "first and last cannot be given together: a page is taken from one end",
            ));
        }
        let decode =
            |argument, cursor: Option<String>| cursor.map(|text| K::decode(argument, &text)).transpose();
        let last = size("last", self.last)?.map(|size| size as usize);
        let first = size("first", self.first)?.map(|size| size as usize);
        Ok(PageRequest {
            first: first.or(last.is_none().then_some(DEFAULT_SIZE)),
            after: decode("after", self.after)?,
            last,
            before: decode("before", self.before)?,
        })
    }
}

/// A page size within bounds.
pub(crate) fn size(argument: &str, value: Option<i32>) -> Result<Option<i32>, Error> {
    match value {
        Some(size) if !(1..=MAX_SIZE as i32).contains(&size) => Err(bad_input(format!(
            "{argument} must be from 1 to {MAX_SIZE}, not {size}"
        ))),
        size => Ok(size),
    }
}
