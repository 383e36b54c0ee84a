//! The form that changes an account: further addresses it sends for, whether it sends for unknown senders, its user name and
//! servers. `config::change_account` edits the settings file and leaves comments in place.

use std::sync::Arc;

use axum::Form;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::account::{Feedback, hidden_fields, render_page};
use super::guide::{ask_which, find_account};
use super::layout::{check, field};
use super::{App, Shared};
use crate::config::presets::Presets;
use crate::config::{self, Change, EditError, ServerLocation, common_username, value};
use crate::vault::servers_with_secret;
use ostler_mail::account::{Account, Protocol, Security, Server};
use ostler_mail::idn;

#[derive(Deserialize)]
pub(super) struct ChangeForm {
    account: String,
    #[serde(default)]
    aliases: String,
    default: Option<String>,
    username: Option<String>,
    pop3_host: Option<String>,
    pop3_port: Option<String>,
    pop3_security: Option<String>,
    smtp_host: Option<String>,
    smtp_port: Option<String>,
    smtp_security: Option<String>,
}

impl ChangeForm {
    /// Host, port and encryption of a server, as typed.
    fn server(&self, protocol: Protocol) -> [Option<&str>; 3] {
        let fields = match protocol {
            Protocol::Pop3 => [&self.pop3_host, &self.pop3_port, &self.pop3_security],
            Protocol::Smtp => [&self.smtp_host, &self.smtp_port, &self.smtp_security],
            // The form has no fields for an IMAP server.
            Protocol::Imap => return [None; 3],
        };
        fields.map(|field| field.as_deref())
    }
}

/// What is wrong with the form: the name of the field, and a sentence to show beside it.
pub(super) type Mistakes = Vec<(&'static str, String)>;

/// The servers that can be changed here: those of which the account has only one of a kind.
fn movable_servers(account: &Account) -> impl Iterator<Item = &Server> {
    let smtp = match account.smtp.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    account.pop3.iter().chain(smtp)
}

/// The names of a server's fields: host, port, encryption.
fn field_names(protocol: Protocol) -> [&'static str; 3] {
    match protocol {
        Protocol::Pop3 => ["pop3_host", "pop3_port", "pop3_security"],
        Protocol::Smtp => ["smtp_host", "smtp_port", "smtp_security"],
        Protocol::Imap => ["imap_host", "imap_port", "imap_security"],
    }
}

/// The form, filled in with the account's settings or, after a mistake, with what was typed.
pub(super) fn render_form(
    shared: &Shared,
    account: &Account,
    mistakes: &Mistakes,
    typed: Option<&ChangeForm>,
) -> Markup {
    let wrong = |name: &str| mistakes.iter().find(|(field, _)| *field == name).map(|(_, why)| why.as_str());
    let aliases: Vec<String> = account.aliases.iter().map(ToString::to_string).collect();
    let aliases = typed.map_or_else(|| aliases.join(", "), |typed| typed.aliases.clone());
    let is_default = typed.map_or(account.is_default, |typed| typed.default.is_some());
    let username = typed.and_then(|typed| typed.username.as_deref()).or(common_username(account));
    html! {
        form.panel method="post" action="/account/change" autocomplete="off" {
            (hidden_fields(shared, account))
            @if let Some(why) = wrong("all") { div.notice.bad role="alert" { p { (why) } } }
            (field("aliases", "Also sends for these addresses", "text", &aliases,
                "Separated by commas; *@example.net means every address there", wrong("aliases")))
            @if let Some(username) = username {
                (field("username", "User name at the provider", "text", username,
                    "The whole mail address with most providers, the part before the @ with some", wrong("username")))
            }
            (check("default", "Also sends for addresses that belong to no account", is_default, ""))
            @for server in movable_servers(account) {
                @let [host, port, security] = field_names(server.protocol);
                @let shown = typed.map_or([None; 3], |typed| typed.server(server.protocol));
                @let chosen = shown[2].unwrap_or(server.security.name());
                fieldset {
                    legend { (if server.protocol.is_outgoing() { "Server for sending" } else { "Server for fetching" }) }
                    div.row {
                        (field(host, "Host", "text", shown[0].unwrap_or(&server.host), "", wrong(host)))
                        (field(port, "Port", "text", shown[1].unwrap_or(&server.port.to_string()), "", wrong(port)))
                        div.field {
                            label for=(security) { "Encryption" }
                            select id=(security) name=(security) {
                                @for (kind, text) in [(Security::Tls, "TLS"), (Security::StartTls, "STARTTLS"), (Security::None, "none")] {
                                    // Switching encryption off takes an edit of the settings file, so that it cannot
                                    // happen by accident.
                                    @if kind != Security::None || server.security == kind {
                                        option value=(kind.name()) selected[chosen == kind.name()] { (text) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            p.hint { "If you change a server or the user name, ostler forgets the stored password, so that no one else gets it, and asks for it again here." }
            button type="submit" { "Change" }
        }
    }
}

fn parse_form(sent: &ChangeForm, account: &Account) -> Result<Change, Mistakes> {
    let mut mistakes = Mistakes::new();
    let aliases: Vec<String> = sent
        .aliases
        .split([',', ' ', ';'])
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .map(|alias| idn::name(alias).into_owned())
        .collect();
    for alias in &aliases {
        // `*@example.net` is checked as an address with some name before the @.
        let plain = alias.strip_prefix('*').filter(|rest| rest.starts_with('@')).map(|rest| format!("x{rest}"));
        if let Err(why) = value::address(plain.as_deref().unwrap_or(alias)) {
            mistakes.push(("aliases", format!("{alias} {why}. Give addresses such as ann@example.net.")));
        }
    }
    // If the servers have different user names, the form does not offer the field.
    let username = sent.username.as_deref().filter(|_| common_username(account).is_some()).map(str::trim);
    let username = username.and_then(|name| {
        value::username(name).map_err(|why| mistakes.push(("username", format!("The user name {why}.")))).ok()
    });
    let mut places = Vec::new();
    for server in movable_servers(account) {
        let [host_name, port_name, _] = field_names(server.protocol);
        let [Some(host), Some(port), Some(security)] = sent.server(server.protocol) else { continue };
        let host = value::host(host.trim()).map_err(|why| mistakes.push((host_name, format!("The host {why}."))));
        let port = port.trim().parse::<u16>().ok().filter(|port| *port != 0);
        if port.is_none() {
            mistakes.push((port_name, "A port is a number from 1 to 65535.".into()));
        }
        let security = match security {
            "tls" => Security::Tls,
            "starttls" => Security::StartTls,
            // "none" may stay and cannot be chosen; see the form.
            _ => server.security,
        };
        if let (Ok(host), Some(port)) = (host, port) {
            places.push(ServerLocation { protocol: server.protocol, host, port, security });
        }
    }
    let is_default = sent.default.is_some();
    if mistakes.is_empty() { Ok(Change { aliases, is_default, username, servers: places }) } else { Err(mistakes) }
}

pub(super) async fn change(shared: App, Form(sent): Form<ChangeForm>) -> Response {
    let Some(old) = find_account(&shared, Some(&sent.account)) else { return ask_which(&shared, "/account") };
    let change = match parse_form(&sent, &old) {
        Ok(change) => change,
        Err(mistakes) => {
            return render_page(
                &shared,
                &old,
                &Feedback { change: mistakes, typed: Some(sent), ..Feedback::default() },
            );
        }
    };
    if let Err(why) = write_change(&shared, &old, &change) {
        return render_page(
            &shared,
            &old,
            &Feedback { change: vec![("all", why)], typed: Some(sent), ..Feedback::default() },
        );
    }
    let new = wait_until_in_force(&shared, &old, &change).await;
    let kept: Vec<_> = servers_with_secret(&new).into_iter().map(Server::id).collect();
    let mut forgotten = false;
    for server in servers_with_secret(&old) {
        if !kept.contains(&server.id()) {
            forgotten = true;
            // A failure is harmless: the password is stored for the old server, to which nothing is sent any more.
            if let Err(error) = shared.engine.vault.forget_server(&old, server).await {
                tracing::debug!("{error}");
            }
        }
    }
    let done = if forgotten {
        "Changed. The password for the old server or user name is forgotten; type it again below, under Another password."
    } else {
        "Changed."
    };
    render_page(&shared, &new, &Feedback { done: Some(done), ..Feedback::default() })
}

fn write_change(shared: &Shared, account: &Account, change: &Change) -> Result<(), String> {
    let file = shared.file.display();
    let presets = Presets::load(&shared.file).unwrap_or_default();
    let edit = |text: &str| config::change_account(text, &account.name, change, &shared.file, &presets);
    shared.edit_settings("Nothing was changed, because ", edit, |error| match error {
        EditError::CannotTake => format!(
            "Nothing was changed: another account has one of these addresses or names, or {file} has mistakes in it. \"What happened\" \
             above shows the first one."
        ),
        EditError::TooEntangled => {
            format!("Nothing was changed: ostler cannot edit the way this account is written. Open {file} and change it there.")
        }
        error => format!("Nothing was changed: {error}. Open {file}."),
    })
}

/// Waits until the running ostler has read the changed settings; returns the account as it is in force then.
async fn wait_until_in_force(shared: &Shared, old: &Arc<Account>, change: &Change) -> Arc<Account> {
    let has_its_name = |account: &&Arc<Account>| account.name == old.name;
    let is_changed = |account: &Arc<Account>| {
        let places: Vec<ServerLocation> = account.servers().map(ServerLocation::of).collect();
        account.is_default == change.is_default
            && change.username.as_deref().is_none_or(|name| common_username(account) == Some(name))
            && account.aliases.len() == change.aliases.len()
            && change.servers.iter().all(|place| places.contains(place))
    };
    shared.reload_until(|settings| settings.accounts.iter().find(has_its_name).is_some_and(is_changed)).await;
    let settings = shared.engine.settings();
    settings.accounts.iter().find(has_its_name).map_or_else(|| Arc::clone(old), Arc::clone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_typed_wrong_is_told_field_by_field() {
        let text = "[[account]]\naddress = 'ann@x.net'\n[account.pop3]\nhost = 'p'\n";
        let account = Arc::clone(&config::parse(text, Path::new("/x")).unwrap().settings.accounts[0]);
        let of = |aliases: &str, host: &str, port: &str, username: &str| {
            let sent = ChangeForm {
                account: "ann@x.net".into(),
                aliases: aliases.into(),
                default: None,
                username: Some(username.into()),
                pop3_host: Some(host.into()),
                pop3_port: Some(port.into()),
                pop3_security: Some("none".into()),
                smtp_host: Some("ignored".into()),
                smtp_port: None,
                smtp_security: None,
            };
            parse_form(&sent, &account)
        };
        assert!(of("", "q", "995", " ").is_err_and(|wrong| wrong.iter().any(|(field, _)| *field == "username")));
        let of = |aliases: &str, host: &str, port: &str| of(aliases, host, port, "ann");
        let good = of("a@x.net, *@z.net", " q.x.net ", "995").unwrap();
        assert_eq!(good.aliases, ["a@x.net", "*@z.net"]);
        assert_eq!(good.username.as_deref(), Some("ann"));
        // The form cannot switch encryption off.
        assert_eq!(
            good.servers,
            [ServerLocation { host: "q.x.net".into(), ..ServerLocation::of(account.pop3.as_ref().unwrap()) }]
        );
        let fields = |wrong: Result<Change, Mistakes>| wrong.unwrap_err().iter().map(|(f, _)| *f).collect::<Vec<_>>();
        assert_eq!(fields(of("a, *@", "a b", "0")), ["aliases", "aliases", "pop3_host", "pop3_port"]);
    }
}
