//! How maintenance shares the database with writers: in steps that stay short, with rests between them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Error;

/// Between two steps writers have this many times as long for themselves as the step took.
pub(crate) const REST: u32 = 4;

/// A step that took longer than this is followed by a smaller one.
const LONG: Duration = Duration::from_millis(100);

/// A step that took less than this is followed by a larger one.
const SHORT: Duration = Duration::from_millis(25);

/// The size of steps, and the rests between them.
#[derive(Debug)]
pub(crate) struct Pace {
    stop: CancellationToken,
    size: u64,
    sizes: std::ops::RangeInclusive<u64>,
}

impl Pace {
    /// Steps of a size in `sizes`, until `stop` is cancelled. The first is of medium size.
    pub(crate) fn new(stop: &CancellationToken, sizes: std::ops::RangeInclusive<u64>) -> Self {
        Self {
            stop: stop.clone(),
            size: (sizes.end() / 4).max(*sizes.start()),
            sizes,
        }
    }

    /// How many rows the next step has at most.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// A step did not end in time: the next one is much smaller.
    pub(crate) fn shrink(&mut self) {
        self.size = (self.size / 8).max(*self.sizes.start());
    }

    /// Lets writers go first after a step that kept them waiting for `took`. Fails with [`Error::Stopping`] when the store
    /// is closed.
    pub(crate) async fn rest(&mut self, took: Duration) -> Result<(), Error> {
        self.adapt(took);
        self.pause(took * REST).await
    }

    /// The same after a step that kept nobody waiting, but had the processor and the disk.
    pub(crate) async fn breathe(&mut self, took: Duration) -> Result<(), Error> {
        self.adapt(took);
        self.pause(took).await
    }

    /// Waits for a while. Fails with [`Error::Stopping`] when the store is closed.
    pub(crate) async fn pause(&self, time: Duration) -> Result<(), Error> {
        let pause = self.stop.run_until_cancelled(tokio::time::sleep(time));
        pause.await.ok_or(Error::Stopping)
    }

    fn adapt(&mut self, took: Duration) {
        if took > LONG {
            self.size = (self.size / 2).max(*self.sizes.start());
        } else if took < SHORT {
            self.size = self.size.saturating_mul(2).min(*self.sizes.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_stay_short_and_end_when_the_store_is_closed() {
        let stop = CancellationToken::new();
        let mut pace = Pace::new(&stop, 16..=512);
        assert_eq!(pace.size(), 128);
        for (took, size) in [(10, 256), (50, 256), (1, 512), (1, 512), (500, 256)] {
            pace.rest(Duration::from_millis(took)).await.unwrap();
            assert_eq!(pace.size(), size);
        }
        for _ in 0..9 {
            pace.breathe(Duration::from_secs(1)).await.unwrap();
        }
        assert_eq!(pace.size(), 16);
        let mut pace = Pace::new(&stop, 16..=51_200);
        for size in [1600, 200, 25, 16] {
            pace.shrink();
            assert_eq!(pace.size(), size);
        }
        stop.cancel();
        assert!(matches!(
            pace.rest(Duration::from_secs(1)).await,
            Err(Error::Stopping)
        ));
    }
}
