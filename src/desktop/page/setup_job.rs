//! The job that adds an account, in the same steps as `ostler add`: finds servers, tries them for real, lets the user change
//! something and tries again; saves what works, or what the user wants to keep anyway.
//!
//! Not here: how these steps work (`setup.rs`), the form (`add.rs`), and the page that shows them (`progress.rs`).

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Shared;
use super::add::{AccountRequest, Fields};
use super::jobs::{JobCommand, Phase, Screen, Stage, Trouble};
use super::words::above_form;
use crate::config::presets::Presets;
use crate::config::{issuers, registration_table};
use crate::setup::authorize::{Authorize, SignInFailed, Unkept, Way};
use crate::setup::find::{Finding, NotFound, Search, capitalised, unknown_company_text};
use crate::setup::keep::{KeepError, keep};
use crate::setup::trial::{Outcome, Trial};
use crate::setup::trust::{PinRequest, place_pins};
use crate::setup::{Identity, Plan, SetupUi, Wanted};
use crate::vault::SecretStore;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Account, Settings};
use ostler_mail::failure::Failure;
use ostler_mail::failure::error_chain;
use ostler_mail::oauth2::tokens::Tokens;

/// The result of one try.
enum Attempt {
    Works(Account),
    Fails { account: Option<Account>, why: Option<String>, password: Option<&'static str> },
}

pub(super) struct SetupJob {
    shared: Arc<Shared>,
    screen: Screen,
    request: AccountRequest,
    /// What was found; the rest of the form is put in at each attempt.
    found: Option<Plan>,
    finding: Finding,
    /// The last try failed because this computer is not connected to the internet.
    is_offline: bool,
    /// The sign-in of a job that ends without an account.
    unkept: Arc<Unkept>,
    /// Where it is taken back: the job's own runtime ends with the job.
    runtime: Handle,
}

impl Drop for SetupJob {
    fn drop(&mut self) {
        let unkept = Arc::clone(&self.unkept);
        self.runtime.spawn(async move { unkept.take_back().await });
    }
}

impl SetupJob {
    /// `runtime` lasts longer than the job.
    pub(super) fn new(shared: Arc<Shared>, screen: Screen, request: AccountRequest, runtime: Handle) -> Self {
        let unkept = Arc::new(Unkept::new(shared.engine.tokens.clone()));
        let finding = Finding::default();
        Self { shared, screen, request, found: None, finding, is_offline: false, unkept, runtime }
    }

    /// Runs until the account is saved. Only the user can end it without an account.
    pub(super) async fn run(mut self) -> Phase {
        loop {
            let attempt = self.attempt().await;
            let (account, mut trouble) = match attempt {
                Attempt::Works(account) => match self.keep(&account, true).await {
                    Ok(phase) => return phase,
                    Err(why) => (Some(account), Trouble { why: Some(why), ..Trouble::default() }),
                },
                Attempt::Fails { account, why, password } => {
                    let hints = if password.is_some() || account.is_none() { self.hints() } else { Vec::new() };
                    (account, Trouble { why, hints, password, ..Trouble::default() })
                }
            };
            trouble.can_keep = account.is_some();
            trouble.form = self.fields();
            trouble.is_offline = self.is_offline;
            loop {
                self.screen.job.set_phase(Phase::Failed(Box::new(trouble.clone())));
                match (self.screen.next_command().await, &account) {
                    (JobCommand::Keep, Some(account)) => match self.keep(account, false).await {
                        Ok(phase) => return phase,
                        Err(why) => trouble.why = Some(why),
                    },
                    (JobCommand::Again(request), _) => {
                        self.change(*request);
                        break;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes over a changed form. Passwords that are left out stay as they were.
    fn change(&mut self, mut request: AccountRequest) {
        let old = &self.request.secrets;
        // What one company has given is of no use at another.
        request.secrets.tokens = old.tokens.clone().filter(|_| request.fields.company == self.request.fields.company);
        request.secrets.incoming = request.secrets.incoming.or(old.incoming.clone());
        // A password for another company is dropped with the company.
        if !request.fields.other.is_empty() {
            request.secrets.outgoing = request.secrets.outgoing.or(old.outgoing.clone());
        }
        let same = |old: &Fields, new: &Fields| {
            let servers = |form: &Fields| {
                [&form.address, &form.other, &form.pop3, &form.smtp, &form.imap, &form.company].map(String::clone)
            };
            servers(old) == servers(new)
        };
        // Look for servers again only if the form names other ones.
        if !same(&self.request.fields, &request.fields) {
            self.found = None;
        }
        self.request = request;
    }

    fn hints(&self) -> Vec<String> {
        let place = self.finding.app_password.as_ref().map(|place| {
            format!(
                "This provider needs an app password: a password for one program, not the one you type on its web site. \
                 You create it at {place}."
            )
        });
        place.into_iter().chain(self.finding.hints.iter().cloned()).collect()
    }

    fn fields(&self) -> Fields {
        self.request.fields.clone()
    }

    async fn attempt(&mut self) -> Attempt {
        self.is_offline = false;
        let fails = |why: String| Attempt::Fails { account: None, why: Some(why), password: None };
        let presets = match Presets::load(&self.shared.file) {
            Ok(presets) => presets,
            Err(error) => {
                return fails(format!("Correct your own file of providers first: {}", error_chain(&error)));
            }
        };
        if self.found.is_none() {
            match self.find(&presets).await {
                Ok(plan) => self.found = Some(plan),
                Err(why) => return fails(why),
            }
        }
        let Some(mut plan) = self.plan() else { return fails("There are no servers to try.".into()) };
        if plan.proposal.gate && plan.proposal.incoming.is_empty() {
            return fails("To check mail before sending, ostler needs a server for fetching. Name one below.".into());
        }
        let pin = self.request.pin.map(|pin| PinRequest::These(vec![pin]));
        if let Some(pin) = pin
            && let Err(error) = place_pins(&mut plan, &pin, &mut self.screen).await
        {
            return fails(format!("{error}."));
        }
        if plan.wants_sign_in() && self.request.secrets.tokens.is_none() {
            match self.sign_in(&plan).await {
                Ok(tokens) => self.request.secrets.tokens = Some(tokens),
                Err(failed) => return fails(format!("{}.", capitalised(&above_form(&failed.to_string())))),
            }
        } else if self.request.secrets.incoming.is_none() && !plan.wants_sign_in() {
            return fails("The password is missing. Type it below.".into());
        }
        let settings = self.shared.engine.settings();
        match Trial::new(&plan, &self.request.secrets, &settings, &presets, &mut self.screen).run().await {
            Outcome::Works(account) => Attempt::Works(account),
            Outcome::Fails { account, failure } => {
                if matches!(failure, Some(Failure::TokenRefused { .. })) {
                    // Perhaps of another person: the next try begins with the sign-in.
                    self.request.secrets.tokens = None;
                }
                let password = failure.as_ref().and_then(password_hint);
                self.is_offline = matches!(failure, Some(Failure::NotConnected { .. }));
                Attempt::Fails { account: Some(account), why: None, password }
            }
        }
    }

    /// What was found, with what the form says now.
    fn plan(&self) -> Option<Plan> {
        let mut plan = self.found.clone()?;
        plan.name.clone_from(&self.request.name);
        plan.trust = self.request.trust.clone();
        plan.readable = self.request.readable();
        plan.fetch_as.username.clone_from(&self.request.username);
        if self.request.fields.other.is_empty() {
            plan.send_as.username.clone_from(&self.request.username);
            plan.proposal.gate |= self.request.fields.gate;
        }
        Some(plan)
    }

    /// Finds the servers: from the form, a preset or the network, as `ostler add` does.
    async fn find(&mut self, presets: &Presets) -> Result<Plan, String> {
        let (address, other) = (self.request.fields.address.clone(), self.request.fields.other.clone());
        let wanted = Wanted { incoming: true, outgoing: other.is_empty() };
        let mut proposal = self.request.proposal.clone();
        self.finding = Finding::default();
        if proposal.lacks(wanted) {
            let mut search = Search::new(&address, presets, self.request.trust.for_search(), &mut self.screen)
                .map_err(|error| not_found_text(&error))?;
            search.take_any_oauth2(!self.request.fields.company.is_empty());
            let found = search.complete(&proposal).await;
            self.is_offline = matches!(found, Err(NotFound::NotConnected { .. }));
            self.finding = found.map_err(|error| not_found_text(&error))?;
            proposal.fill(&self.finding.proposal, wanted);
            proposal.provider.clone_from(&self.finding.proposal.provider);
        }
        if !other.is_empty() && proposal.outgoing.is_empty() {
            proposal.outgoing = self.find_other_company(&other, presets).await?;
        }
        if proposal.is_empty() {
            return Err("ostler found no server to fetch from or to send through. Name them below.".into());
        }
        if let Some(title) = &self.finding.title {
            self.screen.note(&format!("{address} is with {title}."));
        }
        if proposal.outgoing.is_empty() {
            self.screen.note("There is no server for sending here. You can send through another company.");
        }
        let identity = |address: &String| Identity { username: None, address: address.clone(), source: None };
        let (fetch_as, send_as) = (identity(&address), identity(if other.is_empty() { &address } else { &other }));
        let plan = Plan {
            address,
            aliases: Vec::new(),
            name: None,
            proposal,
            fetch_as,
            send_as,
            trust: self.request.trust.clone(),
            oauth2: self.find_issuer()?,
            readable: None,
        };
        for note in plan.notes_on_letters() {
            self.screen.note(&format!("{}.", capitalised(&note)));
        }
        Ok(plan)
    }

    /// The company whose tokens the servers take, where they take nothing else.
    fn find_issuer(&self) -> Result<Option<Arc<Issuer>>, String> {
        let chosen = Some(&self.request.fields.company).filter(|company| !company.is_empty());
        let Some(name) = chosen.or(self.finding.oauth2.as_ref()) else { return Ok(None) };
        let found = issuers::find(&self.shared.engine.settings(), name);
        let unknown = || match &self.finding.company {
            Some(company) => format!(
                "{}: under Settings, \"Another company\", with the name {} and these lines: {}",
                capitalised(&unknown_company_text(company)),
                company.name,
                registration_table(company).lines().skip(1).collect::<Vec<_>>().join("; ")
            ),
            None => format!(
                "This provider takes no password from mail programs: its users sign in at \"{name}\", which ostler does not know. Describe \
                 that company under Settings, \"Another company\", with the name {name}; then try again."
            ),
        };
        found.map(Some).ok_or_else(unknown)
    }

    /// Has the user sign in at that company, in another page of this browser.
    async fn sign_in(&mut self, plan: &Plan) -> Result<Arc<Tokens>, SignInFailed> {
        self.screen.job.reach(Stage::SignIn);
        let account = plan.untried();
        let sign_in = Authorize::new(&self.shared.engine.tokens, &account)?;
        let tokens = Arc::new(sign_in.run(Way::Browser, &mut self.screen).await?);
        self.unkept.hold(account.clone(), &tokens).await;
        Ok(tokens)
    }

    /// Finds the servers of another company to send through.
    async fn find_other_company(&mut self, other: &str, presets: &Presets) -> Result<Vec<Endpoint>, String> {
        self.screen.say(&format!("Looking for the servers of {other}"));
        let mut search = Search::new(other, presets, self.request.trust.for_search(), &mut self.screen)
            .map_err(|error| not_found_text(&error))?;
        let found = search.run().await;
        self.is_offline = matches!(found, Err(NotFound::NotConnected { .. }));
        let found = found.map_err(|error| not_found_text(&error))?;
        if found.proposal.outgoing.is_empty() {
            return Err(format!(
                "ostler found no server for sending at {other}. Ask that company for it, and name it below."
            ));
        }
        self.finding.hints.extend(found.hints);
        Ok(found.proposal.outgoing)
    }

    /// Saves the account and waits until the running ostler serves it. The error says why it could not be saved.
    async fn keep(&mut self, account: &Account, works: bool) -> Result<Phase, String> {
        let job = Arc::clone(&self.screen.job);
        job.reach(Stage::Keep);
        let _keeping = job.keeping.lock().await;
        keep(&self.shared.file, account, &self.request.secrets).await.map_err(|error| keep_error_text(&error))?;
        self.unkept.keep();
        // An account of the same name may have been there before, with another password.
        self.shared.engine.vault.drop_cached_account(&account.name);
        self.shared.engine.tokens.forget(&account.name);
        let has_account = |settings: &Settings| settings.accounts.iter().any(|known| known.name == account.name);
        let served = self.shared.reload_until(has_account).await;
        Ok(Phase::Kept { account: account.name.clone(), works, served, client: self.request.client })
    }
}

/// The message for the page, which has no command-line options to offer.
fn not_found_text(error: &NotFound) -> String {
    match error {
        NotFound::NoneAnswers { title } => {
            format!("None of the usual servers of {title} answers. Ask {title} for its servers, and name them below.")
        }
        NotFound::NotConnected { .. } => format!("{}.", capitalised(&error.to_string())),
        NotFound::OnlyOAuth2 { title } => format!(
            "{title} lets mail programs in only with a sign-in in the web browser (OAuth2), and ostler does not know at which company. If you \
             know it, choose it below, under \"I know my servers\"."
        ),
        NotFound::Nothing { domain } => format!(
            "No mail servers were found for {domain}. Look whether the address is written correctly. If it is, ask your provider for \
             its servers, or look in the settings of your mail program, and name them below."
        ),
        error => format!("{error}."),
    }
}

fn keep_error_text(error: &KeepError) -> String {
    let text = error_chain(error);
    match (error, SecretStore::of_this_ostler()) {
        (KeepError::Keyring(_), store @ SecretStore::Keyring) => format!(
            "{text}. {} If there is none, `ostler add` in a terminal can take the password from elsewhere.",
            store.remedy()
        ),
        (KeepError::Keyring(_), store) => format!("{text}. {}", store.remedy()),
        (KeepError::Write { .. }, _) => format!("{text}. Correct that, then try again."),
        _ => format!("{text}."),
    }
}

/// What to say about the password after a failure, if it may be wrong.
fn password_hint(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::SignInRefused { .. } => {
            Some("The provider refused the password. Type it again below; capital letters matter.")
        }
        failure if failure.may_be_the_password() => Some(
            "The provider closed the connection instead of answering. Some do that when user name or password is wrong: type \
             the password again below; capital letters matter.",
        ),
        _ => None,
    }
}
