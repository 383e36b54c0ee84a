//! The further From addresses of an account. An old program has them as identities of one account, or as several accounts
//! with one mailbox; ostler has one account for the mailbox, which sends for all of them (`aliases`).

use super::{Draft, ImportedAccount, Report, SendsAs, Server, shown};
use crate::config::value;
use ostler_mail::account::Alias;

/// From addresses taken for one account; people have a handful.
const MAX_ALIASES: usize = 64;

/// Makes one account of those that fetch from the same mailbox and send through the same server.
pub(super) fn join_by_mailbox(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut joined: Vec<Draft> = Vec::new();
    for draft in drafts {
        match joined.iter_mut().find(|known| has_same_mailbox(known, &draft)) {
            Some(known) => known.join(draft),
            None => joined.push(draft),
        }
    }
    joined
}

impl Draft {
    /// Takes the addresses of an account that has nothing else of its own.
    pub(super) fn join(&mut self, other: Self) {
        self.joined.extend(other.places());
        self.further.extend(other.address.into_iter().chain(other.further));
    }
}

fn has_same_mailbox(known: &Draft, other: &Draft) -> bool {
    let mailbox = |draft: &Draft| incoming(draft).map(place);
    let is_same_name = match (&known.username, &other.username) {
        (Some(known), Some(other)) => known.eq_ignore_ascii_case(other),
        // Without a user name, it would be made from the address, and so lead to two mailboxes.
        _ => false,
    };
    let have_addresses = known.address.is_some() && other.address.is_some();
    have_addresses
        && is_same_name
        && mailbox(known).is_some()
        && mailbox(known) == mailbox(other)
        && sends_alike(known, other)
}

/// Whether the second account sends as the first does, or does not say how.
pub(super) fn sends_alike(known: &Draft, other: &Draft) -> bool {
    let sending =
        |draft: &Draft| -> Vec<_> { draft.servers.iter().filter(|s| s.protocol.is_outgoing()).map(place).collect() };
    let is_same_name = other.sends_as == SendsAs::Unknown || known.sends_as == other.sends_as;
    sending(other).is_empty() || is_same_name && sending(known) == sending(other)
}

pub(super) fn incoming(draft: &Draft) -> Option<&Server> {
    draft.servers.iter().find(|server| !server.protocol.is_outgoing())
}

fn place(server: &Server) -> (&'static str, String, Option<u16>) {
    (server.protocol.name(), server.host.trim_end_matches('.').to_ascii_lowercase(), server.port)
}

/// The further addresses of an account, without those that settings cannot hold.
pub(super) fn aliases(draft: &Draft, report: &mut Report) -> Vec<Alias> {
    let own = draft.address.as_deref().unwrap_or_default();
    let mut aliases: Vec<Alias> = Vec::new();
    for text in draft.further.iter().filter(|text| !text.eq_ignore_ascii_case(own)) {
        match value::alias(text) {
            Ok(alias) if aliases.contains(&alias) => {}
            Ok(alias) if aliases.len() < MAX_ALIASES => aliases.push(alias),
            Ok(_) | Err(_) => report.left(&draft.place, format!("the address {}", shown(text))),
        }
    }
    aliases
}

/// Leaves each address to one account: to the one whose own it is, else to the first. Settings refuse an address that two
/// accounts send for.
pub(super) fn keep_apart(accounts: &mut [ImportedAccount], report: &mut Report) {
    let own: Vec<String> = accounts.iter().filter_map(|a| a.address.as_ref()).map(|a| a.to_ascii_lowercase()).collect();
    let mut given: Vec<Alias> = Vec::new();
    for (index, account) in accounts.iter_mut().enumerate() {
        report.begin_account(index);
        let place = account.place().to_owned();
        account.aliases.retain(|alias| {
            let is_free = !given.contains(alias) && !own.iter().any(|own| *alias == Alias::Address(own.clone()));
            if is_free {
                report.took(&place, format!("it also sends as {alias}"));
                given.push(alias.clone());
            } else {
                report.left(&place, format!("the further address {alias}: another account of the file has it"));
            }
            is_free
        });
    }
}

impl ImportedAccount {
    /// Whether it sends for this address.
    pub(crate) fn sends_for(&self, address: &str) -> bool {
        let is_own = |own: &String| own.eq_ignore_ascii_case(address);
        let wanted = Alias::Address(address.to_ascii_lowercase());
        self.address.as_ref().is_some_and(is_own) || self.aliases.contains(&wanted)
    }

    /// The same mailbox as an account of this address, which may be one of its further ones.
    pub(crate) fn for_address(mut self, address: &str) -> Self {
        let Some(first) = self.address.take_if(|own| !own.eq_ignore_ascii_case(address)) else { return self };
        let wanted = Alias::Address(address.to_ascii_lowercase());
        let Some(at) = self.aliases.iter().position(|alias| *alias == wanted) else {
            self.address = Some(first);
            return self;
        };
        if let Some(alias) = self.aliases.get_mut(at) {
            *alias = Alias::Address(first.to_ascii_lowercase());
        }
        self.address = Some(address.to_owned());
        // The mailbox is still called by the first address.
        self.login_address = Some(first);
        self
    }
}
