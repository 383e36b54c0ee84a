//! Undoes what another helper did to an account. Virus scanners, spam filters and POP proxies stood on the user's computer,
//! between the mail program and the provider. They set the program to 127.0.0.1, or to a name that only the computer's
//! own list of hosts knew, and hid the provider's server in the user name: `ann/pop.example.net`. The helper took the two
//! apart again; [`undo`] does the same.
//!
//! Only a name that was meant for a helper is read so. At a provider, `CORP/ann` and `ann#example.net` are names that users
//! really have there.
//!
//! Not here: what takes the place of a server that no name hides (`resolve.rs`).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use super::{Draft, Protection, Report, SendsAs, Server, company, shown};
use crate::config::presets::Presets;
use crate::config::value;
use ostler_mail::account::is_this_computer;

/// Which half of a joined name comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NameFirst,
    ServerFirst,
}

/// How much has to speak for a reading before it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// The text has the form of a host name.
    Form,
    /// It is one of three labels or more, or of the address's company.
    Likely,
    /// It is a server of a known provider, or its first label is one for mail servers.
    Unmistakable,
}

/// A way in which helpers join a user name and a server.
#[derive(Debug)]
struct Form {
    separator: char,
    order: Order,
    /// Helpers that use it, for a person.
    helpers: &'static str,
    /// What it takes to read a name so. Where users have names with this separator of their own, it takes more.
    needs: Evidence,
}

/// The forms that helpers had as they came, the usual order first. Both orders of each are read, because some helpers let
/// the user choose separator and order.
///
/// - `/`: Norton AntiVirus 2000 and 2001 (`gsmith/mail.worldservice.com`, as providers' support pages of the time quote it),
///   PC-cillin; AVG with `:PORT` behind the server. K9 has `server/port/name` (keir.net/k9_configuration.html).
///   `CORP/ann` is also how some users write a Windows domain.
/// - `#`: avast! 4, for fetching and sending; `#server` where sending takes no name.
/// - `:`: POPFile, `server[:port]:name[:ssl,apop]` (its `Proxy/POP3.pm`).
/// - `&`: Spamihilator, `server&name&port`.
/// - `@`: SpamPal (its user manual), SpamBayes' pspam, 3proxy's pop3p(8): `name@server[:port]`, where the name may be an
///   address. An address alone is the form that most users' own names have.
///
/// Those of PC-cillin, AVG, avast! and Spamihilator have not been checked against a document.
const FORMS: [Form; 5] = [
    Form { separator: '/', order: Order::NameFirst, helpers: "Norton AntiVirus, AVG and K9", needs: Evidence::Likely },
    Form { separator: '#', order: Order::NameFirst, helpers: "avast!", needs: Evidence::Form },
    Form { separator: ':', order: Order::ServerFirst, helpers: "POPFile", needs: Evidence::Form },
    Form { separator: '&', order: Order::ServerFirst, helpers: "Spamihilator", needs: Evidence::Form },
    Form { separator: '@', order: Order::NameFirst, helpers: "SpamPal", needs: Evidence::Unmistakable },
];

/// Separators that a user can have chosen in place of a helper's own (POPFile's `pop3_separator`, K9's "Server/Port/User
/// delimiter").
const CHOSEN_SEPARATORS: [char; 11] = ['|', ';', ',', '!', '*', '%', '\\', '^', '~', '$', '='];

/// The last labels of host names that only a helper knew. None is a top-level domain of the public DNS, so such a name
/// cannot be a provider's: Norton AntiVirus 2001 wrote `pop3.norton.antivirus` into the list of hosts, and some users a
/// name for their spam filter.
const HELPER_LABELS: [&str; 16] = [
    "antispam",
    "antivirus",
    "avast",
    "avg",
    "k9",
    "localproxy",
    "mcafee",
    "pop3proxy",
    "popfile",
    "saproxy",
    "spambayes",
    "spamfilter",
    "spamihilator",
    "spampal",
    "viruscan",
    "virusscan",
];

/// What a word behind a server said of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Tls,
    StartTls,
    /// Nothing: it was for something else, such as the way of signing in.
    Else,
}

/// Words for TLS and for ways of signing in, as helpers had them behind a server.
const WORDS: [(&str, Word); 14] = [
    ("ssl", Word::Tls),
    ("tls", Word::Tls),
    ("ssltls", Word::Tls),
    ("pop3s", Word::Tls),
    ("pops", Word::Tls),
    ("imaps", Word::Tls),
    ("smtps", Word::Tls),
    ("starttls", Word::StartTls),
    ("stls", Word::StartTls),
    ("apop", Word::Else),
    ("spa", Word::Else),
    ("pop3", Word::Else),
    ("smtp", Word::Else),
    ("imap", Word::Else),
];

/// First labels of mail servers that contain none of [`MAIL_WORDS`].
const MAIL_LABELS: [&str; 10] =
    ["in", "incoming", "inbound", "inbox", "out", "outgoing", "mx", "post", "posta", "poczta"];
/// What the first label of most mail servers contains.
const MAIL_WORDS: [&str; 4] = ["pop", "imap", "smtp", "mail"];

/// Helpers in a row that are undone: a spam filter behind a virus scanner, and one more.
const MAX_HELPERS: usize = 3;

/// A joined name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    pub(super) host: String,
    /// `None` for the usual port.
    pub(super) port: Option<u16>,
    /// How the helper went on to the provider.
    pub(super) protection: Protection,
    /// `None` if the joined name has a server only.
    pub(super) username: Option<String>,
    /// Helpers that join names so, for a person.
    helpers: &'static str,
}

/// Whether a helper, and no provider, is at this host: it is this computer, or a name that only a helper knew.
pub(super) fn is_helper(host: &str) -> bool {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    is_this_computer(&host) || HELPER_LABELS.contains(&last)
}

/// Where a user name was used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used<'a> {
    /// The host in the settings.
    pub(super) at: &'a str,
    /// Whether the mail program went there by TLS.
    pub(super) is_protected: bool,
    /// The account's mail address, if it is known.
    pub(super) address: Option<&'a str>,
}

/// Takes a user name apart; `None` if it was not used at a helper, or no helper has joined it.
pub(super) fn undo(joined: &str, used: Used<'_>, presets: &Presets) -> Option<Undone> {
    let mut undone = undo_one(joined, used, presets)?;
    // Behind the helper there may be another one, which joined the name before.
    for _ in 1..MAX_HELPERS {
        let behind = Used { at: &undone.host, is_protected: false, ..used };
        let Some(next) = undone.username.as_ref().and_then(|name| undo_one(name, behind, presets)) else { break };
        undone = next;
    }
    Some(undone)
}

fn undo_one(joined: &str, used: Used<'_>, presets: &Presets) -> Option<Undone> {
    let joined = joined.trim();
    if !is_helper(used.at) || is_own_name(joined, used.address) {
        return None;
    }
    let judge = Judge { used, presets, is_certain: !is_this_computer(used.at) };
    let chosen = |separator| Form {
        separator,
        order: Order::ServerFirst,
        helpers: "POPFile and K9",
        needs: Evidence::Unmistakable,
    };
    let mut best: Option<(u32, Undone)> = None;
    for form in FORMS.into_iter().chain(CHOSEN_SEPARATORS.map(chosen)) {
        for (weight, undone) in judge.readings(&form, joined) {
            if best.as_ref().is_none_or(|(known, _)| weight > *known) {
                best = Some((weight, undone));
            }
        }
    }
    best.map(|(_, undone)| undone)
}

/// Whether the name is the address, or what stands before its @.
fn is_own_name(name: &str, address: Option<&str>) -> bool {
    let Some(address) = address else { return false };
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    [address, local].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// A server as it stands within a joined name.
#[derive(Debug, Clone, Default)]
struct Place {
    host: String,
    port: Option<u16>,
    word: Option<Word>,
}

impl Place {
    /// Parses `host`, `host:port`, `host:port:ssl`, `ssl://host`.
    fn parse(text: &str) -> Option<Self> {
        let mut place = Self::default();
        let text = match text.split_once("://") {
            Some((scheme, rest)) if place.take(scheme) => rest.trim_end_matches('/'),
            Some(_) => return None,
            None => text,
        };
        let mut parts = text.split([':', '/', ',', ';', ' ']);
        place.host = parts.next()?.trim().to_owned();
        parts.all(|part| place.take(part)).then_some(place)
    }

    /// Takes a port or a word for TLS; `false` if it is neither.
    fn take(&mut self, text: &str) -> bool {
        let mut taken = self.clone();
        let is_taken = text.split(',').all(|part| match (super::port(part), word(part)) {
            (Some(port), _) => taken.port.replace(port).is_none(),
            (None, Some(word)) => {
                taken.word = taken.word.filter(|known| *known != Word::Else).or(Some(word));
                true
            }
            (None, None) => false,
        });
        if is_taken {
            *self = taken;
        }
        is_taken
    }

    /// How the helper went on: by TLS if a word or the port says so.
    fn protection(&self) -> Protection {
        match (self.word, self.port) {
            // These ports have STARTTLS, and the word may have meant that.
            (Some(Word::Tls), Some(25 | 110 | 143 | 587)) => Protection::Either,
            (Some(Word::Tls), _) => Protection::Tls,
            (Some(Word::StartTls), _) => Protection::StartTls,
            (None | Some(Word::Else), Some(465 | 993 | 995)) => Protection::Tls,
            (None | Some(Word::Else), _) => Protection::None,
        }
    }
}

fn word(text: &str) -> Option<Word> {
    let text: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    WORDS.iter().find(|(known, _)| *known == text).map(|(_, word)| *word)
}

/// Takes a name apart at a separator, in one order. A port and a word for TLS may stand beside the server or at the end.
fn take_apart(joined: &str, separator: char, order: Order) -> Option<(Place, String)> {
    let mut pieces: VecDeque<&str> = joined.split(separator).collect();
    let mut options = Place::default();
    if pieces.len() < 2 {
        return None;
    }
    let server = match order {
        Order::ServerFirst => {
            take_front(&mut pieces, 2, &mut options);
            let server = pieces.pop_front()?;
            // A word at the end goes first: in `server:110:ssl`, 110 is the user.
            while pieces.len() > 1 && pieces.back().is_some_and(|piece| word(piece).is_some() && options.take(piece)) {
                pieces.pop_back();
            }
            take_front(&mut pieces, 1, &mut options);
            server
        }
        Order::NameFirst => {
            take_back(&mut pieces, 2, &mut options);
            pieces.pop_back()?
        }
    };
    take_back(&mut pieces, 1, &mut options);
    let mut place = Place::parse(server)?;
    place.port = place.port.or(options.port);
    place.word = place.word.or(options.word);
    let name = Vec::from(pieces).join(separator.encode_utf8(&mut [0; 4]));
    Some((place, name.trim().to_owned()))
}

/// Takes ports and words from the front; this many pieces stay.
fn take_front(pieces: &mut VecDeque<&str>, stay: usize, options: &mut Place) {
    while pieces.len() > stay && pieces.front().is_some_and(|piece| options.take(piece)) {
        pieces.pop_front();
    }
}

/// As [`take_front`], from the end.
fn take_back(pieces: &mut VecDeque<&str>, stay: usize, options: &mut Place) {
    while pieces.len() > stay && pieces.back().is_some_and(|piece| options.take(piece)) {
        pieces.pop_back();
    }
}

/// Whether a text can be a server: an IP address, or a host name with a dot.
fn has_host_form(text: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    let labels: Vec<&str> = text.split('.').collect();
    let is_name = labels.len() > 1
        && labels.iter().all(|label| is_label(label))
        && labels.last().is_some_and(|top| top.chars().any(char::is_alphabetic));
    is_name || is_this_computer(text) || text.parse::<Ipv4Addr>().is_ok()
}

/// Whether the first label is one that mail servers have, such as `pop3`, `mail2` and `incoming`.
fn has_mail_label(host: &str) -> bool {
    let first = host.split('.').next().unwrap_or_default();
    MAIL_WORDS.iter().any(|word| first.contains(word))
        || MAIL_LABELS.contains(&first.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Weighs the readings of one name.
struct Judge<'a> {
    used: Used<'a>,
    presets: &'a Presets,
    /// Whether the name can be nothing but joined, since no user has a name of their own at this host.
    is_certain: bool,
}

impl Judge<'_> {
    /// The readings of a name in one form that can be believed, each with its weight; the usual order first.
    fn readings(&self, form: &Form, joined: &str) -> Vec<(u32, Undone)> {
        let orders = match form.order {
            Order::NameFirst => [Order::NameFirst, Order::ServerFirst],
            Order::ServerFirst => [Order::ServerFirst, Order::NameFirst],
        };
        let read = |order| {
            let (place, name) = take_apart(joined, form.separator, order)?;
            self.weigh(form, order == form.order, &place, &name)
        };
        orders.into_iter().filter_map(read).collect()
    }

    fn weigh(&self, form: &Form, is_usual_order: bool, place: &Place, name: &str) -> Option<(u32, Undone)> {
        let is_certain = self.is_certain && !CHOSEN_SEPARATORS.contains(&form.separator);
        // At a company the server may have a name without a dot.
        let may_lack_dot = is_certain && is_usual_order && form.separator != '@';
        if !may_lack_dot && !has_host_form(&place.host) {
            return None;
        }
        let host = value::host(&place.host).ok()?;
        // Two @ are never in one address, so the second one joins.
        let is_joined = form.separator == '@' && (name.contains('@') || place.port.is_some());
        // A helper with TLS is one of today, such as Proton Mail Bridge; those of the past had none on this computer.
        let needs = match (self.used.is_protected, is_joined) {
            (true, false) if form.separator == '@' => return None,
            (true, _) => Evidence::Unmistakable,
            (false, true) => Evidence::Form,
            (false, false) => form.needs,
        };
        if !is_certain && self.evidence(&host) < needs {
            return None;
        }
        let username = if name.is_empty() { None } else { Some(value::username(name).ok()?) };
        let (port, protection) = (place.port, place.protection());
        Some((self.weight(&host), Undone { host, port, protection, username, helpers: form.helpers }))
    }

    fn evidence(&self, host: &str) -> Evidence {
        let labels = host.split('.').count();
        if is_helper(host) || self.presets.by_host(host).is_some() || labels > 2 && has_mail_label(host) {
            Evidence::Unmistakable
        } else if labels > 2 || self.is_of_the_address(host) || self.presets.by_domain(host).is_some() {
            Evidence::Likely
        } else {
            Evidence::Form
        }
    }

    /// Tells which half is the server if both have the form of one, as in `first.last/mail.example.net`.
    fn weight(&self, host: &str) -> u32 {
        // A helper behind the helper has joined first, so it has to be undone last.
        16 * u32::from(is_helper(host))
            + 8 * u32::from(self.presets.by_host(host).is_some())
            + 4 * u32::from(has_mail_label(host))
            + 2 * u32::from(self.is_of_the_address(host))
            + u32::from(self.domain() != Some(host))
    }

    fn domain(&self) -> Option<&str> {
        self.used.address.and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain)
    }

    /// Whether the host is of the company that the address is with.
    fn is_of_the_address(&self, host: &str) -> bool {
        self.domain().is_some_and(|domain| company(domain, self.presets) == company(host, self.presets))
    }
}

/// Undoes helpers in an account, and tells the user.
pub(super) fn undo_in(draft: &mut Draft, presets: &Presets, report: &mut Report) {
    let joined = draft.username.clone();
    let address = draft.address.clone();
    if let Some(joined) = &joined {
        undo_incoming(draft, joined, address.as_deref(), presets, report);
    }
    undo_outgoing(draft, joined.as_deref(), address.as_deref(), presets, report);
}

fn undo_incoming(draft: &mut Draft, joined: &str, address: Option<&str>, presets: &Presets, report: &mut Report) {
    for server in draft.servers.iter_mut().filter(|server| !server.protocol.is_outgoing() && is_helper(&server.host)) {
        let used = used(server, address);
        match undo(joined, used, presets) {
            Some(undone) => {
                report.took_server(server, undone.sentence(joined));
                draft.username.clone_from(&undone.username);
                undone.put_into(server);
            }
            None if can_only_be_joined(joined, used) => {
                report.left(
                    &server.place,
                    format!(
                        "the user name \"{}\": only a helper on this computer understood it, and ostler finds no server in it. \
                         Name the server with --pop3 and the user name with --username",
                        shown(joined)
                    ),
                );
                draft.username = None;
            }
            None => {}
        }
    }
}

fn undo_outgoing(
    draft: &mut Draft,
    joined: Option<&str>,
    address: Option<&str>,
    presets: &Presets,
    report: &mut Report,
) {
    let SendsAs::Own(own) = &draft.sends_as else { return };
    if joined == Some(own) && draft.username.as_deref() != joined {
        // The name for fetching once more. Its server is the one for fetching, which is not always one for sending.
        draft.sends_as = SendsAs::Same;
        return;
    }
    let is_sending = |server: &&mut Server| server.protocol.is_outgoing() && is_helper(&server.host);
    let Some(server) = draft.servers.iter_mut().find(is_sending) else { return };
    let used = used(server, address);
    match undo(own, used, presets) {
        Some(undone) => {
            report.took_server(server, undone.sentence(own));
            undone.put_into(server);
            draft.sends_as = undone.username.map_or(SendsAs::Unknown, SendsAs::Own);
        }
        None if can_only_be_joined(own, used) => draft.sends_as = SendsAs::Unknown,
        None => {}
    }
}

fn used<'a>(server: &'a Server, address: Option<&'a str>) -> Used<'a> {
    Used { at: &server.host, is_protected: server.protection != Protection::None, address }
}

/// Whether a name given to a helper cannot be a user's own, although no server is found in it.
fn can_only_be_joined(name: &str, used: Used<'_>) -> bool {
    !used.is_protected
        && !is_own_name(name, used.address)
        && (name.contains(['#', ':', '&']) || name.matches('@').count() > 1)
}

impl Undone {
    fn put_into(&self, server: &mut Server) {
        server.host.clone_from(&self.host);
        server.port = self.port;
        server.protection = self.protection.clone();
    }

    fn sentence(&self, joined: &str) -> String {
        let name = self.username.as_deref().map_or_else(String::new, |name| format!(", as \"{}\"", shown(name)));
        format!(
            "a helper on this computer had put the server into the user name (\"{}\", as {} did); ostler undoes that and goes to {} \
             itself{name}",
            shown(joined),
            self.helpers,
            shown(&self.host),
        )
    }
}

/// Hosts that a provider may have for sending, told by the one for fetching, the likeliest first; all of the same company.
pub(super) fn hosts_for_sending(host: &str, presets: &Presets) -> Vec<String> {
    let Some((first, rest)) = host.split_once('.').filter(|_| host.parse::<IpAddr>().is_err()) else {
        return vec![host.to_owned()];
    };
    let domain = if has_mail_label(host) && rest.contains('.') { rest } else { host };
    let (smtp, mail) = (format!("smtp.{domain}"), format!("mail.{domain}"));
    // `mail.example.net` mostly does both; `pop.example.net` mostly does not.
    let is_for_both = !first.contains("pop") && !first.contains("imap") && host.split('.').count() > 2;
    let hosts = if is_for_both { [host.to_owned(), smtp, mail] } else { [smtp, mail, host.to_owned()] };
    let mut all: Vec<String> = Vec::new();
    for candidate in hosts {
        if company(&candidate, presets) == company(host, presets) && !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

#[cfg(test)]
mod tests;
