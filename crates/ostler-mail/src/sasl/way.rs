//! The ways of giving user name and password to a server, and which comes next when one was refused.

use crate::sasl::Mechanism;

/// A way of giving user name and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// USER and PASS (RFC 1939, section 7).
    UserPass,
    /// A SASL mechanism.
    Sasl(Mechanism),
    /// PLAIN with its answer on a line of its own, for servers that take no initial response (RFC 4954, section 4).
    PlainOnTwoLines,
}

impl Way {
    /// The word for it in a command.
    pub(crate) fn name(self) -> &'static str {
        self.mechanism().map_or("USER", Mechanism::name)
    }

    /// The mechanism, if it is one of SASL.
    pub(crate) fn mechanism(self) -> Option<Mechanism> {
        match self {
            Self::UserPass => None,
            Self::Sasl(mechanism) => Some(mechanism),
            Self::PlainOnTwoLines => Some(Mechanism::Plain),
        }
    }
}

/// Which ways are left at one server.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// The way that worked the last time.
    known: Option<Way>,
    /// What the server will not take.
    refused: Vec<Way>,
    /// The names of the ways that it has refused, in order.
    tried: Vec<&'static str>,
    /// What the server said when it refused the last one.
    said: String,
    /// What the server said when it refused every password because the connection is not encrypted.
    wants_tls: Option<String>,
}

impl Ways {
    /// `known` worked at an earlier sign-in, and comes first.
    pub(crate) fn begin_with(&mut self, known: Option<Way>) {
        self.known = known;
    }

    /// The next way to try. `both` are the ways that both sides have, the best first.
    pub(crate) fn next(&self, both: impl Iterator<Item = Way>) -> Option<Way> {
        let left: Vec<Way> = both.filter(|way| !self.refused.contains(way)).collect();
        self.known.filter(|known| left.contains(known)).or(left.first().copied())
    }

    /// The server has refused a way. `may_go_on_two_lines`: perhaps only because the command had the answer in it.
    pub(crate) fn refuse(&mut self, way: Way, may_go_on_two_lines: bool, said: String) {
        self.refused.push(way);
        if !self.tried.contains(&way.name()) {
            self.tried.push(way.name());
        }
        // On two lines PLAIN is another way only where the answer in the command may have been the trouble.
        if way == Way::Sasl(Mechanism::Plain) && !may_go_on_two_lines {
            self.refused.push(Way::PlainOnTwoLines);
        }
        self.said = said;
    }

    /// The server takes no password on this connection, because it is not encrypted. CRAM-MD5 sends none.
    pub(crate) fn refuse_passwords(&mut self, said: String) {
        let plain = Way::Sasl(Mechanism::Plain);
        self.refused.extend([Way::UserPass, plain, Way::PlainOnTwoLines, Way::Sasl(Mechanism::Login)]);
        self.wants_tls = Some(said);
    }

    /// What the server said when it refused every password because the connection is not encrypted; `None` if it did not.
    pub(crate) fn wants_tls(&self) -> Option<&str> {
        self.wants_tls.as_deref()
    }

    /// Whether nothing was refused yet.
    pub(crate) fn is_untried(&self) -> bool {
        self.refused.is_empty()
    }

    /// Whether this way may come first: it was not refused, and no other worked the last time.
    pub(crate) fn is_open_to(&self, way: Way) -> bool {
        !self.refused.contains(&way) && self.known.is_none_or(|known| known == way || self.refused.contains(&known))
    }

    /// Whether this way worked the last time.
    pub(crate) fn is_known(&self, way: Way) -> bool {
        self.known == Some(way)
    }

    /// The names of the refused ways, in the order in which they were tried.
    pub(crate) fn tried(&self) -> String {
        self.tried.join(", ")
    }

    /// What the server said when it refused the last way.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }
}
