//! Which certificate of a server is trusted: what it shows just now, beside what is pinned; one click to trust just that one;
//! and a file with certificates to trust, which is kept beside the settings file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Form;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::servers::link_to_server;
use super::{
    Refusal, Scope, Sent, ServerQuery, Shared, answer, describe_server, finish, place_mistakes, save, sent_value,
    server_name, word_edit_error,
};
use crate::config::{self, Change, EditError, Place, ShownFile, write_atomically};
use crate::desktop::page::guide::ask_which;
use crate::desktop::page::layout::{NavItem, View, form_token};
use crate::desktop::page::{App, link_to, multipart, percent_encode};
use crate::proxy::net::tls::{PemError, to_pem};
use crate::setup::trust::{ShownCertificate, look_at_certificate};
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Account, Protocol, Security, Server};
use ostler_mail::wire::hex;

/// The names of files that ostler keeps beside the settings file begin like this.
const FILE_PREFIX: &str = "certificates-";
/// Files of the same server, with different certificates.
const MAX_FILES_OF_ONE_SERVER: usize = 100;

/// What the page says above the forms.
#[derive(Default)]
struct News {
    wrong: Option<String>,
    shown: Option<ShownCertificate>,
}

/// A link from the form of a server to its certificate.
pub(super) fn render_link(file: &ShownFile, account: &str, protocol: Protocol, at: usize) -> Markup {
    let server = file.account(account).and_then(|account| nth_server(account, protocol, at));
    html! {
        @if server.is_some_and(|server| server.security != Security::None) {
            p { a href=(address(account, protocol, at)) { "Certificate of this server" } }
        }
    }
}

fn address(account: &str, protocol: Protocol, at: usize) -> String {
    format!("{}&server={}", link_to("/account/certificate", account), percent_encode(&server_name(protocol, at)))
}

fn nth_server(account: &Account, protocol: Protocol, at: usize) -> Option<&Server> {
    account.servers().filter(|server| server.protocol == protocol).nth(at)
}

/// A server of an account that exists.
struct Target {
    account: Arc<Account>,
    protocol: Protocol,
    at: usize,
}

impl Target {
    fn find(shared: &Shared, asked: &ServerQuery) -> Option<(Self, Server)> {
        let (account, protocol, at) = asked.find(shared)?;
        let server = nth_server(&account, protocol, at)?.clone();
        Some((Self { account, protocol, at }, server))
    }

    fn place(&self) -> Place {
        Place::Server(self.account.name.clone(), self.protocol, self.at)
    }
}

pub(in crate::desktop::page) async fn show(shared: App, Query(asked): Query<ServerQuery>) -> Response {
    match Target::find(&shared, &asked) {
        Some((target, server)) => render(&shared, &target, &server, &News::default()),
        None => ask_which(&shared, "/account"),
    }
}

/// Connects and shows the server's certificate. Nothing is signed in for this.
pub(in crate::desktop::page) async fn look(shared: App, Form(sent): Form<Sent>) -> Response {
    let Some((target, server)) = Target::find(&shared, &ServerQuery::of_form(&sent)) else {
        return ask_which(&shared, "/account");
    };
    let endpoint = Endpoint::new(server.protocol, server.host.clone(), server.port, server.security);
    let news = match look_at_certificate(&endpoint).await {
        Some(shown) => News { shown: Some(shown), wrong: None },
        None => News {
            wrong: Some("The server did not show a certificate. Test the account to see why.".into()),
            shown: None,
        },
    };
    render(&shared, &target, &server, &news)
}

/// Trusts the one certificate that the page has shown, or no single one any more.
pub(in crate::desktop::page) async fn take(shared: App, Form(sent): Form<Sent>) -> Response {
    let Some((target, server)) = Target::find(&shared, &ServerQuery::of_form(&sent)) else {
        return ask_which(&shared, "/account");
    };
    let pin = sent_value(&sent, "pin").unwrap_or_default();
    change_trust(&shared, &target, &server, &[("pin", pin)]).await
}

async fn change_trust(shared: &Arc<Shared>, target: &Target, server: &Server, values: &[(&str, &str)]) -> Response {
    let saving = save(shared, |_, text, presets| {
        let one = |(key, typed): &(&str, &str)| {
            let key = target.place().table().key(key).ok_or_else(|| "There is no such key.".to_owned())?;
            Change::typed(target.place(), key, typed)
        };
        let changes: Vec<Change> = values.iter().map(one).collect::<Result<_, _>>()?;
        let scope = Scope::Server(target.account.name.clone(), target.protocol, target.at);
        config::change_keys(text, &changes, &shared.file, presets).map_err(|error| match error {
            EditError::Mistakes(mistakes) => Refusal::Wrong(place_mistakes(&scope, &changes, &mistakes)),
            error => Refusal::Said(word_edit_error(shared, &error)),
        })
    });
    match saving.await {
        Ok(saved) => {
            let done = finish(shared, saved, None).await;
            answer(shared, Some(&target.account.name), done)
        }
        Err(refusal) => {
            let wrong = Some(match refusal {
                Refusal::Said(why) => why,
                Refusal::Wrong(wrong) => wrong.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join(" "),
            });
            render(shared, target, server, &News { wrong, shown: None })
        }
    }
}

/// Keeps certificates from a file beside the settings file, and trusts them for the server.
pub(in crate::desktop::page) async fn upload(shared: App, headers: HeaderMap, body: Bytes) -> Response {
    let parts = multipart::parts(&headers, &body);
    let sent: Sent = parts.iter().filter_map(|part| Some((part.name.clone(), part.text()?))).collect();
    let Some((target, server)) = Target::find(&shared, &ServerQuery::of_form(&sent)) else {
        return ask_which(&shared, "/account");
    };
    let file = parts.iter().find(|part| part.name == "file").map(|part| part.content).unwrap_or_default();
    let kept = to_pem(file).map_err(word_pem_error).and_then(|pem| keep(&shared.file, &server.host, &pem));
    match kept {
        Ok(name) => change_trust(&shared, &target, &server, &[("ca", &name)]).await,
        Err(why) => render(&shared, &target, &server, &News { wrong: Some(why), shown: None }),
    }
}

fn word_pem_error(error: PemError) -> String {
    let what = match error {
        PemError::Empty => "No file was chosen.",
        PemError::PrivateKey => {
            "This file has a private key in it, which is nobody's business. Choose a file with certificates only."
        }
        PemError::NoCertificate => {
            "This file has no certificate in it. It is a PEM file, or a file whose name ends in .crt or .cer."
        }
    };
    format!("{what} Nothing was changed.")
}

/// Writes the certificates into a file of their own, readable by its owner only; returns its name. The same certificates go
/// into the same file.
fn keep(settings_file: &Path, host: &str, pem: &str) -> Result<String, String> {
    let folder = settings_file.parent().map(Path::to_owned).unwrap_or_default();
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' }).collect();
    let names = (1..=MAX_FILES_OF_ONE_SERVER).map(|number| match number {
        1 => format!("{FILE_PREFIX}{host}.pem"),
        number => format!("{FILE_PREFIX}{host}-{number}.pem"),
    });
    for name in names {
        let path: PathBuf = folder.join(&name);
        match std::fs::read_to_string(&path) {
            Ok(known) if known == pem => return Ok(name),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return write_atomically(&path, pem).map(|()| name).map_err(|error| {
                    format!("Nothing was changed, because {} cannot be written: {error}.", path.display())
                });
            }
            _ => {}
        }
    }
    Err(format!(
        "Nothing was changed: there are too many files {FILE_PREFIX}{host} in {}. Delete some.",
        folder.display()
    ))
}

fn render(shared: &Shared, target: &Target, server: &Server, news: &News) -> Response {
    let pinned = server.trust.pin.map(|pin| format!("sha256:{}", hex(&pin)));
    let body = html! {
        @if let Some(why) = &news.wrong { div.notice.bad role="alert" { p { (why) } } }
        p { "A server proves by its certificate that it is the right one. For almost every provider there is nothing to do here: \
             ostler trusts what your system trusts." }
        dl {
            div { dt { "Server" } dd { (server.address()) } }
            div { dt { "Trusted now" } dd {
                @if let Some(pin) = &pinned { "only the certificate with the fingerprint " code { (pin) } }
                @else if let Some(file) = &server.trust.ca { "what the system trusts, and the certificates in " code { (file.display()) } }
                @else { "what the system trusts" }
            } }
        }
        (render_look(shared, target, server, pinned.as_deref(), news.shown.as_ref()))
        @if pinned.is_some() {
            form method="post" action="/account/certificate/take" {
                (hidden(shared, target))
                input type="hidden" name="pin" value="";
                button.second type="submit" { "Trust what the system trusts again" }
            }
        }
        @if server.security != Security::None { (render_upload(shared, target)) }
        p { a href=(link_to_server(&target.account, target.protocol, target.at)) { "Back to the server" } }
    };
    let title = format!("Certificate of the {}", describe_server(target.protocol));
    View::new(title, NavItem::Overview, body).into_response()
}

fn hidden(shared: &Shared, target: &Target) -> Markup {
    html! {
        (form_token(shared))
        input type="hidden" name="account" value=(target.account.name);
        input type="hidden" name="server" value=(server_name(target.protocol, target.at));
    }
}

fn render_look(
    shared: &Shared,
    target: &Target,
    server: &Server,
    pinned: Option<&str>,
    shown: Option<&ShownCertificate>,
) -> Markup {
    html! {
        section aria-labelledby="look" {
            h2 #look { "What the server shows" }
            @if let Some(shown) = shown {
                (render_certificate(shown))
                @match pinned {
                    Some(pin) if pin == shown.pin => { div.notice.good { p { "This is the certificate that is trusted now." } } }
                    Some(_) => { div.notice.bad { p { "This is not the certificate that is trusted now. Ask those who run the server whether that is right." } } }
                    None => {}
                }
                @if pinned != Some(shown.pin.as_str()) {
                    p { "Compare the fingerprint with the one that the server's own program or its owner tells you. Trust it only if they are the same." }
                    form method="post" action="/account/certificate/take" {
                        (hidden(shared, target))
                        input type="hidden" name="pin" value=(shown.pin);
                        button type="submit" { "Trust this certificate and no other" }
                    }
                }
            } @else if server.security == Security::None {
                p { "Without encryption a server shows no certificate." }
            } @else {
                form method="post" action="/account/certificate/look" {
                    (hidden(shared, target))
                    button type="submit" { "Connect and show its certificate" }
                }
            }
        }
    }
}

fn render_certificate(shown: &ShownCertificate) -> Markup {
    let hosts = if shown.tls.hosts.is_empty() { "no server".into() } else { shown.tls.hosts.join(", ") };
    html! {
        dl {
            div { dt { "For" } dd { (hosts) } }
            div { dt { "Subject" } dd { (shown.tls.subject) } }
            div { dt { "Issued by" } dd { (shown.tls.issuer) } }
            div { dt { "Valid from" } dd { (shown.tls.from) } }
            div { dt { "Valid until" } dd { (shown.tls.until) } }
            div { dt { "Fingerprint" } dd { code { (shown.pin) } } }
        }
    }
}

fn render_upload(shared: &Shared, target: &Target) -> Markup {
    html! {
        section aria-labelledby="upload" {
            h2 #upload { "Trust certificates from a file" }
            p { "For a server of your own or of your company, or a helper on this computer: choose the file that its owner or its program gave you. ostler keeps a copy beside its settings." }
            form method="post" action="/account/certificate/upload" enctype="multipart/form-data" {
                (hidden(shared, target))
                div.field {
                    label for="file" { "File with certificates" }
                    input type="file" id="file" name="file";
                }
                button type="submit" { "Keep and trust these certificates" }
            }
        }
    }
}
