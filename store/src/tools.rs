//! `impl Store`: which tools have been called.

use std::collections::HashSet;

use mcptap_model::CallFilter;

use crate::readers::Reading;
use crate::scan::Scan;
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
        let mut pairs: HashSet<(i64, i64)> = HashSet::new();
        scan.tally(|tally| pairs.extend(tally.tool.map(|tool| (tool, tally.server))))
            .await?;
        let ids = pairs.iter().flat_map(|(tool, server)| [*tool, *server]);
        let names = self.inner.dictionary.names(&*tx, ids).await?;
        tx.commit().await?;
        let name = |id: &i64| names.get(id).map(|name| name.to_string());
        let tools = pairs.iter().filter_map(|(tool, server)| {
            Some(Tool {
                name: name(tool)?,
                server: name(server)?,
            })
        });
        let mut tools: Vec<Tool> = tools.collect();
        tools.sort_unstable();
        Ok(Page::cut(tools, &page, Clone::clone))
    }

    /// Whether that tool of that server has been called.
    pub async fn tool(&self, server: &str, name: &str) -> Result<Option<Tool>, Error> {
        let filter = CallFilter {
            servers: vec![server.to_owned()],
            tools: vec![name.to_owned()],
            ..CallFilter::default()
        };
        let called = self.count(&filter, 1).await?.value > 0;
        Ok(called.then(|| Tool {
            name: name.to_owned(),
            server: server.to_owned(),
        }))
    }
}
