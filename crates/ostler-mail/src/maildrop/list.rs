//! The messages of a maildrop, as they were at the sign-in: their UIDs and sizes, and which of them the client has deleted.

use std::ops::Range;

/// The messages of a maildrop. Twelve octets each, and a bit once one is deleted.
#[derive(Debug, Default)]
pub struct Messages {
    validity: u32,
    /// In ascending order.
    uids: Vec<u32>,
    sizes: Vec<u64>,
    /// A bit for each message; empty while none is deleted.
    deleted: Vec<u64>,
    deleted_messages: usize,
    deleted_octets: u64,
    octets: u64,
}

impl Messages {
    /// An empty list of a folder with this UIDVALIDITY.
    pub(super) fn new(validity: u32) -> Self {
        Self { validity, ..Self::default() }
    }

    /// A list of messages that are all deleted. The order of the UIDs does not matter.
    pub(super) fn all_deleted(validity: u32, uids: impl Iterator<Item = u32>) -> Self {
        let mut all: Vec<u32> = uids.collect();
        all.sort_unstable();
        let mut list = Self::new(validity);
        for uid in all {
            if list.push(uid, 0) {
                list.delete(list.len() - 1);
            }
        }
        list
    }

    /// The UIDs of the deleted messages.
    pub(super) fn deleted_uids(&self) -> impl Iterator<Item = u32> {
        self.uids.iter().enumerate().filter(|(at, _)| self.is_deleted(*at)).map(|(_, uid)| *uid)
    }

    /// Takes a message. `false`: the UIDs of a folder ascend (RFC 3501, section 2.3.1.1), and this one does not.
    pub(super) fn push(&mut self, uid: u32, size: u64) -> bool {
        if self.uids.last().is_some_and(|last| *last >= uid) || uid == 0 {
            return false;
        }
        self.uids.push(uid);
        self.sizes.push(size);
        self.octets = self.octets.saturating_add(size);
        true
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.uids.shrink_to_fit();
        self.sizes.shrink_to_fit();
    }

    /// The UIDVALIDITY of the folder.
    pub fn validity(&self) -> u32 {
        self.validity
    }

    /// The number of all messages, deleted ones included.
    pub fn len(&self) -> usize {
        self.uids.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// The number of messages that are not deleted, and their octets.
    pub fn totals(&self) -> (usize, u64) {
        (self.len() - self.deleted_messages, self.octets.saturating_sub(self.deleted_octets))
    }

    /// The place of the message that a client calls by this number, unless it is deleted.
    pub(super) fn find(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        (at < self.len() && !self.is_deleted(at)).then_some(at)
    }

    pub(super) fn uid(&self, at: usize) -> u32 {
        self.uids.get(at).copied().unwrap_or_default()
    }

    pub(super) fn size(&self, at: usize) -> u64 {
        self.sizes.get(at).copied().unwrap_or_default()
    }

    pub(super) fn is_deleted(&self, at: usize) -> bool {
        self.deleted.get(at / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    pub(super) fn delete(&mut self, at: usize) {
        if at >= self.len() || self.is_deleted(at) {
            return;
        }
        self.deleted.resize(self.len().div_ceil(64), 0);
        if let Some(bits) = self.deleted.get_mut(at / 64) {
            *bits |= 1 << (at % 64);
        }
        self.deleted_messages += 1;
        self.deleted_octets = self.deleted_octets.saturating_add(self.size(at));
    }

    /// No message is deleted.
    pub(super) fn restore(&mut self) {
        self.deleted = Vec::new();
        (self.deleted_messages, self.deleted_octets) = (0, 0);
    }

    pub(super) fn has_deleted(&self) -> bool {
        self.deleted_messages > 0
    }

    /// Whether the client has deleted the message with this UID.
    pub(super) fn is_deleted_uid(&self, uid: u32) -> bool {
        self.uids.binary_search(&uid).is_ok_and(|at| self.is_deleted(at))
    }

    /// The UIDs of deleted messages from this place on, as an IMAP set (`3,5:9`) of at most `max_octets`, or of one range, and of at
    /// most `max_messages`; and the place behind them. `None`: there are no more. A range spans only UIDs without a gap between
    /// them, because a message that the client has not seen may be in the gap.
    pub(super) fn deleted_set(&self, from: usize, max_octets: usize, max_messages: usize) -> Option<(String, usize)> {
        let (mut set, mut at, mut left) = (String::new(), from, max_messages);
        while let Some(range) = self.next_deleted(at, left) {
            let (first, last) = (self.uid(range.start), self.uid(range.end - 1));
            let comma = if set.is_empty() { "" } else { "," };
            let next = if first == last { format!("{comma}{first}") } else { format!("{comma}{first}:{last}") };
            if !set.is_empty() && set.len() + next.len() > max_octets {
                break;
            }
            set += &next;
            at = range.end;
            left -= range.len();
        }
        (!set.is_empty()).then_some((set, at))
    }

    /// The next deleted messages with UIDs in a row, this many at most.
    fn next_deleted(&self, from: usize, most: usize) -> Option<Range<usize>> {
        let start = (from..self.len()).find(|at| most > 0 && self.is_deleted(*at))?;
        let mut end = start + 1;
        while end < self.len().min(start.saturating_add(most))
            && self.is_deleted(end)
            && self.uid(end) == self.uid(end - 1) + 1
        {
            end += 1;
        }
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(uids: &[u32]) -> Messages {
        let mut list = Messages::new(7);
        uids.iter().for_each(|uid| assert!(list.push(*uid, 10)));
        list
    }

    fn sets(list: &Messages, max_octets: usize, max_messages: usize) -> Vec<String> {
        let (mut sets, mut from) = (Vec::new(), 0);
        while let Some((set, behind)) = list.deleted_set(from, max_octets, max_messages) {
            sets.push(set);
            from = behind;
        }
        sets
    }

    #[test]
    fn uids_ascend() {
        let mut list = list(&[3, 4]);
        assert!(!list.push(4, 1) && !list.push(2, 1) && !list.push(0, 1));
        assert!(list.push(u32::MAX, 1));
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn a_set_has_ranges_only_where_no_uid_is_missing() {
        let mut list = list(&[1, 2, 3, 5, 6, 9, u32::MAX - 1, u32::MAX]);
        for at in [0, 1, 2, 3, 5, 6, 7] {
            list.delete(at);
        }
        assert_eq!(sets(&list, 1000, usize::MAX), ["1:3,5,9,4294967294:4294967295"]);
        assert_eq!(sets(&list, 6, usize::MAX), ["1:3,5", "9", "4294967294:4294967295"]);
        assert_eq!(sets(&list, 1000, 2), ["1:2", "3,5", "9,4294967294", "4294967295"]);
        list.restore();
        assert_eq!(sets(&list, 1000, 1000), [""; 0]);
    }

    #[test]
    fn a_deleted_message_is_neither_found_nor_counted() {
        let mut list = list(&[1, 2, 3]);
        list.delete(1);
        list.delete(1);
        assert_eq!(list.totals(), (2, 20));
        assert_eq!((list.find(1), list.find(2), list.find(3)), (Some(0), None, Some(2)));
        assert_eq!((list.find(0), list.find(4), list.find(u64::MAX)), (None, None, None));
        assert!(list.is_deleted_uid(2) && !list.is_deleted_uid(1) && !list.is_deleted_uid(99));
        list.restore();
        assert_eq!(list.totals(), (3, 30));
    }

    proptest! {
        #[test]
        fn sets_name_the_deleted_messages_and_no_other(
            gaps in proptest::collection::vec(1u32..4, 1..60),
            deleted in proptest::collection::vec(any::<bool>(), 60),
            max_octets in 1usize..40,
            max_messages in 1usize..20,
        ) {
            let uids: Vec<u32> = gaps.iter().scan(0, |uid, gap| { *uid += gap; Some(*uid) }).collect();
            let mut list = list(&uids);
            let wanted: Vec<u32> = uids.iter().enumerate().filter(|(at, _)| deleted[*at]).map(|(_, uid)| *uid).collect();
            wanted.iter().for_each(|uid| list.delete(uids.binary_search(uid).unwrap()));
            let mut named = Vec::new();
            for set in sets(&list, max_octets, max_messages) {
                let before = named.len();
                for range in set.split(',') {
                    let (first, last) = range.split_once(':').unwrap_or((range, range));
                    named.extend(first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap());
                }
                prop_assert!(named.len() - before <= max_messages, "{}", set);
            }
            prop_assert_eq!(named, wanted);
        }
    }
}
