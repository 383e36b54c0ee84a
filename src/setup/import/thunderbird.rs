//! `prefs.js` of Thunderbird, Mozilla and Netscape 6 and 7: one `user_pref("name", value);` a line. The names are those
//! of Mozilla's `nsMsgIncomingServer`, `nsSmtpServer` and `nsMsgIdentity`; Netscape 4 has its own, for its one account.

use std::collections::HashMap;

use super::{Draft, Protection, Report, SendsAs, Server, address, port, quoted, shown, username};
use crate::config::issuers;
use crate::setup::split_port;
use ostler_mail::account::Protocol;

/// Accounts read from the list of accounts.
const MAX_LISTED_ACCOUNTS: usize = 200;

/// Identities read from one account.
const MAX_IDENTITIES: usize = 64;

/// The values of Netscape 4's `mail.server_type`; POP3 is its default, which it does not write.
const NETSCAPE_4_POP3: &str = "0";
const NETSCAPE_4_IMAP: &str = "1";

/// The value of `authMethod` for OAuth2 (`nsMsgAuthMethod.OAuth2`).
const OAUTH2: &str = "10";

/// A value and its line.
struct Pref {
    line: usize,
    value: String,
}

struct Prefs(HashMap<String, Pref>);

impl Prefs {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|pref| pref.value.as_str()).filter(|value| !value.is_empty())
    }

    /// The place of a key, for a message: `account2 (line 7)`.
    fn place(&self, what: &str, key: &str) -> String {
        match self.0.get(key) {
            Some(pref) => format!("{} (line {})", shown(what), pref.line),
            None => shown(what),
        }
    }
}

/// Reads every mail account.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<Draft> {
    let prefs = Prefs(text.lines().enumerate().filter_map(|(index, line)| pref(line, index + 1)).collect());
    let listed = prefs.get("mail.accountmanager.accounts").unwrap_or_default();
    let ids = listed.split(',').map(str::trim).filter(|id| !id.is_empty()).take(MAX_LISTED_ACCOUNTS);
    let mut drafts: Vec<Draft> = ids.filter_map(|id| account(&prefs, id, report)).collect();
    // Netscape 4 has one account, which its list of accounts does not have.
    drafts.extend(netscape_4(&prefs, report));
    if prefs.0.keys().any(|key| key.contains("password") && prefs.get(key).is_some_and(|v| v != "true" && v != "false"))
    {
        report.left("passwords", "type them when ostler asks for them");
    }
    drafts
}

/// Parses `user_pref("key", "value");`, where the value is a text, a number, `true` or `false`.
fn pref(line: &str, number: usize) -> Option<(String, Pref)> {
    let rest = line.trim().strip_prefix("user_pref(")?.trim_start();
    let (key, rest) = quoted(rest, &['"', '\''])?;
    let rest = rest.trim_start().strip_prefix(',')?.trim_start();
    let value = match quoted(rest, &['"', '\'']) {
        Some((value, _)) => value,
        None => rest.split([')', ';']).next()?.trim().to_owned(),
    };
    Some((key, Pref { line: number, value }))
}

/// Reads one account of the account manager, by its id.
fn account(prefs: &Prefs, id: &str, report: &mut Report) -> Option<Draft> {
    let server_key = format!("mail.account.{id}.server");
    let place = prefs.place(id, &server_key);
    let Some(server) = prefs.get(&server_key) else {
        report.left(&place, "it has no server");
        return None;
    };
    let of = |what: &str| prefs.get(&format!("mail.server.{server}.{what}"));
    let protocol = protocol(of("type").unwrap_or_default(), &place, report)?;
    let identities = identities(prefs, id);
    let first = identities.first();
    let smtp = smtp_of(prefs, first.map_or_else(|| first_id(prefs, id), |identity| identity.id));
    report_other_servers(prefs, &identities, smtp, &place, report);
    let (smtp_server, sends_as) = smtp.map_or((None, SendsAs::Unknown), |smtp| smtp_server(prefs, smtp));
    let smtp_method = smtp.and_then(|smtp| prefs.get(&format!("mail.smtpserver.{smtp}.authMethod")));
    for (what, method) in [("fetching", of("authMethod")), ("sending", smtp_method)] {
        if method == Some(OAUTH2) {
            report.left(
                &place,
                format!(
                    "the sign-in in the web browser (OAuth2) for {what}, because it is that program's own: sign in anew when \
                     ostler asks for it; if ostler is not registered at the company, and the provider makes app passwords (for one \
                     program), make one and give it to ostler"
                ),
            );
        }
    }
    // The same servers take a password of whoever has one for programs; so it is the old program's choice that counts.
    let oauth2 = of("oauth2.issuer").filter(|_| of("authMethod") == Some(OAUTH2)).map(issuers::name_at_thunderbird);
    let oauth2 = oauth2.filter(|name| issuers::known(name).is_some()).map(str::to_owned);
    let name = of("realuserName").or_else(|| of("userName"));
    Some(Draft {
        address: first.map(|identity| identity.address.clone()),
        further: further_addresses(prefs, &identities),
        servers: incoming_server(prefs, server, protocol).into_iter().chain(smtp_server).collect(),
        username: name.and_then(username),
        sends_as,
        oauth2,
        place,
        ..Draft::default()
    })
}

/// The protocol of an account; `None` if it is not for mail.
fn protocol(kind: &str, place: &str, report: &mut Report) -> Option<Protocol> {
    match kind {
        "pop3" => return Some(Protocol::Pop3),
        "imap" => return Some(Protocol::Imap),
        // "Local Folders", which every profile has.
        "none" => {}
        "nntp" => report.left(place, "it is for newsgroups, not mail"),
        other => report.left(place, format!("ostler does not know the type \"{}\"", shown(other))),
    }
    None
}

fn incoming_server(prefs: &Prefs, server: &str, protocol: Protocol) -> Option<Server> {
    let of = |what: &str| prefs.get(&format!("mail.server.{server}.{what}"));
    // If the user has changed the host later, the first one stays in `hostname`.
    let host_key = if of("realhostname").is_some() { "realhostname" } else { "hostname" };
    let protection = match (of("socketType"), of("isSecure")) {
        (Some("3"), _) => Protection::Tls,
        // 1: STARTTLS if it is offered; 2: STARTTLS always. Older versions have `isSecure` in place of `socketType`.
        (Some("1" | "2"), _) => Protection::StartTls,
        (None, Some("true")) => Protection::Either,
        _ => Protection::None,
    };
    Some(Server {
        protocol,
        host: of(host_key)?.to_owned(),
        port: of("port").and_then(port),
        protection,
        place: prefs.place(server, &format!("mail.server.{server}.{host_key}")),
    })
}

/// An address that an account sends under.
struct Identity<'p> {
    id: &'p str,
    address: String,
}

/// The identities of an account that have an address; the first is what a new message is sent under.
fn identities<'p>(prefs: &'p Prefs, account: &str) -> Vec<Identity<'p>> {
    let ids = prefs.get(&format!("mail.account.{account}.identities")).unwrap_or_default();
    let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).take(MAX_IDENTITIES);
    let identity = |id| {
        prefs.get(&format!("mail.identity.{id}.useremail")).and_then(address).map(|address| Identity { id, address })
    };
    ids.filter_map(identity).collect()
}

fn first_id<'p>(prefs: &'p Prefs, account: &str) -> &'p str {
    let ids = prefs.get(&format!("mail.account.{account}.identities")).unwrap_or_default();
    ids.split(',').next().unwrap_or_default().trim()
}

/// What an account sends under beside its first identity: the others, and any address that a catch-all of theirs covers.
fn further_addresses(prefs: &Prefs, identities: &[Identity<'_>]) -> Vec<String> {
    let mut further: Vec<String> = identities.iter().skip(1).map(|identity| identity.address.clone()).collect();
    for identity in identities {
        let of = |what: &str| prefs.get(&format!("mail.identity.{}.{what}", identity.id));
        let hints = of("catchAllHint").filter(|_| of("catchAll") == Some("true")).unwrap_or_default();
        further.extend(hints.split([',', ' ']).filter(|hint| hint.starts_with("*@")).map(str::to_owned));
    }
    further
}

/// Reports identities that were set to send through another server than the account does.
fn report_other_servers(prefs: &Prefs, all: &[Identity<'_>], smtp: Option<&str>, place: &str, report: &mut Report) {
    let used = smtp.and_then(|smtp| smtp_host(prefs, smtp));
    for Identity { id, address } in all.iter().skip(1) {
        let own = prefs.get(&format!("mail.identity.{id}.smtpServer")).and_then(|smtp| smtp_host(prefs, smtp));
        if let Some(own) = own.filter(|own| Some(*own) != used) {
            report.left(
                place,
                format!(
                    "{} for what {address} sends: ostler sends all mail of an account through the same server",
                    shown(own)
                ),
            );
        }
    }
}

/// The id of the server that an identity sends through: its own, or the default.
fn smtp_of<'p>(prefs: &'p Prefs, identity: &str) -> Option<&'p str> {
    let own = prefs.get(&format!("mail.identity.{identity}.smtpServer"));
    own.or_else(|| prefs.get("mail.smtp.defaultserver"))
        .or_else(|| prefs.get("mail.smtpservers").and_then(|all| all.split(',').next()).map(str::trim))
}

fn smtp_host<'p>(prefs: &'p Prefs, smtp: &str) -> Option<&'p str> {
    prefs.get(&format!("mail.smtpserver.{smtp}.hostname"))
}

fn smtp_server(prefs: &Prefs, smtp: &str) -> (Option<Server>, SendsAs) {
    let of = |what: &str| prefs.get(&format!("mail.smtpserver.{smtp}.{what}"));
    let protection = match of("try_ssl") {
        Some("1" | "2") => Protection::StartTls,
        Some("3") => Protection::Tls,
        _ => Protection::None,
    };
    let server = of("hostname").map(|host| Server {
        protocol: Protocol::Smtp,
        host: host.to_owned(),
        port: of("port").and_then(port),
        protection,
        place: prefs.place(smtp, &format!("mail.smtpserver.{smtp}.hostname")),
    });
    (server, of("username").and_then(username).map_or(SendsAs::Unknown, SendsAs::Own))
}

/// Reads the one account of Netscape 4. It keeps what it was set to before for the other protocol, perhaps at another provider, so
/// only what belongs to its type is read.
fn netscape_4(prefs: &Prefs, report: &mut Report) -> Option<Draft> {
    let kind = prefs.get("mail.server_type").unwrap_or(NETSCAPE_4_POP3);
    let key = match kind {
        NETSCAPE_4_POP3 => "network.hosts.pop_server",
        NETSCAPE_4_IMAP => "network.hosts.imap_servers",
        _ => "mail.server_type",
    };
    let place = prefs.place("Netscape 4's account", key);
    let (server, name) = match kind {
        NETSCAPE_4_POP3 => {
            (Some(netscape_4_server(prefs, Protocol::Pop3, prefs.get(key)?, key)), prefs.get("mail.pop_name"))
        }
        NETSCAPE_4_IMAP => netscape_4_imap(prefs, key, &place, report),
        other => {
            let why = match other {
                "2" => {
                    "its mail comes from a file of the computer (movemail), so there is no server for fetching".into()
                }
                other => {
                    format!("ostler does not know the type \"{}\", so it takes no server for fetching", shown(other))
                }
            };
            report.left(&place, why);
            (None, None)
        }
    };
    let smtp_key = "network.hosts.smtp_server";
    let smtp = prefs.get(smtp_key).map(|host| netscape_4_server(prefs, Protocol::Smtp, host, smtp_key));
    let servers: Vec<Server> = server.into_iter().chain(smtp).collect();
    (!servers.is_empty()).then(|| Draft {
        place,
        address: prefs.get("mail.identity.useremail").and_then(address),
        username: name.and_then(username),
        sends_as: prefs.get("mail.smtp_name").and_then(username).map_or(SendsAs::Unknown, SendsAs::Own),
        servers,
        ..Draft::default()
    })
}

/// The first IMAP server of Netscape 4, which is its default, and the user name there.
fn netscape_4_imap<'p>(
    prefs: &'p Prefs,
    key: &str,
    place: &str,
    report: &mut Report,
) -> (Option<Server>, Option<&'p str>) {
    let mut hosts = prefs.get(key).unwrap_or_default().split(',').map(str::trim).filter(|host| !host.is_empty());
    let Some(host) = hosts.next() else {
        report.left(place, "it reads mail by IMAP, and the file has no server for that; name it with --imap");
        return (None, None);
    };
    for other in hosts {
        let why = format!("{}: an account has one server for reading, and the file names another first", shown(other));
        report.left(place, why);
    }
    // Netscape makes the keys of the name as it is in the list, with letter case and port.
    let of = |what: &str| prefs.get(&format!("mail.imap.server.{host}.{what}"));
    let protection = if of("isSecure") == Some("true") { Protection::Tls } else { Protection::None };
    let server = netscape_4_server(prefs, Protocol::Imap, host, key);
    (Some(Server { protection, ..server }), of("userName"))
}

/// A server of Netscape 4. A port that is not the usual one follows the host.
fn netscape_4_server(prefs: &Prefs, protocol: Protocol, text: &str, key: &str) -> Server {
    let (host, number) = split_port(text).unwrap_or((text, None));
    let number = number.and_then(port);
    Server { protocol, host: host.to_owned(), port: number, protection: Protection::None, place: prefs.place(key, key) }
}
