//! When the clock of a [`Filter`](super::Filter) restarts while a text passes.

/// A text makes progress each time this many octets have passed. One octet a minute is not progress: the time limit for a
/// message would never end it.
pub(crate) const PROGRESS_OCTETS: u64 = 4096;

/// A number that changes with every sign of progress.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    count: u64,
    octets_since: u64,
}

impl Ticks {
    /// The number.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// A sign of progress: a command, or the beginning or the end of an answer.
    pub(crate) fn tick(&mut self) {
        self.count += 1;
        self.octets_since = 0;
    }

    /// This many octets of a text have passed.
    pub(crate) fn pass(&mut self, octets: usize) {
        self.octets_since += octets as u64;
        if self.octets_since >= PROGRESS_OCTETS {
            self.tick();
        }
    }
}
