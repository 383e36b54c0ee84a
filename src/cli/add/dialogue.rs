//! The dialogue of `ostler add`: servers, passwords, the trial, and what to do if it fails.

use std::sync::Arc;

use super::text::plan_text;
use super::{Abort, Decision, Options};
use crate::cli::ask;
use crate::cli::screen::{Screen, tell};
use crate::cli::sign_in::Terminal;
use crate::config::presets::Presets;
use crate::config::{issuers, registration_table, value};
use crate::proxy::tokens::TokenKeeper;
use crate::setup::authorize::{Authorize, SignInFailed, Unkept, Way};
use crate::setup::find::{Finding, NotFound, Search, unknown_company_text};
use crate::setup::trial::{Outcome, Trial};
use crate::setup::trust::{self, PinRequest};
use crate::setup::{Plan, Secrets, SetupUi, Wanted, endpoints_from_text};
use crate::vault::{Vault, servers_with_secret};
use ostler_mail::account::issuer::{ClientSecret, Issuer};
use ostler_mail::account::{Account, Protocol, SecretSource, Server, Settings};
use ostler_mail::failure::{Failure, error_chain};
use ostler_mail::oauth2::tokens::Tokens;
use ostler_mail::readable::{PROFILES, Readable};
use ostler_mail::secret::Secret;

/// How often the user may change something and try again.
const MAX_ATTEMPTS: usize = 20;

pub(super) struct Dialogue<'a> {
    options: &'a Options,
    settings: &'a Settings,
    presets: &'a Presets,
    screen: Screen,
    plan: Plan,
    finding: Finding,
    unkept: &'a Unkept,
}

/// What the user chooses after seeing the servers or a failure.
enum Choice {
    GoOn,
    KeepAnyway(Box<Account>),
}

impl<'a> Dialogue<'a> {
    /// `unkept` has the sign-in of a dialogue that ends without an account.
    pub(super) fn new(
        options: &'a Options,
        settings: &'a Settings,
        presets: &'a Presets,
        plan: Plan,
        unkept: &'a Unkept,
    ) -> Self {
        let asks = ask::is_interactive() && !options.password.password_stdin;
        let screen = Screen { asks, says_yes: options.yes, unanswered: None };
        Self { options, settings, presets, screen, plan, finding: Finding::default(), unkept }
    }

    pub(super) async fn run(mut self) -> Result<Decision, Abort> {
        self.find_servers().await?;
        if self.plan.proposal.is_empty() {
            return Err(Abort(1, "ostler found no server to fetch from or to send through; nothing was saved".into()));
        }
        self.show_plan();
        if self.screen.asks && !self.screen.says_yes {
            self.ask_changes(None).await?;
        }
        // Before the password is asked for: the user may not want to type it for this server.
        self.place_pins().await?;
        let mut secrets = self.get_secrets().await?;
        if self.options.no_check {
            return Ok(Decision { account: self.plan.untried(), secrets, works: false });
        }
        for _ in 0..MAX_ATTEMPTS {
            tell("\n");
            let outcome = Trial::new(&self.plan, &secrets, self.settings, self.presets, &mut self.screen).run().await;
            let (account, failure) = match outcome {
                Outcome::Works(account) => {
                    tell("\n");
                    return Ok(Decision { account, secrets, works: true });
                }
                Outcome::Fails { account, failure } => (account, failure),
            };
            if !self.screen.asks {
                return Err(self.abort_after_failure());
            }
            self.hint_after(failure.as_ref());
            match self.ask_changes(Some((account, failure.as_ref()))).await? {
                Choice::GoOn => {}
                Choice::KeepAnyway(account) => return Ok(Decision { account: *account, secrets, works: false }),
            }
            // The user may just have chosen another company for sending.
            if failure.as_ref().is_some_and(Failure::may_be_the_password) || self.needs_another_password(&secrets) {
                secrets = self.get_secrets().await?;
            }
            self.place_pins().await?;
        }
        Err(Abort(1, "too many tries; nothing was saved".into()))
    }

    /// Pins what `--pin` names at the servers that the plan has by now.
    async fn place_pins(&mut self) -> Result<(), Abort> {
        match self.options.pin_request() {
            None => Ok(()),
            Some(PinRequest::These(pins)) if self.options.no_check => {
                trust::pin_untried(&mut self.plan, &pins);
                Ok(())
            }
            Some(wanted) => match trust::place_pins(&mut self.plan, &wanted, &mut self.screen).await {
                Ok(()) => Ok(()),
                // It may be meant for another account of the file.
                Err(error) if self.options.import.is_some() => {
                    tell(&format!("--pin: {error}\n"));
                    Ok(())
                }
                Err(error) => Err(Abort(1, format!("--pin: {error}"))),
            },
        }
    }

    fn abort_after_failure(&self) -> Abort {
        let way_out = match &self.screen.unanswered {
            Some(flag) => format!("; to go on from here, use {flag}"),
            None => "; --no-check saves it anyway".into(),
        };
        Abort(
            1,
            format!("account {} was not saved, because it does not work yet: see above{way_out}", self.plan.address),
        )
    }

    /// Finds the servers: from the command line, a preset or the network.
    async fn find_servers(&mut self) -> Result<(), Abort> {
        let wanted = Wanted { incoming: !self.options.send_only, outgoing: !self.options.fetch_only };
        if self.plan.proposal.lacks(wanted) {
            self.finding = self.look_up().await?;
            let found = &self.finding.proposal;
            self.plan.proposal.fill(found, self.options.wanted());
            self.plan.proposal.provider.clone_from(&found.provider);
            if let (None, Some(name)) = (&self.plan.oauth2, &self.finding.oauth2) {
                self.plan.oauth2 = Some(self.find_company_of_tokens(name)?);
            }
        }
        if let Some(other) = &self.options.send_through
            && self.plan.proposal.outgoing.is_empty()
        {
            self.find_company(&other.clone()).await?;
        }
        if self.plan.proposal.incoming.is_empty() {
            if self.plan.proposal.gate && self.options.pop_before_smtp {
                return Err(Abort(2, "--pop-before-smtp needs a server to fetch from; add --pop3".into()));
            }
            // What a preset says of a gate is worth nothing without a server to log in to.
            self.plan.proposal.gate = false;
        }
        Ok(())
    }

    fn find_company_of_tokens(&self, name: &str) -> Result<Arc<Issuer>, Abort> {
        let unknown = || match &self.finding.company {
            Some(company) => {
                format!("{}:\n{}client_id = \"..\"", unknown_company_text(company), registration_table(company))
            }
            None => format!(
                "{} takes no password from mail programs: its users sign in at \"{name}\", which ostler does not know. Describe that \
                 company in the settings under [oauth2.{name}], or name another one with --oauth2 NAME",
                self.finding.title.as_deref().unwrap_or("the provider")
            ),
        };
        issuers::find(self.settings, name).ok_or_else(|| Abort(1, unknown()))
    }

    async fn look_up(&mut self) -> Result<Finding, Abort> {
        // The provider is that of the mailbox, and the address may be another one that it sends for.
        let mut search =
            Search::new(&self.plan.fetch_as.address, self.presets, self.plan.trust.for_search(), &mut self.screen)
                .map_err(|error| Abort(2, error.to_string()))?;
        search.take_any_oauth2(self.options.oauth2.is_some());
        let stop = |error: NotFound| Abort(1, error.to_string());
        // An imported file may name a provider too.
        if let Some(id) = self.options.provider.as_ref().or(self.plan.proposal.provider.as_ref()) {
            let Some(preset) = self.presets.by_id(id).cloned() else {
                return Err(Abort(
                    2,
                    format!("--provider: ostler knows no provider \"{id}\"; `ostler providers WORD` finds its name"),
                ));
            };
            return search.preset(&preset).await.map_err(stop);
        }
        search.complete(&self.plan.proposal).await.map_err(stop)
    }

    /// Finds the servers of another company to send through.
    async fn find_company(&mut self, other: &str) -> Result<(), Abort> {
        let other = &*value::address(other).map_err(|why| Abort(2, format!("\"{other}\" {why}")))?;
        tell(&format!("Looking for the servers of {other} ...\n"));
        let mut search = Search::new(other, self.presets, self.plan.trust.for_search(), &mut self.screen)
            .map_err(|error| Abort(2, error.to_string()))?;
        let finding = search.run().await.map_err(|error| Abort(1, error.to_string()))?;
        if finding.proposal.outgoing.is_empty() {
            return Err(Abort(1, format!("ostler found no server for sending at {other}; name it with --smtp")));
        }
        self.plan.proposal.send_through(finding.proposal.outgoing);
        // The gate was that of the mailbox's provider. The other company takes a password.
        self.plan.proposal.gate = false;
        self.plan.send_as.address = other.to_owned();
        self.plan.send_as.username.clone_from(&self.options.smtp_username);
        self.finding.hints.extend(finding.hints);
        if let Some(place) = finding.app_password {
            tell(&app_password_hint(other, &place));
        }
        Ok(())
    }

    /// Shows the servers, and what the user has to know before typing a password.
    fn show_plan(&self) {
        tell("\n");
        if let Some(title) = &self.finding.title {
            tell(&format!("{} is with {title}.\n", self.plan.address));
        }
        tell(&plan_text(&self.plan));
        for note in self.plan.notes_on_letters().iter().chain(&self.finding.hints).chain(&self.helper_note()) {
            tell(&format!("  Note: {note}\n"));
        }
        if let Some(place) = &self.finding.app_password {
            tell(&app_password_hint(&self.plan.address, place));
        }
        if self.plan.proposal.outgoing.is_empty() && !self.options.fetch_only {
            tell(
                "  There is no server for sending here; --send-through ADDRESS (or s below) sends through another company.\n",
            );
        }
    }

    /// A helper is pointed out unless the command line says how to trust it, or the report of an import has done so.
    fn helper_note(&self) -> Option<String> {
        (self.options.pin_request().is_none() && self.options.import.is_none())
            .then(|| trust::helper_note(&self.plan))
            .flatten()
    }

    /// Shows the usual reasons after a refused password.
    fn hint_after(&self, failure: Option<&Failure>) {
        if failure.is_some_and(Failure::may_be_the_password) {
            if let Some(place) = &self.finding.app_password {
                tell(&app_password_hint(&self.plan.address, place));
            }
            for hint in &self.finding.hints {
                tell(&format!("  Note: {hint}\n"));
            }
        }
    }

    /// Lets the user change servers and user name until they go on.
    async fn ask_changes(&mut self, failed: Option<(Account, Option<&Failure>)>) -> Result<Choice, Abort> {
        let stop = || Abort(1, "stopped; nothing was saved".into());
        loop {
            let enter = match &failed {
                None => "Enter: go on",
                Some((_, Some(failure))) if failure.may_be_the_password() => "Enter: type the password again",
                Some(_) => "Enter: try again",
            };
            let keep = if failed.is_some() { "\n  k  save the account anyway" } else { "" };
            let gate = if self.plan.proposal.gate { "no longer check" } else { "check" };
            let prompt = format!(
                "\n{enter}. Or type a letter and Enter:\n  s  send through another company\n  m  {gate} mail before sending (POP before SMTP)\n\
                 \x20 f  another server for fetching\n  o  another server for sending\n  u  another user name\n\
                 \x20 p  which mail program, if it shows letters as rubbish, such as don\u{e2}\u{20ac}\u{2122}t for don't{keep}\n  q  stop\n> "
            );
            let answer = ask::ask_line(&prompt).await.ok_or_else(stop)?;
            match (answer.to_ascii_lowercase().as_str(), &failed) {
                ("", _) => return Ok(Choice::GoOn),
                ("q", _) => return Err(stop()),
                ("k", Some((account, _))) => return Ok(Choice::KeepAnyway(Box::new(account.clone()))),
                ("s", _) => self.ask_other_company().await?,
                ("m", _) if self.plan.proposal.incoming.is_empty() => {
                    tell("That needs a server to fetch from; name one with f.\n");
                }
                ("m", _) => self.plan.proposal.gate = !self.plan.proposal.gate,
                ("f", _) => self.ask_server(Protocol::Pop3).await?,
                ("o", _) => self.ask_server(Protocol::Smtp).await?,
                ("u", _) => self.ask_user_name().await?,
                ("p", _) => self.ask_program().await?,
                _ => {
                    tell("That is not one of the letters.\n");
                    continue;
                }
            }
            tell("\n");
            tell(&plan_text(&self.plan));
        }
    }

    async fn ask_other_company(&mut self) -> Result<(), Abort> {
        let Some(other) = ask::ask_line("Your address at the other company (Enter alone: leave it): ").await else {
            return Err(Abort(1, "stopped; nothing was saved".into()));
        };
        if other.is_empty() {
            return Ok(());
        }
        if let Err(Abort(_, why)) = self.find_company(&other).await {
            tell(&format!("{why}\n"));
        }
        Ok(())
    }

    async fn ask_server(&mut self, protocol: Protocol) -> Result<(), Abort> {
        let example = match protocol {
            Protocol::Pop3 => "pop.example.net",
            Protocol::Smtp => "smtp.example.net",
            Protocol::Imap => "imap.example.net",
        };
        let prompt = format!("The server, such as {example} or tls://{example}:995 (Enter alone: leave it): ");
        let Some(typed) = ask::ask_line(&prompt).await else {
            return Err(Abort(1, "stopped; nothing was saved".into()));
        };
        if typed.is_empty() {
            return Ok(());
        }
        match (endpoints_from_text(protocol, &typed), protocol) {
            (Ok(endpoints), Protocol::Pop3) => self.plan.proposal.incoming = endpoints,
            (Ok(endpoints), Protocol::Smtp) => self.plan.proposal.send_through(endpoints),
            // Only the other two are asked for.
            (Ok(_), Protocol::Imap) => {}
            (Err(why), _) => tell(&format!("{why}\n")),
        }
        Ok(())
    }

    /// Asks which mail program it is for, because mail has to be rewritten for some.
    async fn ask_program(&mut self) -> Result<(), Abort> {
        tell(
            "Many old programs show today's letters as rubbish: don\u{e2}\u{20ac}\u{2122}t where it should be don't. ostler can rewrite \
             mail for yours while it is fetched, so that you read don't.\n",
        );
        for (at, profile) in PROFILES.iter().enumerate() {
            tell(&format!("  {}  {}\n", at + 1, profile.program));
        }
        let prompt =
            "Its number, or a charset such as windows-1250 for another one (Enter alone: mail comes as it is): ";
        let Some(typed) = ask::ask_line(prompt).await else {
            return Err(Abort(1, "stopped; nothing was saved".into()));
        };
        let numbered = typed.parse::<usize>().ok().and_then(|number| PROFILES.get(number.checked_sub(1)?));
        match Readable::find(numbered.map_or(typed.as_str(), |profile| profile.name)) {
            Some(readable) => self.plan.readable = Some(readable),
            None if typed.is_empty() => self.plan.readable = None,
            None => tell("That is neither a number of the list nor a charset.\n"),
        }
        Ok(())
    }

    async fn ask_user_name(&mut self) -> Result<(), Abort> {
        let Some(typed) = ask::ask_line("The user name at the provider (Enter alone: leave it): ").await else {
            return Err(Abort(1, "stopped; nothing was saved".into()));
        };
        if typed.is_empty() {
            return Ok(());
        }
        match value::username(&typed) {
            Ok(name) => {
                // Before the name for fetching changes, because `sends_elsewhere` compares the two.
                if !self.plan.sends_elsewhere() {
                    self.plan.send_as.username = Some(name.clone());
                }
                self.plan.fetch_as.username = Some(name);
            }
            Err(why) => tell(&format!("A user name that {why} cannot be used.\n")),
        }
        Ok(())
    }

    /// Whether the plan needs a second password that has not been asked for yet.
    fn needs_another_password(&self, secrets: &Secrets) -> bool {
        self.plan.sends_elsewhere() && !self.plan.proposal.outgoing.is_empty() && secrets.outgoing.is_none()
    }

    /// Has the user sign in where the provider wants that, and asks for the passwords that go to the keyring.
    async fn get_secrets(&mut self) -> Result<Secrets, Abort> {
        let tokens = if self.plan.wants_sign_in() { Some(self.sign_in().await?) } else { None };
        Ok(Secrets { tokens, ..self.ask_passwords().await? })
    }

    /// Has the user sign in at the company that gives out the tokens. Who did is looked at where the company says it; where it
    /// does not, the trial finds out.
    async fn sign_in(&mut self) -> Result<Arc<Tokens>, Abort> {
        let account = self.plan.untried();
        let keeper = TokenKeeper::of_command();
        let way = if self.options.device { Way::Device } else { Way::Browser };
        let mut terminal = Terminal { opens_browser: !self.options.no_browser };
        let stop = |error: SignInFailed| Abort(1, format!("{error}; nothing was saved"));
        let sign_in = Authorize::new(&keeper, &account).map_err(stop)?;
        self.ask_client_secret(&account, sign_in.issuer()).await?;
        tell(&format!(
            "\n{} takes no password from mail programs: you sign in at {}.\n",
            self.plan.address,
            sign_in.issuer().title
        ));
        let tokens = Arc::new(sign_in.run(way, &mut terminal).await.map_err(stop)?);
        self.unkept.hold(account.clone(), &tokens).await;
        Ok(tokens)
    }

    /// Asks for the secret of a registration, unless the keyring has it.
    async fn ask_client_secret(&self, account: &Account, issuer: &Issuer) -> Result<(), Abort> {
        let source = SecretSource::Keyring;
        let is_new = issuers::find(self.settings, &issuer.name).as_deref() != Some(issuer);
        let vault = Vault::new();
        if issuer.client_secret != Some(ClientSecret::Kept(source.clone()))
            || vault.client_secret(account, issuer, &source).await.is_ok()
        {
            return Ok(());
        }
        if !self.screen.asks {
            // What the sign-in says then is enough, where the settings have the registration already.
            if !is_new {
                return Ok(());
            }
            return Err(Abort(
                1,
                format!(
                    "the registration at {} has a secret, and there is no terminal to ask for it on. Put these lines into the settings, \
                     run `ostler password --oauth2 {}`, and try again:\n{}",
                    issuer.title,
                    issuer.name,
                    registration_table(issuer)
                ),
            ));
        }
        let prompt = format!("Secret of the registration at {} (it does not show while you type): ", issuer.title);
        let secret = ask::ask_password(prompt, false).await.map_err(|why| Abort(1, why))?;
        vault.store_client_secret(issuer, &secret).await.map_err(|error| Abort(1, error_chain(&error)))
    }

    /// Asks for the passwords that go to the keyring.
    async fn ask_passwords(&mut self) -> Result<Secrets, Abort> {
        if matches!(self.plan.fetch_as.source, Some(ref source) if *source != SecretSource::Keyring) {
            return Ok(Secrets::default());
        }
        let proposal = &self.plan.proposal;
        // With a gate, sending takes no password: the login that opens it has the one for fetching.
        let elsewhere = self.plan.sends_elsewhere() && !proposal.outgoing.is_empty() && !proposal.gate;
        let has_token = self.plan.oauth2.is_some();
        let fetches = !proposal.has_no_incoming() && !has_token;
        let mut secrets = Secrets::default();
        if fetches || !elsewhere && !has_token {
            let makes_app_passwords = self.makes_app_passwords(|server| !elsewhere || !server.protocol.is_outgoing());
            secrets.incoming = Some(self.ask_password(&self.plan.fetch_as.address.clone(), makes_app_passwords).await?);
        }
        if elsewhere {
            let makes_app_passwords = self.makes_app_passwords(|server| server.protocol.is_outgoing());
            let name = self.plan.send_as.username.clone().unwrap_or_else(|| self.plan.send_as.address.clone());
            secrets.outgoing = Some(self.ask_password(&format!("{name}, for sending"), makes_app_passwords).await?);
        }
        Ok(secrets)
    }

    /// Whether the provider of one of these servers makes app passwords.
    fn makes_app_passwords(&self, is_meant: impl Fn(&Server) -> bool) -> bool {
        let account = self.plan.untried();
        let mut servers = servers_with_secret(&account).into_iter().filter(|server| is_meant(server));
        servers.any(|server| self.presets.makes_app_passwords(&account, server))
    }

    async fn ask_password(&mut self, of: &str, makes_app_passwords: bool) -> Result<Arc<Secret>, Abort> {
        loop {
            let read = if self.options.password.password_stdin {
                ask::read_password(makes_app_passwords)
            } else if self.screen.asks || ask::is_interactive() {
                let prompt = format!("Password of {of} (it does not show while you type): ");
                ask::ask_password(prompt, makes_app_passwords).await
            } else {
                return Err(Abort(1, "there is no terminal to ask for the password on; use --password-stdin".into()));
            };
            match read {
                Ok(secret) => return Ok(Arc::new(secret)),
                Err(why) if self.screen.asks && why.contains("empty") => {
                    self.screen.say("Nothing was typed. Try again, or press ctrl-C to stop.")
                }
                Err(why) => return Err(Abort(1, why)),
            }
        }
    }
}

fn app_password_hint(address: &str, place: &str) -> String {
    format!(
        "  {address} needs an app password here: a password for one program, not the one you type on the web site.\n  \
         You create it at {place}.\n"
    )
}
