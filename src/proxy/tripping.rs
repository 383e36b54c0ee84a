//! Some servers offer PIPELINING and trip over it: they answer the first of the commands that come together, and no other. A
//! network that fails just then looks the same. So the first time ostler sends one command at a time only for some minutes,
//! enough for the user's next try to work; if it happens again within a day, for a day.

use std::time::Duration;

use ostler_mail::clock::Moment;

/// How long a server gets one command at a time after the first time.
const FIRST_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long after a second time, and within what time it counts as the second.
const NEXT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// When one server has tripped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tripping {
    /// The last time, and for how long the server gets one command at a time.
    last: Option<(Moment, Duration)>,
}

impl Tripping {
    /// Whether commands must not leave together, whatever the server offers.
    pub(super) fn is_likely(self, now: Moment) -> bool {
        self.last.is_some_and(|(at, lifetime)| now.saturating_duration_since(at) < lifetime)
    }

    /// The server has tripped. Returns for how long it gets one command at a time, in words, if that is new.
    pub(super) fn note(&mut self, now: Moment) -> Option<&'static str> {
        if self.is_likely(now) {
            return None;
        }
        let is_again = self.last.is_some_and(|(at, _)| now.saturating_duration_since(at) < NEXT_LIFETIME);
        let (lifetime, words) = if is_again { (NEXT_LIFETIME, "a day") } else { (FIRST_LIFETIME, "ten minutes") };
        self.last = Some((now, lifetime));
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_may_be_the_network_and_twice_is_the_server() {
        let at = |minutes: u64| Moment::at(Duration::from_secs(60 * minutes));
        let mut server = Tripping::default();
        assert!(!server.is_likely(at(0)));
        assert_eq!(server.note(at(0)), Some("ten minutes"));
        assert_eq!(server.note(at(9)), None, "sessions that were under way");
        assert!(server.is_likely(at(9)) && !server.is_likely(at(10)));
        assert_eq!(server.note(at(60)), Some("a day"));
        assert!(server.is_likely(at(60 + 24 * 60 - 1)) && !server.is_likely(at(60 + 24 * 60)));
        assert_eq!(server.note(at(3 * 24 * 60)), Some("ten minutes"), "long ago");
    }
}
