//! Time as an argument: a machine is told what time it is and never looks at a clock.
//!
//! Not here: the clock itself, which also counts while the computer sleeps (`os::now` of the program).

use std::time::Duration;

/// A point on a clock that never goes back. Only moments of one run of the computer can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment this long after the zero of the clock.
    pub const fn at(since_zero: Duration) -> Self {
        Self(since_zero)
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment this long after, if there is such a one.
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        match self.0.checked_add(duration) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}
