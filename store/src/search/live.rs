//! What the live feed's searches find in new calls. Each new call is read once for all who follow with a search, however
//! many they are, and what was found stands beside the call in the window of the newest changes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcptap_model::CallFilter;
use mcptap_model::search::{Finder, Query, Searches};

use super::Texts;
use crate::db::database::Database;
use crate::feed::recent::{Recent, Unsearched};
use crate::limits::operation::{Asker, Operation};
use crate::metrics::Counters;
use crate::{CpuPool, Error, MemoryBudget, Options};

/// How many different searches are looked for in new calls. Beyond them a follower reads the database.
const MOST: usize = 1_000;

/// How many words these have together, and those of one follower.
const WORDS: usize = 8_192;
const WORDS_OF_ONE: usize = 256;

/// How many calls are read together.
const CALLS: usize = 500;

/// The searches of all followers.
#[derive(Debug, Default)]
pub(crate) struct LiveSearches(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// Each query, and how many followers have it.
    queries: HashMap<(String, bool), (Query, usize)>,
    /// How many words these have.
    words: usize,
    /// All of them; made when it is needed.
    compiled: Option<Searches>,
}

impl LiveSearches {
    /// Looks for a follower's searches in what is added to the window from now on; false when there are too many.
    pub(crate) fn register(&self, filter: &CallFilter, recent: &Recent) -> bool {
        let mut registry = self.registry();
        let queries = filter.queries();
        let words: usize = queries.iter().map(|query| query.words()).sum();
        if registry.queries.len() + queries.len() > MOST
            || words > WORDS_OF_ONE
            || registry.words + words > WORDS
        {
            return false;
        }
        for query in queries {
            registry.add(query);
        }
        registry.compiled = None;
        recent.begin_searching();
        true
    }

    /// Looks for them no more.
    pub(crate) fn unregister(&self, filter: &CallFilter, recent: &Recent) {
        let mut registry = self.registry();
        for query in filter.queries() {
            let name = name(query);
            if let Some((_, followers)) = registry.queries.get_mut(&name) {
                *followers -= 1;
                if *followers == 0 {
                    registry.queries.remove(&name);
                    registry.words -= query.words();
                    registry.compiled = None;
                }
            }
        }
        if registry.queries.is_empty() {
            recent.end_searching();
        }
    }

    fn searches(&self) -> Searches {
        let mut registry = self.registry();
        if let Some(compiled) = &registry.compiled {
            return compiled.clone();
        }
        let compiled = Searches::new(registry.queries.values().map(|(query, _)| query.clone()));
        registry.compiled = Some(compiled.clone());
        compiled
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn add(&mut self, query: &Query) {
        match self.queries.entry(name(query)) {
            Entry::Occupied(mut known) => known.get_mut().1 += 1,
            Entry::Vacant(place) => {
                place.insert((query.clone(), 1));
                self.words += query.words();
            }
        }
    }
}

fn name(query: &Query) -> (String, bool) {
    (query.text().to_owned(), query.is_in_target_alone())
}

/// The task, as readiness names it.
const TASK: &str = "live searches";

/// Searches new calls.
#[derive(Clone)]
pub(crate) struct LiveSearcher {
    pub(crate) database: Database,
    pub(crate) recent: Arc<Recent>,
    pub(crate) searches: Arc<LiveSearches>,
    pub(crate) cpu: CpuPool,
    pub(crate) memory: MemoryBudget,
    pub(crate) options: Options,
    pub(crate) counters: Arc<Counters>,
}

impl LiveSearcher {
    /// Until it is cancelled.
    pub(crate) async fn run(self) {
        loop {
            self.recent.to_search.notified().await;
            loop {
                let unsearched = self.recent.unsearched(CALLS);
                if unsearched.is_empty() {
                    break;
                }
                let searching = self.search(&unsearched);
                let limit = self.options.read_timeout;
                if let Err(error) = self.database.step_within(TASK, limit, searching).await {
                    tracing::warn!(%error, "new calls could not be searched; live searches read the database for them");
                    self.recent.searched(unsearched.iter().map(|call| (call, None)));
                }
            }
        }
    }

    async fn search(&self, unsearched: &[Unsearched]) -> Result<(), Error> {
        // After they were listed: what changes from now on is listed again.
        let searches = self.searches.searches();
        let tx = self.database.snapshot().await?;
        let texts = Texts {
            tx: &tx,
            cpu: &self.cpu,
            memory: Some(&self.memory),
            operation: Operation::new(Asker::Feed, self.options.read_timeout),
            counters: &self.counters,
        };
        let calls: Vec<_> = unsearched.iter().map(|call| call.stored.clone()).collect();
        let mut found = Vec::with_capacity(calls.len());
        let read = texts.read(
            &calls,
            searches.need_bodies(),
            || Finder::new(&searches),
            |_, finder| {
                found.push(Arc::new(finder.found()));
                ControlFlow::Continue(())
            },
        );
        let _all: ControlFlow<()> = read.await?;
        tx.commit().await?;
        self.recent
            .searched(unsearched.iter().zip(found.into_iter().map(Some)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mcptap_model::CallFilter;

    use super::*;
    use crate::Seq;

    fn filter(words: usize, of: usize) -> CallFilter {
        let words: Vec<String> = (0..words).map(|word| format!("w{of}x{word}")).collect();
        CallFilter {
            search: Some(Query::parse(&words.join(" "))),
            ..CallFilter::default()
        }
    }

    #[test]
    fn the_words_of_all_live_searches_are_bounded() {
        let recent = Recent::new(Seq(0), &MemoryBudget::new(1 << 30));
        let searches = LiveSearches::default();
        assert!(!searches.register(&filter(WORDS_OF_ONE + 1, 0), &recent));
        let full = WORDS / WORDS_OF_ONE;
        for of in 0..full {
            assert!(searches.register(&filter(WORDS_OF_ONE, of), &recent), "{of}");
        }
        assert!(!searches.register(&filter(1, full), &recent));
        // One less makes room, once nobody has it.
        searches.unregister(&filter(WORDS_OF_ONE, 0), &recent);
        assert!(searches.register(&filter(1, full), &recent));
        assert!(searches.register(&filter(1, full), &recent));
        searches.unregister(&filter(1, full), &recent);
        assert_eq!(searches.registry().words, WORDS - WORDS_OF_ONE + 1);
    }
}
