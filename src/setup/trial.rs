//! Tries a plan on the real servers, until there is an account that works or a reason why there is none. It also finds
//! out what users can hardly know: which form the user name has, which of several servers answers, and whether the
//! provider wants a POP login before each send.

use std::sync::Arc;

use super::charset_offer::{CharsetOffers, say_remembered};
use super::{Plan, Proposal, Question, Secrets, SendAuth, SetupUi, flag_of};
use crate::config::presets::Presets;
use crate::diagnose::{Doctor, RELAY_TEST_RECIPIENT};
use crate::events::Events;
use crate::proxy::Engine;
use crate::proxy::net::dial::Route;
use crate::proxy::sign_in::{Prepared, connect_and_prepare};
use crate::proxy::smtp::submission::rehearse;
use crate::setup::discover::try_endpoint;
use crate::vault::Vault;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Account, PasswordCharset, Protocol, Server, Settings};
use ostler_mail::failure::Failure;
use ostler_mail::sasl::Mechanism;
use ostler_mail::smtp::login::SmtpLogin;
use ostler_mail::smtp::verdict::{Verdict, verdict};

/// The causes of a refused sign-in by POP3 that another protocol may not have.
const POP_IS_OFF: [&str; 2] = ["gmail-pop-off", "pop-switched-off"];

/// The result of a trial.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The account works.
    Works(Account),
    /// It does not.
    Fails {
        /// The account as far as it is known, in case the user wants to save it anyway.
        account: Account,
        /// The failure that ended the trial.
        failure: Option<Failure>,
    },
}

/// Whether the server for sending relayed mail before any POP login was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GateBefore {
    /// It was not asked, because it offers a sign-in or there is no server to log in to.
    NotAsked,
    /// It accepted the recipient.
    Open,
    /// It refused like a shut gate.
    Shut,
}

/// Tries a plan.
pub(crate) struct Trial<'a, T> {
    plan: &'a Plan,
    secrets: &'a Secrets,
    settings: &'a Settings,
    presets: &'a Presets,
    ui: &'a mut T,
    /// How the password for fetching is spelled.
    charset: PasswordCharset,
    charset_offers: CharsetOffers,
}

/// The servers where mail can be fetched, or read.
#[derive(Default)]
struct Incoming {
    pop3: Option<Server>,
    imap: Option<Server>,
}

/// Why there is no server for one direction.
struct Broken {
    server: Option<Server>,
    failure: Option<Failure>,
}

impl<'a, T: SetupUi> Trial<'a, T> {
    /// The trial uses the time limits of `settings`.
    pub(crate) fn new(
        plan: &'a Plan,
        secrets: &'a Secrets,
        settings: &'a Settings,
        presets: &'a Presets,
        ui: &'a mut T,
    ) -> Self {
        let (charset, charset_offers) = (PasswordCharset::default(), CharsetOffers::default());
        Self { plan, secrets, settings, presets, ui, charset, charset_offers }
    }

    /// Runs the trial.
    pub(crate) async fn run(mut self) -> Outcome {
        // Must come before the first POP login, because that would open the gate.
        let before = self.look_at_gate().await;
        let incoming = match self.try_incoming().await {
            Ok(incoming) => incoming,
            Err(Broken { server, failure }) => {
                let mut account = self.plan.untried();
                match server {
                    Some(server) if server.protocol == Protocol::Imap => account.imap = Some(server),
                    Some(server) => account.pop3 = Some(server),
                    None => {}
                }
                return Outcome::Fails { account, failure };
            }
        };
        match self.try_outgoing(incoming.pop3.as_ref(), before).await {
            Ok(smtp) => Outcome::Works(self.account(incoming, smtp.into_iter().collect())),
            Err(Broken { server, failure }) => {
                let smtp = server.map_or_else(|| self.plan.untried().smtp, |server| vec![server]);
                Outcome::Fails { account: self.account(incoming, smtp), failure }
            }
        }
    }

    fn account(&self, incoming: Incoming, smtp: Vec<Server>) -> Account {
        let account = self.plan.account(incoming.pop3, smtp);
        // One that was not tried stays as it is planned.
        let imap = incoming.imap.or_else(|| account.imap.clone());
        self.plan.with_standby(Account { imap, ..account })
    }

    fn engine(&self, account: &Account) -> Arc<Engine> {
        // In memory: nothing goes into the keyring before the account works, or the user wants it kept.
        let (secrets, tokens) = (self.secrets.by_server(account), self.secrets.tokens_for(account));
        let vault = Vault::holding_tokens(account, &secrets, tokens).knowing(self.presets.app_passwords());
        let settings = Settings { accounts: vec![Arc::new(account.clone())], ..self.settings.clone() };
        Arc::new(Engine::new(settings, vault, Events::default()))
    }

    /// A doctor for an account that is not saved. The user sees each step as soon as it is done.
    fn doctor(&mut self, account: &Account) -> Doctor<'_> {
        let engine = self.engine(account);
        let ui = &mut *self.ui;
        Doctor::new(engine, Arc::new(account.clone()), move |step| ui.step(step)).of_unsaved()
    }

    /// Tries all steps to one server of an account.
    async fn try_server(&mut self, account: &Account, server: &Server) -> Result<(), Failure> {
        let mut doctor = self.doctor(account);
        if doctor.check_server(server).await { Ok(()) } else { Err(last_failure(doctor)) }
    }

    /// Tries all steps to one server. If it refuses a password with letters beyond ASCII, it is tried in another charset too,
    /// once, if the user agrees. Returns the server with the charset that worked, or the first failure.
    async fn try_charsets(
        &mut self,
        server: &Server,
        as_account: impl Fn(&Server) -> Account,
    ) -> Result<Server, Failure> {
        let account = as_account(server);
        let Err(failure) = self.try_server(&account, server).await else { return Ok(server.clone()) };
        let vault = self.engine(&account).vault.clone();
        let plain = server.clone().with_password_charset(PasswordCharset::Utf8);
        let secret = async { vault.secret(&account, &plain).await.ok() };
        let Some(again) = self.charset_offers.offer(self.ui, server, &failure, secret).await else {
            return Err(failure);
        };
        self.try_server(&as_account(&again), &again).await.map_err(|_| failure)?;
        say_remembered(self.ui, &again);
        Ok(again)
    }

    /// Tries what a send does, up to RCPT.
    async fn try_send(&mut self, account: &Account) -> Result<(), Failure> {
        let mut doctor = self.doctor(account);
        if doctor.check_send().await { Ok(()) } else { Err(last_failure(doctor)) }
    }

    /// Looks whether the server for sending relays mail without a sign-in, if it offers none.
    async fn look_at_gate(&mut self) -> GateBefore {
        let has_token = self.plan.sends_with_token();
        if self.plan.proposal.gate || self.plan.proposal.incoming.is_empty() || has_token {
            return GateBefore::NotAsked;
        }
        let Some(endpoint) = self.plan.proposal.outgoing.first() else { return GateBefore::NotAsked };
        let server = self.plan.outgoing_server(endpoint, SendAuth::Nothing);
        let account = self.plan.account(None, vec![server.clone()]);
        let engine = self.engine(&account);
        let prepared =
            connect_and_prepare::<SmtpLogin>(&engine, &server, &self.settings.timeouts, Route::default()).await;
        match prepared {
            Ok(Prepared::Done(mut upstream, ready)) => {
                upstream.conn.close().await;
                // `true`: any sign-in at all counts here, whether or not the connection has TLS.
                if Mechanism::offered(&ready.offered.auth, true).next().is_some() {
                    return GateBefore::NotAsked;
                }
            }
            // Some gates refuse in place of the greeting. Any other failure appears again, and is shown, in its own
            // step.
            Err(Failure::ServiceRefused { .. }) => {}
            _ => return GateBefore::NotAsked,
        }
        match rehearse(&engine, &Arc::new(account), RELAY_TEST_RECIPIENT).await {
            Ok(reply) if reply.is_ok() => GateBefore::Open,
            Ok(reply) if verdict(&reply) == Verdict::NotTheGate => GateBefore::Open,
            Ok(_) | Err(Failure::ServiceRefused { .. }) => GateBefore::Shut,
            Err(_) => GateBefore::NotAsked,
        }
    }

    /// Finds the servers for fetching and reading that work. Without POP3, or where it is switched off, IMAP is enough.
    async fn try_incoming(&mut self) -> Result<Incoming, Broken> {
        let plan = self.plan;
        let imap = plan.proposal.imap.as_slice();
        match self.try_to_fetch(&plan.proposal.incoming).await {
            Ok(Some(pop3)) if plan.proposal.wants_imap => {
                let imap = self.try_to_fetch(imap).await?;
                Ok(Incoming { pop3: Some(pop3), imap })
            }
            Ok(Some(pop3)) => {
                let imap = self.look_at_imap(&pop3).await;
                Ok(Incoming { pop3: Some(pop3), imap })
            }
            Ok(None) => Ok(Incoming { pop3: None, imap: self.try_to_fetch(imap).await? }),
            Err(broken) => match self.offer_imap(&broken).await {
                Some(imap) => Ok(Incoming { pop3: None, imap: self.try_to_fetch(imap).await? }),
                None => Err(broken),
            },
        }
    }

    /// The IMAP servers, from the first that answers on; none if none does.
    async fn answering_imap(&self) -> &'a [Endpoint] {
        let all = self.plan.proposal.imap.as_slice();
        for (index, endpoint) in all.iter().enumerate() {
            if try_endpoint(endpoint, &self.plan.trust.at(endpoint)).await.is_ok() {
                return all.get(index..).unwrap_or_default();
            }
        }
        &[]
    }

    /// Looks whether IMAP works too, and tells the user. Its failure decides nothing, because most programs fetch by POP3. Returns
    /// the likeliest server.
    async fn look_at_imap(&mut self, pop3: &Server) -> Option<Server> {
        let plan = self.plan;
        let endpoint = match plan.proposal.imap.as_slice() {
            [] => return None,
            [only] => only,
            [first, ..] => self.answering_imap().await.first().unwrap_or(first),
        };
        let imap = plan.untried_imap(endpoint, pop3.password_charset());
        let account = Account { imap: Some(imap.clone()), ..plan.account(Some(pop3.clone()), Vec::new()) };
        self.doctor(&account).check_imap_beside_pop3(&imap).await;
        Some(imap)
    }

    /// The IMAP servers to use where POP3 cannot be used, if the user agrees: some providers have POP3 switched off until their
    /// user switches it on, and IMAP on.
    async fn offer_imap(&mut self, broken: &Broken) -> Option<&'a [Endpoint]> {
        let (Some(server), Some(failure)) = (&broken.server, &broken.failure) else { return None };
        let is_off = failure.known_words().is_some_and(|known| POP_IS_OFF.contains(&known.cause));
        let is_not_there = matches!(failure, Failure::NameNotFound { .. } | Failure::NobodyListens { .. });
        if !(is_off || is_not_there) {
            return None;
        }
        let answering = self.answering_imap().await;
        let imap = answering.first()?;
        let question = Question::UseOther {
            instead_of: format!("{} (POP3)", server.address()),
            other: format!("{} (IMAP)", imap.describe()),
            flag: flag_of(imap),
        };
        self.ui.confirm(&question).await.then_some(answering)
    }

    /// Finds the server that works, of those for POP3 or for IMAP; `None` if there are none.
    async fn try_to_fetch(&mut self, endpoints: &[Endpoint]) -> Result<Option<Server>, Broken> {
        let plan = self.plan;
        let mut at = 0;
        while let Some(endpoint) = endpoints.get(at) {
            let (names, charset) = (plan.fetch_as.usernames(endpoint), self.charset);
            let server = |name| plan.incoming_server(endpoint, name).with_password_charset(charset);
            let (server, failure) = match self.try_names(names, server, |server| plan.account_at(server)).await {
                Ok(server) => {
                    self.charset = server.password_charset();
                    return Ok(Some(server));
                }
                Err(Some(failed)) => failed,
                Err(None) => break,
            };
            match self.offer_another(endpoints, at, &failure).await {
                Some(other) => at = other,
                None => return Err(Broken { server: Some(server), failure: Some(failure) }),
            }
        }
        Ok(None)
    }

    /// Signs in under one form of the user name after the other, until one is accepted, or refused for another reason than its
    /// form. The error is the last failure; `None` if there is no name to try.
    async fn try_names(
        &mut self,
        names: Vec<String>,
        server: impl Fn(String) -> Server,
        as_account: impl Fn(&Server) -> Account,
    ) -> Result<Server, Option<(Server, Failure)>> {
        let mut names = names.into_iter().peekable();
        let mut last = None;
        while let Some(name) = names.next() {
            let server = server(name.clone());
            match self.try_charsets(&server, &as_account).await {
                Ok(server) => return Ok(server),
                Err(failure) => {
                    let goes_on = self.announce_other_name(&failure, &name, names.peek());
                    last = Some((server, failure));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Whether to try the next form of a user name, because this one was refused.
    fn announce_other_name(&mut self, failure: &Failure, name: &str, next: Option<&String>) -> bool {
        let Some(next) = next.filter(|_| matches!(failure, Failure::SignInRefused { .. })) else { return false };
        self.ui.say(&format!(
            "The user name \"{name}\" was refused with this password; some providers want \"{next}\". Trying that."
        ));
        true
    }

    /// The index of the next server that answers, if this one cannot be used and the user agrees.
    async fn offer_another(&mut self, endpoints: &[Endpoint], at: usize, failure: &Failure) -> Option<usize> {
        if !suggests_another_server(failure) {
            return None;
        }
        let failed = endpoints.get(at)?;
        for (index, endpoint) in endpoints.iter().enumerate().skip(at + 1) {
            self.ui.say(&format!("Trying {} ...", endpoint.describe()));
            if try_endpoint(endpoint, &self.plan.trust.at(endpoint)).await.is_err() {
                continue;
            }
            let question = Question::UseOther {
                instead_of: failed.describe(),
                other: endpoint.describe(),
                flag: flag_of(endpoint),
            };
            return self.ui.confirm(&question).await.then_some(index);
        }
        None
    }

    /// Finds the server for sending that works; `None` if the plan has none.
    async fn try_outgoing(&mut self, pop3: Option<&Server>, before: GateBefore) -> Result<Option<Server>, Broken> {
        let Proposal { outgoing, standby, gate, .. } = &self.plan.proposal;
        let outgoing: Vec<Endpoint> = outgoing.iter().chain(standby).cloned().collect();
        let mut at = 0;
        while let Some(endpoint) = outgoing.get(at) {
            let tried = match pop3 {
                Some(login) if *gate || before != GateBefore::NotAsked => {
                    self.try_through_gate(endpoint, login, before).await
                }
                _ => self.try_signed_in(endpoint, pop3).await,
            };
            let (server, failure) = match tried {
                Ok(server) => return Ok(Some(server)),
                Err(broken) => broken,
            };
            match self.offer_another(&outgoing, at, &failure).await {
                Some(other) => at = other,
                None => return Err(Broken { server: Some(server), failure: Some(failure) }),
            }
        }
        Ok(None)
    }

    /// Tries to send after a POP login.
    async fn try_through_gate(
        &mut self,
        endpoint: &Endpoint,
        login: &Server,
        before: GateBefore,
    ) -> Result<Server, (Server, Failure)> {
        let server = self.plan.outgoing_server(endpoint, SendAuth::AfterPop(login));
        let account = self.plan.account(Some(login.clone()), vec![server.clone()]);
        let tried = match self.try_server(&account, &server).await {
            Ok(()) => self.try_send(&account).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = tried {
            return Err((server, failure));
        }
        match before {
            GateBefore::Shut => {
                self.ui.note("This provider wants a POP login before each send. ostler will make it for you.");
            }
            GateBefore::Open => self.ui.note(
                "This provider accepts mail without a sign-in at the moment. Most of these want mail to be fetched first, so ostler \
                 will log in by POP before each send; where that is not needed, it does no harm.",
            ),
            GateBefore::NotAsked => {}
        }
        Ok(server)
    }

    /// Tries to send with a user name and password; if the server does not want these, after a POP login or without
    /// anything.
    async fn try_signed_in(&mut self, endpoint: &Endpoint, pop3: Option<&Server>) -> Result<Server, (Server, Failure)> {
        let plan = self.plan;
        // The same password at the same provider; another company has another password.
        let charset = if plan.sends_elsewhere() { PasswordCharset::default() } else { self.charset };
        let server = |name| plan.outgoing_server(endpoint, SendAuth::Password(name)).with_password_charset(charset);
        let as_account = |server: &Server| plan.account(None, vec![server.clone()]);
        match self.try_names(self.outgoing_names(endpoint, pop3), server, as_account).await {
            Ok(server) => match self.try_send(&as_account(&server)).await {
                Ok(()) => Ok(server),
                Err(failure) => Err((server, failure)),
            },
            Err(failed) => {
                let no_name = || (plan.outgoing_server(endpoint, SendAuth::Nothing), Failure::Internal);
                self.try_without_sign_in(endpoint, pop3, failed.unwrap_or_else(no_name)).await
            }
        }
    }

    /// Tries what is left when the server for sending does not take the sign-in: a POP login before the send, or nothing at all.
    /// Both are guesses, so the failure of the sign-in is the one to show.
    async fn try_without_sign_in(
        &mut self,
        endpoint: &Endpoint,
        pop3: Option<&Server>,
        (server, failure): (Server, Failure),
    ) -> Result<Server, (Server, Failure)> {
        let is_disabled = matches!(failure, Failure::SignInDisabled { .. } | Failure::MechanismRefused { .. });
        let is_refused = matches!(failure, Failure::SignInRefused { .. });
        match pop3 {
            _ if self.plan.sends_with_token() => Err((server, failure)),
            // The password is right, since fetching works with it. Perhaps the server wants a POP login instead.
            Some(login) if (is_disabled || is_refused) && !self.plan.sends_elsewhere() => {
                self.ui.say("Signing in does not work there. Trying a POP login before the send instead.");
                let through = self.try_through_gate(endpoint, login, GateBefore::Shut).await;
                through.map_err(|_| (server, failure))
            }
            // Some providers know their customers by their addresses and want no sign-in at all.
            None if is_disabled => {
                let open = self.plan.outgoing_server(endpoint, SendAuth::Nothing);
                let account = self.plan.account(None, vec![open.clone()]);
                self.try_send(&account).await.map(|()| open).map_err(|_| (server, failure))
            }
            Some(_) | None => Err((server, failure)),
        }
    }

    /// The user names to try, beginning with the one that worked for fetching.
    fn outgoing_names(&self, endpoint: &Endpoint, pop3: Option<&Server>) -> Vec<String> {
        let mut names = self.plan.send_as.usernames(endpoint);
        let known = pop3.and_then(Server::credentials).filter(|_| !self.plan.sends_elsewhere());
        if let Some(index) = known.and_then(|known| names.iter().position(|name| *name == known.username)) {
            names.swap(0, index);
        }
        names
    }
}

/// The failure that ended a check.
fn last_failure(doctor: Doctor<'_>) -> Failure {
    let failure = doctor.into_steps().into_iter().rev().find_map(|step| step.failure);
    failure.unwrap_or(Failure::Internal)
}

/// Whether another server of the provider may work: this one could not be used, and it has not refused the password.
fn suggests_another_server(failure: &Failure) -> bool {
    // A provider that hangs up at the sign-in may have refused the password by that.
    let may_be_another = !failure.may_be_the_password();
    failure.is_unreachable() && !matches!(failure, Failure::NotConnected { .. })
        || may_be_another
            && matches!(
                failure,
                Failure::Certificate { .. }
                    | Failure::TlsTooOld { .. }
                    | Failure::NotTls { .. }
                    | Failure::Tls { .. }
                    | Failure::NoStartTls { .. }
                    | Failure::WrongProtocol { .. }
                    | Failure::ProtocolViolation { .. }
                    | Failure::Lost { .. }
                    | Failure::TimedOut { .. }
                    | Failure::ServiceRefused { .. }
            )
}
