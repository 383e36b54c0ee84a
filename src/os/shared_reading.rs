//! A slow reading of the system that all who wait for it share: so the work does not grow with their number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The newest reading. It answers every question that was asked before it began.
#[derive(Debug)]
pub(super) struct SharedReading<T> {
    newest: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> SharedReading<T> {
    pub(super) const fn new() -> Self {
        Self { newest: Mutex::new(None) }
    }

    /// A reading that began after `asked`: the newest, or else one made by `read` while other threads wait. `None` if that
    /// fails.
    pub(super) fn since(&self, asked: Instant, read: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            // Not at the same moment: the clock cannot tell which of the two came first.
            Some((began, reading)) if *began > asked => Some(Arc::clone(reading)),
            _ => {
                let began = Instant::now();
                let reading = Arc::new(read()?);
                *newest = Some((began, Arc::clone(&reading)));
                Some(reading)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn those_who_wait_together_share_a_reading() {
        let (shared, count, all_have_asked) = (SharedReading::new(), AtomicUsize::new(0), Barrier::new(8));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let asked = Instant::now();
                    all_have_asked.wait();
                    let read = || Some(count.fetch_add(1, Ordering::SeqCst));
                    assert!(shared.since(asked, read).is_some());
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
    }

    #[test]
    fn a_reading_from_before_the_question_does_not_answer_it() {
        let shared = SharedReading::new();
        let first = Instant::now();
        assert_eq!(shared.since(first, || Some(1)).as_deref(), Some(&1));
        assert_eq!(shared.since(Instant::now(), || Some(2)).as_deref(), Some(&2));
        assert_eq!(shared.since(first, || Some(3)).as_deref(), Some(&2), "the newest answers an older question");
    }

    #[test]
    fn a_reading_that_fails_is_not_kept() {
        let shared = SharedReading::new();
        let asked = Instant::now();
        assert_eq!(shared.since(asked, || None::<u8>), None);
        assert_eq!(shared.since(asked, || Some(1)).as_deref(), Some(&1));
    }
}
