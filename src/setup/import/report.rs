//! What an import says: a sentence for everything in the file, under what was taken or under what was not, each with the
//! account that it is about.

use std::collections::HashMap;
use std::fmt;

use super::{ImportedAccount, Server};
use ostler_mail::account::Protocol;

/// Sentences of one kind for one account; the rest is only counted.
const MAX_SENTENCES: usize = 100;

/// A sentence about something that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The protocol of the server that it is about. The user may name another such server, and then this one is not used.
    pub server: Option<Protocol>,
    /// The place in the file, for a person.
    pub place: String,
    /// The sentence, with the place in front.
    pub sentence: String,
}

/// The sentences in the order in which they were said.
#[derive(Debug, Default)]
pub(super) struct Report {
    remarks: Vec<Remark>,
    /// The account that is being made; before, while the file is read, the place alone tells whose a sentence is.
    account: Option<usize>,
}

#[derive(Debug)]
struct Remark {
    account: Option<usize>,
    place: String,
    sentence: String,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Taken(Option<Protocol>),
    Left,
}

impl Report {
    /// Something that is not a server was taken.
    pub(super) fn took(&mut self, place: &str, what: impl fmt::Display) {
        self.say(place, what, Verdict::Taken(None));
    }

    /// A server was taken, or something about it that is of no use without it.
    pub(super) fn took_server(&mut self, server: &Server, what: impl fmt::Display) {
        self.say(&server.place, what, Verdict::Taken(Some(server.protocol)));
    }

    pub(super) fn left(&mut self, place: &str, what: impl fmt::Display) {
        self.say(place, what, Verdict::Left);
    }

    fn say(&mut self, place: &str, what: impl fmt::Display, verdict: Verdict) {
        let sentence = format!("{place}: {what}");
        self.remarks.push(Remark { account: self.account, place: place.to_owned(), sentence, verdict });
    }

    /// The sentences that follow are about the account with this index.
    pub(super) fn begin_account(&mut self, index: usize) {
        self.account = Some(index);
    }

    /// There is no account with this index after all.
    pub(super) fn drop_account(&mut self, index: usize) {
        for remark in self.remarks.iter_mut().filter(|remark| remark.account == Some(index)) {
            remark.account = None;
        }
    }

    /// Gives each account the sentences about it and its places, and returns those that are about none. A sentence about
    /// something taken at a place that is no account's is about all of them.
    pub(super) fn hand_out(self, accounts: &mut [ImportedAccount]) -> Vec<String> {
        let everyone: Vec<usize> = (0..accounts.len()).collect();
        let mut at_place: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, account) in accounts.iter().enumerate() {
            for place in &account.places {
                at_place.entry(place.clone()).or_default().push(index);
            }
        }
        let mut of_file = Sentences::default();
        let mut not_taken: Vec<Sentences> = accounts.iter().map(|_| Sentences::default()).collect();
        for Remark { account, place, sentence, verdict } in self.remarks {
            let own = account.map(|index| vec![index]).or_else(|| at_place.get(&place).cloned());
            if own.is_none() && matches!(verdict, Verdict::Left) {
                of_file.say(sentence);
                continue;
            }
            for index in own.unwrap_or_else(|| everyone.clone()) {
                match (&verdict, accounts.get_mut(index), not_taken.get_mut(index)) {
                    (Verdict::Taken(server), Some(account), _) => {
                        let (server, place, sentence) = (*server, place.clone(), sentence.clone());
                        account.take(Taken { server, place, sentence });
                    }
                    (Verdict::Left, _, Some(sentences)) => sentences.say(sentence.clone()),
                    (Verdict::Taken(_), None, _) | (Verdict::Left, _, None) => {}
                }
            }
        }
        for (account, sentences) in accounts.iter_mut().zip(not_taken) {
            account.not_taken = sentences.all();
        }
        of_file.all()
    }
}

impl ImportedAccount {
    fn take(&mut self, taken: Taken) {
        if self.taken.len() < MAX_SENTENCES && !self.taken.contains(&taken) {
            self.taken.push(taken);
        }
    }
}

#[derive(Debug, Default)]
struct Sentences {
    said: Vec<String>,
    more: usize,
}

impl Sentences {
    fn say(&mut self, sentence: String) {
        if self.said.contains(&sentence) {
            return;
        }
        if self.said.len() < MAX_SENTENCES {
            self.said.push(sentence);
        } else {
            self.more += 1;
        }
    }

    fn all(mut self) -> Vec<String> {
        if self.more > 0 {
            self.said.push(format!("and {} more of the same kind", self.more));
        }
        self.said
    }
}
