//! Adding an account: the form, and the conversation behind it, which is the one of `ostler add`: servers are looked for,
//! tried for real, changed, tried again; what works, or what the person wants all the same, is kept.
//!
//! Not here: how any of these steps works (`setup.rs`), and the page that shows them (`progress.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Form;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::sleep;

use super::jobs::{Phase, Screen, Trouble, Wish};
use super::layout::{Here, View, check, field, word};
use super::{App, Shared};
use crate::account::{Account, Protocol, Settings, Trust};
use crate::app::in_full;
use crate::config::value;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::presets::Presets;
use crate::secret::Secret;
use crate::setup::find::{Finding, NotFound, Search};
use crate::setup::keep::{KeepError, existing, keep};
use crate::setup::trial::{Outcome, Trial};
use crate::setup::{Plan, Secrets, Side, Talk, endpoint_from_flag};

/// How long the running ostler may take to see that its settings have changed.
const NOTICED: Duration = Duration::from_secs(6);

/// The form as a person has filled it in, without the passwords: those never come back to the page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fields {
    pub(super) address: String,
    other: String,
    gate: bool,
    pop3: String,
    smtp: String,
    username: String,
    name: String,
    ca: String,
}

/// The form as it comes.
#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    address: String,
    #[serde(default)]
    password: zeroize::Zeroizing<String>,
    #[serde(default)]
    other: String,
    #[serde(default)]
    other_password: zeroize::Zeroizing<String>,
    gate: Option<String>,
    #[serde(default)]
    pop3: String,
    #[serde(default)]
    smtp: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ca: String,
}

impl Sent {
    pub(super) fn fields(&self) -> Fields {
        let plain = |text: &str| text.trim().to_owned();
        Fields {
            address: plain(&self.address),
            other: plain(&self.other),
            gate: self.gate.is_some(),
            pop3: plain(&self.pop3),
            smtp: plain(&self.smtp),
            username: plain(&self.username),
            name: plain(&self.name),
            ca: plain(&self.ca),
        }
    }
}

/// A form that has been understood.
pub(super) struct Wanted {
    fields: Fields,
    name: Option<String>,
    username: Option<String>,
    pop3: Vec<Endpoint>,
    smtp: Vec<Endpoint>,
    ca: Option<PathBuf>,
    secrets: Secrets,
}

/// What is wrong with a form: the field, and a sentence to stand beside it.
pub(super) type Mistakes = Vec<(&'static str, String)>;

/// Understands a form. A second form about the same account may leave out the passwords, which are known by then.
pub(super) fn understood(sent: &Sent, settings: &Settings, again: bool) -> Result<Wanted, Mistakes> {
    let fields = sent.fields();
    let mut mistakes: Mistakes = Vec::new();
    if let Err(why) = value::address(&fields.address) {
        mistakes.push(("address", format!("This {why}. It looks like ann@example.net.")));
    }
    if !fields.other.is_empty()
        && let Err(why) = value::address(&fields.other)
    {
        mistakes.push(("other", format!("This {why}. It looks like ann@example.net.")));
    }
    let mut optional = |key: &'static str, text: &str, check: fn(&str) -> Result<String, &'static str>| {
        let wanted = (!text.is_empty()).then(|| check(text))?;
        wanted.map_err(|why| mistakes.push((key, format!("This {why}.")))).ok()
    };
    let name = optional("name", &fields.name, value::name);
    let username = optional("username", &fields.username, value::username);
    let mut server = |key: &'static str, text: &str, protocol| match typed(protocol, text) {
        Ok(endpoints) => endpoints,
        Err(why) => {
            mistakes.push((key, format!("This is no server: {why}.")));
            Vec::new()
        }
    };
    let (pop3, smtp) = (server("pop3", &fields.pop3, Protocol::Pop3), server("smtp", &fields.smtp, Protocol::Smtp));
    let ca = (!fields.ca.is_empty()).then(|| PathBuf::from(&fields.ca));
    if ca.as_ref().is_some_and(|ca| !ca.is_absolute() || !ca.is_file()) {
        mistakes.push(("ca", "There is no such file. Give its whole path, from the root of the disk.".into()));
    }
    if let Some(known) = existing(settings, name.as_deref().unwrap_or(&fields.address), &fields.address) {
        let text =
            format!("There is an account {} already. Remove that one first, or give another address.", known.name);
        mistakes.push(("address", text));
    }
    let mut password = |key: &'static str, text: &zeroize::Zeroizing<String>, needed: bool| {
        if text.is_empty() && !needed {
            return None;
        }
        match Secret::new(text.clone()) {
            Ok(secret) => Some(Arc::new(secret)),
            Err(crate::secret::NotASecret::Empty) => {
                mistakes.push((key, "The password is missing.".into()));
                None
            }
            Err(why) => {
                mistakes.push((key, format!("This cannot be a password: {why}.")));
                None
            }
        }
    };
    let secrets = Secrets {
        incoming: password("password", &sent.password, !again),
        outgoing: password("other_password", &sent.other_password, !again && !fields.other.is_empty())
            .filter(|_| !fields.other.is_empty()),
    };
    if mistakes.is_empty() { Ok(Wanted { fields, name, username, pop3, smtp, ca, secrets }) } else { Err(mistakes) }
}

/// What a person types for a server: with all of it, or only its name and perhaps a port.
fn typed(protocol: Protocol, text: &str) -> Result<Vec<Endpoint>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.contains("://") {
        return endpoint_from_flag(protocol, text).map(|endpoint| vec![endpoint]);
    }
    let of = |text: String| endpoint_from_flag(protocol, &text);
    Ok(vec![of(format!("tls://{text}"))?, of(format!("starttls://{text}"))?])
}

pub(super) async fn show(shared: App) -> Response {
    View::new("Add an account", Here::Add, body(&shared, &Fields::default(), &Vec::new())).into_response()
}

/// The form in its place.
pub(super) fn body(shared: &Shared, fields: &Fields, mistakes: &Mistakes) -> Markup {
    html! {
        p { "ostler looks for your provider's servers and tries them with your password. Nothing is kept until it works, or until you say so." }
        (form(shared, "/add", fields, mistakes, false))
    }
}

/// The form. The second time, passwords may stay empty, and it is known where they go.
pub(super) fn form(shared: &Shared, action: &str, fields: &Fields, mistakes: &Mistakes, again: bool) -> Markup {
    let wrong = |name: &str| mistakes.iter().find(|(field, _)| *field == name).map(|(_, why)| why.as_str());
    let known = "Leave it empty to use the one you have typed already.";
    let own = if again {
        known
    } else {
        "Many providers want an app password here: one made for a mail program, on their web pages."
    };
    let others = if again { known } else { "The other company's password, not the one above." };
    let any = |names: &[&str]| names.iter().any(|name| wrong(name).is_some());
    html! {
        form.panel method="post" action=(action) autocomplete="off" {
            (word(shared))
            @if !mistakes.is_empty() {
                div.notice.bad role="alert" {
                    p { "Something has to be changed first; see below." }
                    @if !again { p { "Please type the passwords once more: they are never sent back to this page." } }
                }
            }
            (field("address", "Your mail address", "text", &fields.address, "Such as ann@example.net", wrong("address")))
            (field("password", "Your password", "password", "", own, wrong("password")))
            details open[!fields.other.is_empty() || any(&["other", "other_password"])] {
                summary { "Use another company for sending" }
                p.hint { "If your provider does not send mail for you. Leave it empty otherwise." }
                (field("other", "Your address at the other company", "text", &fields.other, "", wrong("other")))
                (field("other_password", "Your password there", "password", "", others, wrong("other_password")))
            }
            (check("gate", "My provider wants mail checked before sending", fields.gate, "Also called POP before SMTP. ostler finds this out by itself where it can."))
            details open[again || any(&["pop3", "smtp", "username", "name", "ca"])] {
                summary { "I know my servers" }
                p.hint { "ostler looks for whatever is left empty." }
                (field("pop3", "Server for fetching (POP3)", "text", &fields.pop3, "Such as pop.example.net, or tls://pop.example.net:995", wrong("pop3")))
                (field("smtp", "Server for sending (SMTP)", "text", &fields.smtp, "Such as smtp.example.net, or starttls://smtp.example.net:587", wrong("smtp")))
                (field("username", "User name at the provider", "text", &fields.username, "Where it is not the address, or what is before the @ of it", wrong("username")))
                (field("name", "Name of the account", "text", &fields.name, "What your mail program gives as user name; the address, if left empty", wrong("name")))
                (field("ca", "File with a certificate to trust", "text", &fields.ca, "For a mail server of your own; a PEM file", wrong("ca")))
            }
            button type="submit" { (if again { "Try again" } else { "Find the servers and try them" }) }
        }
    }
}

pub(super) async fn send(shared: App, Form(sent): Form<Sent>) -> Response {
    let settings = shared.engine.settings();
    let wanted = match understood(&sent, &settings, false) {
        Ok(wanted) => wanted,
        Err(mistakes) => {
            let body = body(&shared, &sent.fields(), &mistakes);
            return View::new("Add an account", Here::Add, body).into_response();
        }
    };
    let (own, address) = (Arc::clone(&shared), wanted.fields.address.clone());
    match shared.jobs.begin(&address, move |screen| Conversation::new(own, screen, wanted).hold()) {
        Ok(job) => Redirect::to(&format!("/job/{}", job.id)).into_response(),
        Err(_) => super::progress::too_many(),
    }
}

/// What one go at it came to.
enum Attempt {
    Works(Account),
    Fails { account: Option<Account>, why: Option<String>, refused: bool },
}

struct Conversation {
    shared: Arc<Shared>,
    screen: Screen,
    wanted: Wanted,
    plan: Option<Plan>,
    finding: Finding,
}

impl Conversation {
    fn new(shared: Arc<Shared>, screen: Screen, wanted: Wanted) -> Self {
        Self { shared, screen, wanted, plan: None, finding: Finding::default() }
    }

    /// The whole of it; how it ends. Only a person ends it without an account.
    async fn hold(mut self) -> Phase {
        loop {
            let attempt = self.attempt().await;
            let (account, mut trouble) = match attempt {
                Attempt::Works(account) => match self.keep(&account, true).await {
                    Ok(phase) => return phase,
                    Err(why) => (Some(account), Trouble { why: Some(why), ..Trouble::default() }),
                },
                Attempt::Fails { account, why, refused } => {
                    let hints = if refused || account.is_none() { self.hints() } else { Vec::new() };
                    (account, Trouble { why, hints, refused, ..Trouble::default() })
                }
            };
            trouble.can_keep = account.is_some();
            trouble.form = self.fields();
            loop {
                self.screen.job.set(Phase::Failed(Box::new(trouble.clone())));
                match (self.screen.wish().await, &account) {
                    (Wish::Keep, Some(account)) => match self.keep(account, false).await {
                        Ok(phase) => return phase,
                        Err(why) => trouble.why = Some(why),
                    },
                    (Wish::Again(wanted), _) => {
                        self.change(*wanted);
                        break;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes a changed form over; passwords that were left out stay what they were.
    fn change(&mut self, mut wanted: Wanted) {
        let old = &self.wanted.secrets;
        wanted.secrets.incoming = wanted.secrets.incoming.or(old.incoming.clone());
        if !wanted.fields.other.is_empty() {
            wanted.secrets.outgoing = wanted.secrets.outgoing.or(old.outgoing.clone());
        }
        let same = |old: &Fields, new: &Fields| {
            (&old.address, &old.other, &old.pop3, &old.smtp) == (&new.address, &new.other, &new.pop3, &new.smtp)
        };
        // The same servers are not looked for twice.
        if !same(&self.wanted.fields, &wanted.fields) {
            self.plan = None;
        }
        self.wanted = wanted;
    }

    fn hints(&self) -> Vec<String> {
        let place = self.finding.app_password.as_ref().map(|place| {
            format!(
                "This provider needs an app password: a password made for one program, not the one you type on the web page. \
                 You make it at {place}."
            )
        });
        place.into_iter().chain(self.finding.hints.iter().cloned()).collect()
    }

    /// The form for another go.
    fn fields(&self) -> Fields {
        self.wanted.fields.clone()
    }

    async fn attempt(&mut self) -> Attempt {
        let fails = |why: String| Attempt::Fails { account: None, why: Some(why), refused: false };
        if self.plan.is_none() {
            let presets = match Presets::load(&self.shared.file) {
                Ok(presets) => presets,
                Err(error) => {
                    return fails(format!("Your own file of providers has to be put right first: {}", in_full(&error)));
                }
            };
            match self.find(&presets).await {
                Ok(plan) => self.plan = Some(plan),
                Err(why) => return fails(why),
            }
        }
        let Some(plan) = &mut self.plan else { return fails("There are no servers to try.".into()) };
        plan.name.clone_from(&self.wanted.name);
        plan.incoming.username.clone_from(&self.wanted.username);
        if self.wanted.fields.other.is_empty() {
            plan.outgoing.username.clone_from(&self.wanted.username);
        }
        plan.trust = Trust { ca: self.wanted.ca.clone(), pin: None };
        plan.gate = (self.wanted.fields.gate || self.finding.gate) && self.wanted.fields.other.is_empty();
        if plan.gate && plan.incoming.endpoints.is_empty() {
            return fails(
                "Mail can be checked before sending only where there is a server for fetching. Name one below.".into(),
            );
        }
        let plan = plan.clone();
        let settings = self.shared.engine.settings();
        match Trial::new(&plan, &self.wanted.secrets, &settings, &mut self.screen).run().await {
            Outcome::Works(account) => Attempt::Works(account),
            Outcome::Fails { account, failure } => {
                let refused = matches!(failure, Some(Failure::SignInRefused { .. }));
                Attempt::Fails { account: Some(account), why: None, refused }
            }
        }
    }

    /// Where the servers come from: the form, a preset, the network; as in `ostler add`.
    async fn find(&mut self, presets: &Presets) -> Result<Plan, String> {
        let (address, other) = (self.wanted.fields.address.clone(), self.wanted.fields.other.clone());
        let trust = Trust { ca: self.wanted.ca.clone(), pin: None };
        let (mut incoming, mut outgoing) = (self.wanted.pop3.clone(), self.wanted.smtp.clone());
        let given = !incoming.is_empty() || !outgoing.is_empty();
        self.finding = Finding::default();
        if incoming.is_empty() || outgoing.is_empty() && other.is_empty() {
            let mut search =
                Search::new(&address, presets, trust.clone(), &mut self.screen).map_err(|error| words(&error))?;
            // With one side given, only what ostler knows itself fills the other.
            self.finding = if given {
                let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
                match presets.by_domain(domain).cloned() {
                    Some(preset) => search.preset(&preset).await.map_err(|error| words(&error))?,
                    None => Finding::default(),
                }
            } else {
                search.run().await.map_err(|error| words(&error))?
            };
            self.finding.gate &= outgoing.is_empty() && other.is_empty();
            if incoming.is_empty() {
                incoming.clone_from(&self.finding.incoming);
            }
            if outgoing.is_empty() && other.is_empty() {
                outgoing.clone_from(&self.finding.outgoing);
            }
        }
        if !other.is_empty() && outgoing.is_empty() {
            self.screen.say(&format!("Looking for the servers of {other}"));
            let mut search =
                Search::new(&other, presets, trust.clone(), &mut self.screen).map_err(|error| words(&error))?;
            let found = search.run().await.map_err(|error| words(&error))?;
            if found.outgoing.is_empty() {
                return Err(format!(
                    "No server for sending was found for {other}. Ask that company for it, and name it below."
                ));
            }
            outgoing = found.outgoing;
            self.finding.hints.extend(found.hints);
        }
        if incoming.is_empty() && outgoing.is_empty() {
            return Err("There is no server to fetch from and none to send through. Name them below.".into());
        }
        if let Some(title) = &self.finding.title {
            self.screen.say(&format!("{address} is with {title}."));
        }
        if outgoing.is_empty() {
            self.screen.say("There is no server for sending here. Another company can be used for that.");
        }
        let side =
            |endpoints, address: &String| Side { endpoints, username: None, address: address.clone(), source: None };
        Ok(Plan {
            name: None,
            provider: self.finding.provider.clone(),
            incoming: side(incoming, &address),
            outgoing: side(outgoing, if other.is_empty() { &address } else { &other }),
            imap: self.finding.imap.clone(),
            gate: false,
            trust,
            address,
        })
    }

    /// Keeps it, and waits until the running ostler serves it. The second part of the result: why it could not be kept.
    async fn keep(&mut self, account: &Account, works: bool) -> Result<Phase, String> {
        let job = Arc::clone(&self.screen.job);
        let _keeping = job.keeping.lock().await;
        keep(&self.shared.file, account, &self.wanted.secrets).await.map_err(|error| advised(&error))?;
        self.shared.engine.vault.drop_cached_account(account);
        (self.shared.reload)();
        let until = Instant::now() + NOTICED;
        let served = loop {
            if self.shared.engine.settings().accounts.iter().any(|known| known.name == account.name) {
                break true;
            }
            if Instant::now() > until {
                break false;
            }
            sleep(Duration::from_millis(50)).await;
        };
        Ok(Phase::Kept { account: account.name.clone(), works, served })
    }
}

/// Without the words of the command line.
fn words(error: &NotFound) -> String {
    match error {
        NotFound::NoneAnswers { title } => format!(
            "None of the servers that {title} probably has answers. Is this computer online? If it is, ask {title} for its \
             servers and name them below."
        ),
        NotFound::Nothing { domain } => format!(
            "No mail servers were found for {domain}. Is this computer online? If it is, ask your provider for its servers, or \
             look into the settings of your mail program, and name them below."
        ),
        error => format!("{error}."),
    }
}

fn advised(error: &KeepError) -> String {
    let text = in_full(error);
    match error {
        KeepError::Keyring(_) => format!(
            "{text}. Open your keyring (it usually opens when you log in to your computer), then try again. Where there is none, \
             ostler add in a terminal can take the password from elsewhere."
        ),
        _ => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pairs: &str) -> Sent {
        let request = axum::http::Request::builder().uri(format!("/?{pairs}")).body(()).unwrap();
        axum::extract::Query::try_from_uri(request.uri()).map(|axum::extract::Query(sent)| sent).unwrap()
    }

    fn mistakes(pairs: &str, again: bool) -> Vec<&'static str> {
        let settings = crate::config::parse("", std::path::Path::new("/x")).unwrap().settings;
        understood(&sent(pairs), &settings, again).err().unwrap_or_default().iter().map(|(field, _)| *field).collect()
    }

    #[test]
    fn every_field_is_checked_and_all_at_once() {
        assert_eq!(mistakes("address=ann", false), ["address", "password"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p", false), [] as [&str; 0]);
        assert_eq!(mistakes("address=ann%40x.net", true), [] as [&str; 0]);
        assert_eq!(mistakes("address=ann%40x.net&password=a%0d%0ab", false), ["password"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p&other=y&pop3=a+b&smtp=ssl://x", false).len(), 4);
        assert_eq!(mistakes("address=ann%40x.net&password=p&ca=x&name=%20%0a", false), ["name", "ca"]);
        assert_eq!(mistakes("address=ann%40x.net&password=p&other=b%40y.net", false), ["other_password"]);
    }

    #[test]
    fn a_bare_name_is_tried_with_both_kinds_of_tls() {
        let ports = |text: &str| typed(Protocol::Smtp, text).map(|all| all.iter().map(|e| e.port).collect::<Vec<_>>());
        assert_eq!(ports("smtp.x.net"), Ok(vec![465, 587]));
        assert_eq!(ports("starttls://smtp.x.net:2525"), Ok(vec![2525]));
        assert_eq!(ports(""), Ok(vec![]));
        assert!(ports("a b").is_err());
    }
}
