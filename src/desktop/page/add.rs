//! The form that adds an account: how it looks, and what is wrong with one that was sent. All fields are checked at once.
//!
//! Not here: what is done with it (`setup_job.rs`).

use std::path::PathBuf;
use std::sync::Arc;

use axum::Form;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::jobs::Stage;
use super::layout::{NavItem, View, check, field, form_token, input};
use super::setup_job::SetupJob;
use super::{App, Shared};
use crate::config::presets::Presets;
use crate::config::{issuers, value};
use crate::guide::{self, Client};
use crate::setup::keep::existing;
use crate::setup::{NamedTrust, Proposal, Secrets, endpoints_from_text};
use ostler_mail::account::{Protocol, Settings};
use ostler_mail::readable::Readable;
use ostler_mail::secret::given::Given;
use ostler_mail::secret::{NotASecret, Secret};

/// The form as filled in, without the passwords, which are never sent back to the page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fields {
    pub(super) address: String,
    pub(super) other: String,
    pub(super) gate: bool,
    /// The name of the guide for the mail program; empty: to be chosen later.
    pub(super) client: String,
    /// Whether mail is rewritten for that program.
    pub(super) readable: bool,
    pub(super) pop3: String,
    pub(super) smtp: String,
    pub(super) imap: String,
    pub(super) username: String,
    /// The company at which the user signs in in the browser; empty: the provider takes a password, or ostler knows the company.
    pub(super) company: String,
    pub(super) name: String,
    pub(super) ca: String,
    pub(super) pin: String,
}

/// The form as sent.
#[derive(Deserialize)]
pub(super) struct AddForm {
    #[serde(default)]
    address: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    other: String,
    #[serde(default)]
    other_password: Zeroizing<String>,
    gate: Option<String>,
    #[serde(default)]
    client: String,
    readable: Option<String>,
    #[serde(default)]
    pop3: String,
    #[serde(default)]
    smtp: String,
    #[serde(default)]
    imap: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    company: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ca: String,
    #[serde(default)]
    pin: String,
}

impl AddForm {
    pub(super) fn fields(&self) -> Fields {
        let plain = |text: &str| text.trim().to_owned();
        Fields {
            address: plain(&self.address),
            other: plain(&self.other),
            gate: self.gate.is_some(),
            client: plain(&self.client),
            readable: self.readable.is_some(),
            pop3: plain(&self.pop3),
            smtp: plain(&self.smtp),
            imap: plain(&self.imap),
            username: plain(&self.username),
            company: plain(&self.company),
            name: plain(&self.name),
            ca: plain(&self.ca),
            pin: plain(&self.pin),
        }
    }
}

/// A form without mistakes.
pub(super) struct AccountRequest {
    pub(super) fields: Fields,
    pub(super) name: Option<String>,
    pub(super) username: Option<String>,
    /// The servers that the form names. Its tick for the gate is in `fields`.
    pub(super) proposal: Proposal,
    /// The certificates of the file that the form names.
    pub(super) trust: NamedTrust,
    pub(super) pin: Option<[u8; 32]>,
    pub(super) secrets: Secrets,
    /// The mail program that the account is for.
    pub(super) client: Option<&'static Client>,
}

impl AccountRequest {
    /// What the mail program can read, if mail is to be rewritten for it.
    pub(super) fn readable(&self) -> Option<Readable> {
        let any = || Readable::find("windows-1252");
        self.fields.readable.then(|| self.client.and_then(Client::readable).or_else(any)).flatten()
    }
}

/// When a form is sent: first, or after a failed try, when the passwords may be left out because the job knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    First,
    /// As the first time, at a provider that takes no password.
    WithoutPassword,
    Retry,
    /// As a retry, when only the password or the network is in doubt: the page does not draw attention to the servers.
    SameServers,
}

/// What is wrong with a form: the name of the field, and a sentence to show beside it.
pub(super) type Mistakes = Vec<(&'static str, String)>;

/// Checks a form. A retry may leave out the passwords, which the job knows by then.
pub(super) fn parse_form(sent: &AddForm, settings: &Settings, round: Round) -> Result<AccountRequest, Mistakes> {
    let mut fields = sent.fields();
    let mut mistakes: Mistakes = Vec::new();
    let mut address = |key, text: &mut String| match value::address(text) {
        Ok(address) => *text = address,
        Err(why) => mistakes.push((key, format!("This {why}. It looks like ann@example.net."))),
    };
    address("address", &mut fields.address);
    if !fields.other.is_empty() {
        address("other", &mut fields.other);
    }
    let mut optional = |key: &'static str, text: &str, check: fn(&str) -> Result<String, &'static str>| {
        let wanted = (!text.is_empty()).then(|| check(text))?;
        wanted.map_err(|why| mistakes.push((key, format!("This {why}.")))).ok()
    };
    let name = optional("name", &fields.name, value::name);
    let username = optional("username", &fields.username, value::username);
    let proposal = parse_servers(&fields, &mut mistakes);
    let (ca, pin) = (parse_ca(&fields.ca, &mut mistakes), parse_pin(&fields.pin, &mut mistakes));
    if let Some(known) = existing(settings, name.as_deref().unwrap_or(&fields.address), &fields.address) {
        let text = format!("The account {} exists already. Remove it first, or use another address.", known.name);
        mistakes.push(("address", text));
    }
    if !fields.company.is_empty() && issuers::find(settings, &fields.company).is_none() {
        mistakes.push(("company", "ostler does not know this company.".into()));
    }
    let secrets = parse_passwords(sent, round, &mut mistakes);
    let client = guide::clients().iter().find(|client| client.name == fields.client);
    if mistakes.is_empty() {
        Ok(AccountRequest { client, fields, name, username, proposal, trust: NamedTrust::in_file(ca), pin, secrets })
    } else {
        Err(mistakes)
    }
}

/// The servers that the form names.
fn parse_servers(fields: &Fields, mistakes: &mut Mistakes) -> Proposal {
    let mut server = |key, text: &str, protocol| {
        endpoints_from_text(protocol, text).unwrap_or_else(|why| {
            mistakes.push((key, format!("This is not a server: {why}.")));
            Vec::new()
        })
    };
    Proposal {
        incoming: server("pop3", &fields.pop3, Protocol::Pop3),
        outgoing: server("smtp", &fields.smtp, Protocol::Smtp),
        imap: server("imap", &fields.imap, Protocol::Imap),
        wants_imap: !fields.imap.is_empty(),
        ..Proposal::default()
    }
}

/// The file with a certificate.
fn parse_ca(text: &str, mistakes: &mut Mistakes) -> Option<PathBuf> {
    let ca = (!text.is_empty()).then(|| PathBuf::from(text))?;
    // A relative path would start at the folder of the settings file, which the form does not show.
    if !ca.is_absolute() || !ca.is_file() {
        mistakes.push(("ca", "There is no such file. Give its full path.".into()));
    }
    Some(ca)
}

/// The fingerprint of a certificate.
fn parse_pin(text: &str, mistakes: &mut Mistakes) -> Option<[u8; 32]> {
    // `ostler check` shows it as the settings file has it, so it may be pasted with `pin =` and quotes.
    let fingerprint = text.trim_start_matches("pin").trim_matches([' ', '=', '"']);
    let pin = (!fingerprint.is_empty()).then(|| value::pin(fingerprint))?;
    pin.map_err(|why| mistakes.push(("pin", format!("This {why}. It is \"sha256:\" and 64 letters and digits.")))).ok()
}

fn parse_passwords(sent: &AddForm, round: Round, mistakes: &mut Mistakes) -> Secrets {
    let mut password = |key, text: &str, round| match parse_password(text, round) {
        Ok(secret) => secret,
        Err(why) => {
            mistakes.push((key, why));
            None
        }
    };
    // Without another company its password may stay empty, and is not used.
    let has_other = !sent.other.trim().is_empty();
    let other_round = if has_other { round } else { Round::Retry };
    Secrets {
        incoming: password("password", &sent.password, round),
        outgoing: password("other_password", &sent.other_password, other_round).filter(|_| has_other),
        tokens: None,
    }
}

/// `None`: the password was left out, which a retry may do.
fn parse_password(text: &str, round: Round) -> Result<Option<Arc<Secret>>, String> {
    if text.is_empty() && round != Round::First {
        return Ok(None);
    }
    // The form does not know the provider yet; the vault joins an app password's groups.
    match Given::new(text.as_bytes(), false) {
        Ok(given) => Ok(Some(Arc::new(given.secret))),
        Err(NotASecret::Empty) => Err("The password is missing.".into()),
        Err(why) => Err(format!("This cannot be a password: {why}.")),
    }
}

pub(super) async fn show(shared: App) -> Response {
    View::new("Add an account", NavItem::Add, render_page(&shared, &Fields::default(), &Vec::new())).into_response()
}

/// The introduction and the form.
pub(super) fn render_page(shared: &Shared, fields: &Fields, mistakes: &Mistakes) -> Markup {
    html! {
        p { "ostler finds the servers of your mail provider, and saves nothing before they work." }
        (render_form(shared, "/add", fields, mistakes, Round::First))
    }
}

pub(super) fn render_form(shared: &Shared, action: &str, fields: &Fields, mistakes: &Mistakes, round: Round) -> Markup {
    let again = round != Round::First;
    let wrong = |name: &str| mistakes.iter().find(|(field, _)| *field == name).map(|(_, why)| why.as_str());
    let known = "Leave it empty to use the one you have already typed.";
    let own = if again {
        known
    } else {
        "Many providers want an app password, which you create on their web site. For Outlook.com and Hotmail, leave it empty."
    };
    let first =
        mistakes.first().map_or(if round == Round::SameServers { "password" } else { "address" }, |(field, _)| field);
    let begins = |name: &str| !again && first == name;
    let others = if again { known } else { "Your password at the other company, not the one above." };
    let any = |names: &[&str]| names.iter().any(|name| wrong(name).is_some());
    html! {
        // A form to try again with comes by script; the browser looks for `autofocus` in pages that it loads only.
        form.panel method="post" action=(action) autocomplete="off" data-first=[again.then_some(first)] {
            (form_token(shared))
            @if !mistakes.is_empty() {
                div.notice.bad role="alert" {
                    p { "Please correct the fields marked below." }
                    @if !again { p { "Type the passwords again too: ostler never sends them back to this page." } }
                }
            }
            (input("address", "Your mail address", "text", &fields.address, "Such as ann@example.net", wrong("address"), begins("address")))
            (input("password", "Your password", "password", "", own, wrong("password"), begins("password")))
            @if again {
                input type="hidden" name="client" value=(fields.client);
                @if fields.readable { input type="hidden" name="readable" value="on"; }
            } @else {
                (render_client(&fields.client))
                details open[fields.readable] {
                    summary { "It shows some letters as rubbish" }
                    (check("readable", "Rewrite mail for this program while it is fetched", fields.readable,
                        "So that it shows don't, and not don\u{e2}\u{20ac}\u{2122}t. The original stays at the provider."))
                }
            }
            details open[!fields.other.is_empty() || any(&["other", "other_password"])] {
                summary { "Use another company for sending" }
                p.hint { "Only if your provider does not send mail for you." }
                (field("other", "Your address at the other company", "text", &fields.other, "", wrong("other")))
                (field("other_password", "Your password there", "password", "", others, wrong("other_password")))
            }
            details open[round == Round::Retry || fields.gate || any(&["pop3", "smtp", "imap", "username", "company", "name", "ca", "pin"])] {
                summary { "I know my servers" }
                p.hint { "ostler finds what you leave empty." }
                (field("pop3", "Server for fetching (POP3)", "text", &fields.pop3, "Such as pop.example.net, or tls://pop.example.net:995", wrong("pop3")))
                (field("imap", "Server for reading (IMAP)", "text", &fields.imap, "Only for mail programs that read by IMAP; such as imap.example.net, or tls://imap.example.net:993", wrong("imap")))
                (field("smtp", "Server for sending (SMTP)", "text", &fields.smtp, "Such as smtp.example.net, or starttls://smtp.example.net:587", wrong("smtp")))
                (check("gate", "My provider wants mail to be fetched before any is sent", fields.gate, "Also called POP before SMTP. ostler finds this out by itself if it can."))
                (field("username", "User name at the provider", "text", &fields.username, "If it is neither the address nor the part before the @", wrong("username")))
                (render_companies(&shared.engine.settings(), &fields.company, wrong("company")))
                (field("name", "Name of the account", "text", &fields.name, "Your mail program's user name; if left empty, the address", wrong("name")))
                (field("ca", "File with a certificate to trust", "text", &fields.ca, "Only for a mail server of your own, or a helper on this computer; a PEM file", wrong("ca")))
                (field("pin", "Fingerprint of the only certificate to trust", "text", &fields.pin, "Instead of the file; sha256: and what the server's program shows behind it", wrong("pin")))
            }
            button type="submit" { (if again { "Try again" } else { "Add this account" }) }
        }
    }
}

/// The choice of a mail program, whose guide comes next.
fn render_client(chosen: &str) -> Markup {
    html! {
        div.field {
            label for="client" { "Your mail program" }
            select id="client" name="client" {
                option value="" { "Choose later" }
                @for client in guide::clients() {
                    option value=(client.name) selected[client.name == chosen] { (client.title()) }
                }
            }
        }
    }
}

/// The choice of a company that gives out OAuth2 tokens.
fn render_companies(settings: &Settings, chosen: &str, wrong: Option<&str>) -> Markup {
    let companies = issuers::names(settings).into_iter().filter_map(|name| issuers::find(settings, name));
    html! {
        div.field {
            label for="company" { "Where you sign in in the web browser (OAuth2)" }
            select id="company" name="company" aria-describedby="company-hint" {
                option value="" { "Nowhere, or ostler knows where" }
                @for company in companies {
                    option value=(company.name) selected[company.name == chosen] { (company.title) }
                }
            }
            @if let Some(why) = wrong { p.error { (why) } }
            p.hint id="company-hint" {
                "Only if your provider takes no password from mail programs. A company that is not in this list is described under "
                a href="/settings#registrations" { "Settings" } "."
            }
        }
    }
}

pub(super) async fn submit(shared: App, Form(sent): Form<AddForm>) -> Response {
    let settings = shared.engine.settings();
    let signs_in = !sent.company.is_empty() || takes_no_password(&shared, &sent.address);
    let round = if signs_in { Round::WithoutPassword } else { Round::First };
    let wanted = match parse_form(&sent, &settings, round) {
        Ok(wanted) => wanted,
        Err(mistakes) => {
            let body = render_page(&shared, &sent.fields(), &mistakes);
            return View::new("Add an account", NavItem::Add, body).into_response();
        }
    };
    let (own, address, runtime) = (Arc::clone(&shared), wanted.fields.address.clone(), Handle::current());
    super::progress::open_job(
        shared.jobs.start(&address, Stage::OF_SETUP, move |screen| SetupJob::new(own, screen, wanted, runtime).run()),
    )
}

/// Whether the address is at a provider where the user signs in at a company, in the browser.
fn takes_no_password(shared: &Shared, address: &str) -> bool {
    let domain = address.trim().rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
    let presets = Presets::load(&shared.file).unwrap_or_default();
    presets.by_domain(&domain).is_some_and(|preset| preset.takes_only_oauth2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pairs: &str) -> AddForm {
        let request = axum::http::Request::builder().uri(format!("/?{pairs}")).body(()).unwrap();
        axum::extract::Query::try_from_uri(request.uri()).map(|axum::extract::Query(sent)| sent).unwrap()
    }

    fn mistakes(pairs: &str, round: Round) -> Vec<&'static str> {
        let settings = crate::config::parse("", std::path::Path::new("/x")).unwrap().settings;
        parse_form(&sent(pairs), &settings, round).err().unwrap_or_default().iter().map(|(field, _)| *field).collect()
    }

    #[test]
    fn every_field_is_checked_and_all_at_once() {
        assert_eq!(mistakes("address=ann", Round::First), ["address", "password"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p", Round::First), [] as [&str; 0]);
        assert_eq!(mistakes("address=ann%40x.net", Round::Retry), [] as [&str; 0]);
        assert_eq!(mistakes("address=ann%40x.net&password=a%0d%0ab", Round::First), ["password"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p&other=y&pop3=a+b&smtp=ssl://x", Round::First).len(), 4);
        assert_eq!(mistakes("address=ann%40x.net&password=p&ca=x&name=%C3%A9", Round::First), ["name", "ca"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p&other=b%40y.net", Round::First), ["other_password"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p&pin=sha256:12", Round::First), ["pin"]);
        let pin = format!("address=ann%40x.net&password=p&pin=pin+%3D+%22sha256:{}%22", "ab".repeat(32));
        assert_eq!(mistakes(&pin, Round::First), [] as [&str; 0]);
    }
}
