//! The servers and rules that an account could have: [`Proposal`]. A preset, a search, another program's file and the user
//! each make one; what one lacks is taken from the next.
//!
//! Not here: where they come from (`find`, `import`), and trying them (`trial`).

use ostler_mail::account::Protocol;
use ostler_mail::account::endpoint::Endpoint;

/// The servers and rules that an account could have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// The id of the preset that the servers are from.
    pub provider: Option<String>,
    /// The servers to fetch from, best first: by POP3, or by IMAP where there is no POP3. An account without any only sends.
    pub incoming: Vec<Endpoint>,
    /// SMTP servers, best first; an account without any only fetches.
    pub outgoing: Vec<Endpoint>,
    /// SMTP servers kept behind the one that is used. Another program's file names them as what it turns to when the first
    /// cannot be reached; unlike [`Self::outgoing`], they are not ways to find out which one works.
    pub standby: Vec<Endpoint>,
    /// The IMAP server.
    pub imap: Option<Endpoint>,
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
        self.incoming.is_empty() && self.outgoing.is_empty()
    }

    /// Whether a direction that is wanted has no server.
    pub(crate) fn lacks(&self, wanted: Wanted) -> bool {
        wanted.incoming && self.incoming.is_empty() || wanted.outgoing && self.outgoing.is_empty()
    }

    /// Takes what it lacks from another proposal, with the rule for sending that belongs to the servers for sending. Which
    /// preset the account is saved with is for the caller to say, so `provider` stays.
    pub(crate) fn fill(&mut self, more: &Self, wanted: Wanted) {
        if wanted.incoming && self.incoming.is_empty() {
            self.incoming.clone_from(&more.incoming);
        }
        if wanted.outgoing && self.outgoing.is_empty() {
            self.outgoing.clone_from(&more.outgoing);
            self.standby.clone_from(&more.standby);
            self.gate |= more.gate;
        }
        if self.imap.is_none() {
            self.imap.clone_from(&more.imap);
        }
    }

    /// Without a POP3 server, mail is fetched from the IMAP server.
    pub(crate) fn fetch_by_imap(&mut self, wanted: Wanted) {
        if wanted.incoming && self.incoming.is_empty() {
            self.incoming.extend(self.imap.clone());
        }
    }

    /// Whether it has a server for a POP login.
    pub(crate) fn has_pop3(&self) -> bool {
        self.incoming.iter().any(|endpoint| endpoint.protocol == Protocol::Pop3)
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
            imap: at(Protocol::Imap, "imap.x.net").pop(),
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
    }

    #[test]
    fn mail_is_fetched_by_imap_only_where_there_is_no_pop3() {
        let mut both = gated();
        both.fetch_by_imap(Wanted::BOTH);
        assert_eq!(both, gated());
        let mut imap = Proposal { incoming: vec![], ..gated() };
        imap.fetch_by_imap(Wanted { incoming: false, outgoing: true });
        assert!(imap.incoming.is_empty());
        imap.fetch_by_imap(Wanted::BOTH);
        assert_eq!((&imap.incoming, imap.has_pop3()), (&at(Protocol::Imap, "imap.x.net"), false));
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
