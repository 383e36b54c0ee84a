//! Turns at an IMAP server: so many connections of a user may be there at once, and the next one waits for a turn.

use std::sync::Arc;

use tokio::sync::watch;

/// The turns at one server, for one user.
#[derive(Default)]
pub(crate) struct Turns {
    taken: watch::Sender<usize>,
}

impl Turns {
    /// Takes a turn, if fewer than `most` are taken. The number is an argument because settings change.
    pub(super) fn try_take(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let is_free = self.taken.send_if_modified(|taken| {
            let is_free = *taken < most;
            *taken += usize::from(is_free);
            is_free
        });
        is_free.then(|| Turn(Arc::clone(self)))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>, most: usize) -> Turn {
        let mut changes = self.taken.subscribe();
        loop {
            if let Some(turn) = self.try_take(most) {
                return turn;
            }
            // It cannot fail while the sender is here.
            let _ = changes.changed().await;
        }
    }
}

/// Gives the turn back when it is dropped.
pub(crate) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.send_modify(|taken| *taken -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_too_late_waits_until_a_turn_is_given_back() {
        let turns = Arc::new(Turns::default());
        let (first, second) = (turns.take(2).await, turns.take(2).await);
        assert!(turns.try_take(2).is_none());
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let third = waiting.await.unwrap();
        assert!(turns.try_take(2).is_none());
        // More are allowed, then fewer.
        let fourth = turns.try_take(3).unwrap();
        drop((second, third));
        assert!(turns.try_take(1).is_none());
        drop(fourth);
        assert!(turns.try_take(1).is_some());
    }
}
