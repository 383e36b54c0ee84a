//! The servers and rules that an account could have: [`Proposal`]. A preset, a search, another program's file and the user
//! each make one; what one lacks is taken from the next.
//!
//! Not here: where they come from (`find`, `import`), and trying them (`trial`).

use ostler_mail::account::endpoint::Endpoint;

/// The servers and rules that an account could have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// The id of the preset that the servers are from.
    pub provider: Option<String>,
    /// POP3 servers, best first; an account without any, and without one for IMAP, only sends.
    pub incoming: Vec<Endpoint>,
    /// SMTP servers, best first; an account without any only fetches.
    pub outgoing: Vec<Endpoint>,
    /// SMTP servers kept behind the one that is used. Another program's file names them as what it turns to when the first
    /// cannot be reached; unlike [`Self::outgoing`], they are not ways to find out which one works.
    pub standby: Vec<Endpoint>,
    /// IMAP servers, best first.
    pub imap: Vec<Endpoint>,
    /// The user has named the IMAP server, so the account is not good unless it works there.
    pub wants_imap: bool,
    /// Whether mail has to be fetched before each send.
    pub gate: bool,
}

/// The directions of mail that servers are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) incoming: bool,
    pub(crate) outgoing: bool,
}

impl Wanted {
    pub(crate) const BOTH: Self = Self { incoming: true, outgoing: true };
}

impl Proposal {
    /// Whether it has no server for mail in either direction.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_no_incoming() && self.outgoing.is_empty()
    }

    /// Whether it has no server where mail can be fetched or read.
    pub(crate) fn has_no_incoming(&self) -> bool {
        self.incoming.is_empty() && self.imap.is_empty()
    }

    /// Whether a direction that is wanted has no server.
    pub(crate) fn lacks(&self, wanted: Wanted) -> bool {
        wanted.incoming && self.has_no_incoming() || wanted.outgoing && self.outgoing.is_empty()
    }

    /// Takes what it lacks from another proposal, with the rule for sending that belongs to the servers for sending. Which
    /// preset the account is saved with is for the caller to say, so `provider` stays.
    pub(crate) fn fill(&mut self, more: &Self, wanted: Wanted) {
        // Both or none: a server for reading that the user has not named is not to get the password of one that they have.
        if wanted.incoming && self.has_no_incoming() {
            self.incoming.clone_from(&more.incoming);
            self.imap.clone_from(&more.imap);
        }
        if wanted.outgoing && self.outgoing.is_empty() {
            self.outgoing.clone_from(&more.outgoing);
            self.standby.clone_from(&more.standby);
            self.gate |= more.gate;
        }
    }

    /// Replaces the servers for sending. Those behind the old ones go too: the new password is not for them.
    pub(crate) fn send_through(&mut self, outgoing: Vec<Endpoint>) {
        self.outgoing = outgoing;
        self.standby.clear();
    }

    /// Every server it names.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.incoming.iter().chain(&self.outgoing).chain(&self.standby).chain(&self.imap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::endpoint_from_flag;
    use ostler_mail::account::Protocol;

    fn at(protocol: Protocol, host: &str) -> Vec<Endpoint> {
        vec![endpoint_from_flag(protocol, &format!("tls://{host}")).unwrap()]
    }

    /// The servers and rules of a provider that wants mail to be fetched before it is sent.
    fn gated() -> Proposal {
        Proposal {
            provider: Some("preset".into()),
            incoming: at(Protocol::Pop3, "pop.x.net"),
            outgoing: at(Protocol::Smtp, "smtp.x.net"),
            standby: at(Protocol::Smtp, "smtp2.x.net"),
            imap: at(Protocol::Imap, "imap.x.net"),
            wants_imap: false,
            gate: true,
        }
    }

    #[test]
    fn what_is_missing_is_taken_and_what_is_there_stays() {
        let mut empty = Proposal::default();
        empty.fill(&gated(), Wanted::BOTH);
        assert_eq!(empty, Proposal { provider: None, ..gated() });
        let mut own = Proposal { incoming: at(Protocol::Pop3, "pop.y.net"), ..Proposal::default() };
        assert!(own.lacks(Wanted::BOTH) && !own.lacks(Wanted { incoming: true, outgoing: false }));
        own.fill(&gated(), Wanted::BOTH);
        assert_eq!((&own.incoming, own.lacks(Wanted::BOTH)), (&at(Protocol::Pop3, "pop.y.net"), false));
        assert_eq!(own.imap, [], "the password is not that of the other company");
        let mut own = Proposal { imap: at(Protocol::Imap, "imap.y.net"), ..Proposal::default() };
        assert!(!own.is_empty() && !own.lacks(Wanted { incoming: true, outgoing: false }));
        own.fill(&gated(), Wanted::BOTH);
        assert!(own.incoming.is_empty() && own.outgoing.len() == 1, "the account reads by IMAP");
    }

    #[test]
    fn a_gate_comes_with_the_servers_behind_it() {
        let mut own = Proposal { outgoing: at(Protocol::Smtp, "smtp.y.net"), ..Proposal::default() };
        own.fill(&gated(), Wanted::BOTH);
        assert!(own.standby.is_empty(), "what stands behind another company's server stays there");
        assert!(!own.gate, "the user has named another server for sending");
        let mut fetching = Proposal::default();
        fetching.fill(&gated(), Wanted { incoming: true, outgoing: false });
        assert_eq!((fetching.outgoing.len(), fetching.gate), (0, false));
    }
}
