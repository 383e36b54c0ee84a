//! Time as an argument: a machine is told what time it is and never looks at a clock.
//!
//! Not here: the clock itself, which also counts while the computer sleeps (`os::now` of the program).

use std::time::Duration;

/// A point on a clock that never goes back. Only moments of one run of the computer can be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The time of day, for what outlives a run of the computer. The clock behind it may be set at any time, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// This many seconds after 1970 began.
    pub const fn at(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The seconds since 1970 began.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The time this long after.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }
}
