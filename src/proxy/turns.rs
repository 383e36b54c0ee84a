//! Turns at an IMAP server: so many connections of a user may be there at once, and the next ones wait for a turn, first come
//! first served.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

/// The turns at one server, for one user.
#[derive(Default)]
pub(crate) struct Turns {
    taken: watch::Sender<usize>,
    /// Held by the first of those who wait. The others wait for it, in order.
    first: Mutex<()>,
}

impl Turns {
    /// Takes a turn, if fewer than `most` are taken and nobody waits for one. The number is an argument because settings
    /// change.
    pub(super) fn try_take(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let _first = self.first.try_lock().ok()?;
        self.take_free(most)
    }

    fn take_free(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let is_free = self.taken.send_if_modified(|taken| {
            let is_free = *taken < most;
            *taken += usize::from(is_free);
            is_free
        });
        is_free.then(|| Turn(Some(Arc::clone(self))))
    }

    /// Waits for a turn.
    pub(super) async fn take(self: &Arc<Self>, most: usize) -> Turn {
        let _first = self.first.lock().await;
        let mut changes = self.taken.subscribe();
        loop {
            if let Some(turn) = self.take_free(most) {
                return turn;
            }
            // It cannot fail while the sender is here.
            let _ = changes.changed().await;
        }
    }
}

/// Gives the turn back when it is dropped. `None`: at this server there is no waiting.
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turn {
    /// What is had at a server where there is no waiting.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = &self.0 {
            turns.taken.send_modify(|taken| *taken -= 1);
        }
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

    #[tokio::test]
    async fn who_came_first_is_served_first_and_nobody_jumps_the_queue() {
        let turns = Arc::new(Turns::default());
        let mut taken = turns.take(1).await;
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut all = Vec::new();
        for number in 0..5 {
            let (turns, served) = (Arc::clone(&turns), served.clone());
            all.push(tokio::spawn(async move { served.send((number, turns.take(1).await)) }));
            tokio::task::yield_now().await;
        }
        // One gives up waiting.
        all[2].abort();
        for expected in [0, 1, 3, 4] {
            assert!(turns.try_take(2).is_none(), "others wait, whatever is free");
            drop(taken);
            let (number, turn) = order.recv().await.unwrap();
            assert_eq!(number, expected);
            taken = turn;
        }
        drop(taken);
        assert!(turns.try_take(1).is_some());
    }
}
