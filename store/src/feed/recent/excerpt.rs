//! A copy of changes of the window, to be compared with filters while others have the window.

use std::cell::Cell;
use std::sync::Arc;

use mcptap_model::search::Found;
use mcptap_model::{Call, Matcher, SessionId, UnixNanos};

use super::visits::Extents;
use super::{Ahead, Visibility};
use crate::{Change, ChangeKind, FeedChanges, Seq};

/// How many values are compared before others may have the worker: some hundred microseconds.
const AT_ONCE: usize = 8_192;

/// Counts comparisons, and lets others have the worker now and then.
#[derive(Debug, Default)]
pub(crate) struct Comparing(usize);

impl Comparing {
    /// So many values are compared next.
    async fn spend(&mut self, values: usize) {
        self.0 += values;
        if self.0 > AT_ONCE {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// A read: its filter, its position, and the part of a call that memory must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) matcher: &'a Matcher,
    pub(crate) after: Seq,
    /// No call that began or arrived before is served.
    pub(crate) oldest: UnixNanos,
    pub(crate) visibility: Visibility,
}

/// A change, with what was found in its call, as far as that was searched.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) change: Change,
    pub(super) found: Option<Arc<Found>>,
}

/// All changes between two points of the feed.
#[derive(Debug)]
pub(crate) struct Excerpt {
    /// In order.
    pub(super) changes: Vec<Listed>,
    /// Up to this all changes are here.
    pub(super) upto: Seq,
    /// The last change when it was copied.
    pub(super) head: Seq,
    /// Up to this all calls were searched.
    pub(super) searched: Seq,
    pub(super) visits: Extents,
}

impl Excerpt {
    /// Up to where the window knows which calls are meant.
    pub(crate) fn known(&self, visibility: Visibility) -> Seq {
        match visibility {
            Visibility::Rows => self.head,
            Visibility::Texts => self.searched,
        }
    }

    /// Up to where this copy knows which calls are meant.
    fn end(&self, visibility: Visibility) -> Seq {
        self.upto.min(self.known(visibility))
    }

    /// Whether the window knows nothing beyond this copy.
    pub(crate) fn is_all(&self, visibility: Visibility) -> bool {
        self.end(visibility) == self.known(visibility)
    }

    /// Whether it says anything about what comes after a position.
    pub(crate) fn reaches(&self, after: Seq, visibility: Visibility) -> bool {
        self.is_all(visibility) || after < self.upto
    }

    /// What the reader has not seen. A call that is ahead as a whole is not also ahead as completed.
    fn ahead_of(&self, reader: Reader<'_>) -> impl Iterator<Item = &Listed> {
        let (after, end) = (reader.after, self.end(reader.visibility));
        let seen = self.changes.partition_point(|listed| listed.change.seq <= after);
        let unseen = self.changes.iter().skip(seen);
        unseen
            .take_while(move |listed| listed.change.seq <= end)
            .filter(move |Listed { change, .. }| {
                change.kind == ChangeKind::Added || change.stored.row <= after.0
            })
    }

    /// Whether a change is meant; `None` when that is not known here.
    fn means(&self, listed: &Listed, reader: Reader<'_>) -> Option<bool> {
        let call = &listed.change.stored.call;
        if call.started_at.min(call.received_at) < reader.oldest {
            return Some(false);
        }
        let found = match reader.visibility {
            Visibility::Rows => None,
            Visibility::Texts => {
                let found = listed.found.as_deref()?;
                Some(found.knows(reader.matcher).then_some(found)?)
            }
        };
        let unknown = Cell::new(false);
        let in_session = |call: &Call, id: &SessionId| {
            self.visits.has(id, call, reader.oldest).unwrap_or_else(|| {
                unknown.set(true);
                false
            })
        };
        let meant = reader.matcher.matches_with(call, found, &in_session);
        (!unknown.get()).then_some(meant)
    }

    /// At most `limit` changes that the reader wants; `None` where this does not tell which those are.
    pub(crate) async fn read(&self, reader: Reader<'_>, limit: usize) -> Option<FeedChanges> {
        let mut comparing = Comparing::default();
        let mut items: Vec<Change> = Vec::new();
        for listed in self.ahead_of(reader) {
            comparing.spend(reader.matcher.cost()).await;
            if !self.means(listed, reader)? {
                continue;
            }
            if items.len() == limit {
                return Some(FeedChanges {
                    upto: items.last().map_or(reader.after, |last| last.seq),
                    items,
                    caught_up: false,
                });
            }
            items.push(listed.change.clone());
        }
        Some(FeedChanges {
            items,
            upto: self.end(reader.visibility).max(reader.after),
            caught_up: self.is_all(reader.visibility),
        })
    }

    /// The first change that the reader wants.
    pub(crate) async fn ahead(&self, reader: Reader<'_>, comparing: &mut Comparing) -> Ahead {
        for listed in self.ahead_of(reader) {
            comparing.spend(reader.matcher.cost()).await;
            match self.means(listed, reader) {
                Some(false) => {}
                Some(true) => return Ahead::First(listed.change.seq),
                None => return Ahead::Unknown,
            }
        }
        Ahead::Nothing(self.end(reader.visibility).max(reader.after))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use mcptap_model::{CallFilter, SpanKind};

    use super::*;
    use crate::db::transaction::tests::call;
    use crate::feed::recent::{Recent, Stretch};
    use crate::{MemoryBudget, Stored};

    fn stretch(after: i64, upto: i64) -> Stretch {
        let changes = (after + 1..=upto).map(|seq| Change {
            seq: Seq(seq),
            kind: ChangeKind::Added,
            stored: Stored {
                row: seq,
                call: Arc::new(call(seq as u64, 1, None, SpanKind::Server, 0).call),
            },
        });
        Stretch {
            after: Seq(after),
            upto: Seq(upto),
            changes: changes.collect(),
            whole: true,
            ..Stretch::default()
        }
    }

    fn reader(matcher: &Matcher) -> Reader<'_> {
        Reader {
            matcher,
            after: Seq(0),
            oldest: UnixNanos(0),
            visibility: Visibility::Rows,
        }
    }

    /// How often it let others have the worker, with something else done each time.
    fn polls<T>(future: impl Future<Output = T>, mut meanwhile: impl FnMut(usize)) -> (usize, T) {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for yielded in 0.. {
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return (yielded, done);
            }
            meanwhile(yielded);
        }
        unreachable!()
    }

    #[test]
    fn dear_filters_let_others_have_the_worker_and_the_window() {
        let recent = Recent::new(Seq(0), &MemoryBudget::new(1 << 30));
        recent.add(stretch(0, 3_000));
        let either = CallFilter {
            tools: (0..500).map(|number| format!("other-{number}")).collect(),
            ..CallFilter::default()
        };
        let dear = CallFilter {
            or: vec![either; 99],
            ..CallFilter::default()
        };
        let dear = dear.compile();
        let excerpt = recent.excerpt(Seq(0), &[]).unwrap();
        let mut head = 3_000;
        let (yielded, read) = polls(excerpt.read(reader(&dear), 10), |_| {
            // Adding changes waits for no comparison.
            recent.add(stretch(head, head + 1));
            head += 1;
        });
        let read = read.unwrap();
        assert!(read.items.is_empty() && !read.caught_up);
        assert_eq!(read.upto, Seq(1_000));
        assert!(yielded >= 1_000 * dear.cost() / (2 * AT_ONCE), "{yielded}");
        assert_eq!(recent.head(), Seq(head));
        // A plain one has all of a copy at once.
        let plain = CallFilter::default().compile();
        let (yielded, read) = polls(excerpt.read(reader(&plain), 500), |_| ());
        assert_eq!((yielded, read.unwrap().items.len()), (0, 500));
    }

    #[test]
    fn what_comes_after_a_copy_is_in_the_next() {
        let recent = Recent::new(Seq(0), &MemoryBudget::new(1 << 30));
        recent.add(stretch(0, 2_500));
        let wanted = CallFilter {
            tools: vec!["tool-2345".to_owned()],
            ..CallFilter::default()
        };
        let matcher = wanted.compile();
        let (mut after, mut copies) = (Seq(0), 0);
        let found = loop {
            copies += 1;
            let excerpt = recent.excerpt(after, &[]).unwrap();
            let reader = Reader {
                after,
                ..reader(&matcher)
            };
            assert!(excerpt.reaches(after, Visibility::Rows));
            match polls(excerpt.ahead(reader, &mut Comparing::default()), |_| ()).1 {
                Ahead::Nothing(upto) => after = upto,
                other => break other,
            }
        };
        assert_eq!((found, copies), (Ahead::First(Seq(2_345)), 3));
        let excerpt = recent.excerpt(Seq(0), &[]).unwrap();
        assert!(!excerpt.is_all(Visibility::Rows) && !excerpt.reaches(Seq(1_000), Visibility::Rows));
    }
}
