//! The connections that an account may have at its IMAP server. Each open one holds a slot; the next ones wait for a free slot,
//! first come first served.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

/// The slots at one server, for one user.
#[derive(Default)]
pub(crate) struct Slots {
    taken: watch::Sender<usize>,
    /// The first waiting session holds it; the others wait for it, in order.
    first: Mutex<()>,
}

impl Slots {
    /// Takes a slot, if fewer than `most` are taken and no session waits for one. The number is an argument because settings
    /// change.
    pub(super) fn try_take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let _first = self.first.try_lock().ok()?;
        self.take_free(most)
    }

    fn take_free(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let is_free = self.taken.send_if_modified(|taken| {
            let is_free = *taken < most;
            *taken += usize::from(is_free);
            is_free
        });
        is_free.then(|| Slot(Some(Arc::clone(self))))
    }

    /// Waits for a slot.
    pub(super) async fn take(self: &Arc<Self>, most: usize) -> Slot {
        let _first = self.first.lock().await;
        let mut changes = self.taken.subscribe();
        loop {
            if let Some(slot) = self.take_free(most) {
                return slot;
            }
            // It cannot fail while the sender is here.
            let _ = changes.changed().await;
        }
    }
}

/// Frees the slot when it is dropped. `None`: at this server there is no limit.
pub(crate) struct Slot(Option<Arc<Slots>>);

impl Slot {
    /// The slot at a server without a limit.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = &self.0 {
            slots.taken.send_modify(|taken| *taken -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_connection_too_many_waits_until_a_slot_is_free() {
        let slots = Arc::new(Slots::default());
        let (first, second) = (slots.take(2).await, slots.take(2).await);
        assert!(slots.try_take(2).is_none());
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.take(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let third = waiting.await.unwrap();
        assert!(slots.try_take(2).is_none());
        // More are allowed, then fewer.
        let fourth = slots.try_take(3).unwrap();
        drop((second, third));
        assert!(slots.try_take(1).is_none());
        drop(fourth);
        assert!(slots.try_take(1).is_some());
    }

    #[tokio::test]
    async fn waiting_sessions_are_served_in_order_and_none_jumps_the_queue() {
        let slots = Arc::new(Slots::default());
        let mut taken = slots.take(1).await;
        let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut all = Vec::new();
        for number in 0..5 {
            let (slots, served) = (Arc::clone(&slots), served.clone());
            all.push(tokio::spawn(async move { served.send((number, slots.take(1).await)) }));
            tokio::task::yield_now().await;
        }
        // One gives up waiting.
        all[2].abort();
        for expected in [0, 1, 3, 4] {
            assert!(slots.try_take(2).is_none(), "others wait, whatever is free");
            drop(taken);
            let (number, slot) = order.recv().await.unwrap();
            assert_eq!(number, expected);
            taken = slot;
        }
        drop(taken);
        assert!(slots.try_take(1).is_some());
    }
}
