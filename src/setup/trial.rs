//! The live check of a plan: every step to each server for real, until there is an account that works or it is clear why
//! there is none. Also finds out by itself what nobody can be expected to know: which of two forms the user name has, which
//! of several servers answers, and that a provider wants mail checked before it sends.

use std::sync::Arc;

use super::{Plan, Question, Secrets, SendAuth, ServerChoice, SetupUi, flag_of};
use crate::diagnose::{Doctor, RELAY_TEST_RECIPIENT};
use crate::events::Events;
use crate::proxy::Engine;
use crate::proxy::net::dial::Route;
use crate::proxy::sign_in::{Prepared, connect_and_prepare};
use crate::proxy::smtp::submission::rehearse;
use crate::setup::discover::try_endpoint;
use crate::vault::Vault;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::{Account, Server, Settings};
use ostler_mail::failure::Failure;
use ostler_mail::sasl::Mechanism;
use ostler_mail::smtp::login::SmtpLogin;
use ostler_mail::smtp::verdict::{Verdict, verdict};

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// Everything works.
    Works(Account),
    /// Something does not.
    Fails {
        /// The account as far as it is known, should somebody want it all the same.
        account: Account,
        /// What went wrong, if it was not only a step.
        failure: Option<Failure>,
    },
}

/// Whether the server for sending was open to everybody before any POP login was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It offers a sign-in, so the question does not arise; or there is nothing to log in to.
    NotAsked,
    /// It took the recipient.
    Open,
    /// It refused as a gate does.
    Shut,
}

/// Tries a plan.
pub struct Trial<'a, T> {
    plan: &'a Plan,
    secrets: &'a Secrets,
    settings: &'a Settings,
    ui: &'a mut T,
}

/// One choice did not come about.
struct Broken {
    server: Option<Server>,
    failure: Option<Failure>,
}

impl<'a, T: SetupUi> Trial<'a, T> {
    /// The settings are those the account will live among: its time limits count.
    pub fn new(plan: &'a Plan, secrets: &'a Secrets, settings: &'a Settings, ui: &'a mut T) -> Self {
        Self { plan, secrets, settings, ui }
    }

    /// Tries it.
    pub async fn run(mut self) -> Outcome {
        // Before the first POP login, which would open the gate.
        let before = self.before().await;
        let pop3 = match self.incoming().await {
            Ok(server) => server,
            Err(Broken { server, failure }) => {
                let mut account = self.plan.untried();
                account.pop3 = server.or(account.pop3);
                return Outcome::Fails { account, failure };
            }
        };
        match self.outgoing(pop3.as_ref(), before).await {
            Ok(smtp) => Outcome::Works(self.plan.account(pop3, smtp.into_iter().collect())),
            Err(Broken { server, failure }) => {
                let smtp = server.map_or_else(|| self.plan.untried().smtp, |server| vec![server]);
                Outcome::Fails { account: self.plan.account(pop3, smtp), failure }
            }
        }
    }

    fn engine(&self, account: &Account) -> Arc<Engine> {
        let vault = Vault::holding(account, &self.secrets.by_server(account));
        let settings = Settings { accounts: vec![Arc::new(account.clone())], ..self.settings.clone() };
        Arc::new(Engine::new(settings, vault, Events::default()))
    }

    /// All steps to one server of an account; why not, if not.
    async fn server(&mut self, account: &Account, server: &Server) -> Result<(), Failure> {
        let engine = self.engine(account);
        let ui = &mut *self.ui;
        let mut doctor = Doctor::new(engine, Arc::new(account.clone()), |step| ui.step(step));
        let ok = doctor.check_server(server).await;
        outcome(ok, doctor)
    }

    /// The way of a send, MAIL and RCPT included.
    async fn send(&mut self, account: &Account) -> Result<(), Failure> {
        let engine = self.engine(account);
        let ui = &mut *self.ui;
        let mut doctor = Doctor::new(engine, Arc::new(account.clone()), |step| ui.step(step));
        let ok = doctor.check_send().await;
        outcome(ok, doctor)
    }

    /// Whether the server for sending is open without a sign-in, where it offers none.
    async fn before(&mut self) -> Before {
        if self.plan.gate || self.plan.incoming.endpoints.is_empty() {
            return Before::NotAsked;
        }
        let Some(endpoint) = self.plan.outgoing.endpoints.first() else { return Before::NotAsked };
        let server = self.plan.outgoing_server(endpoint, SendAuth::Nothing);
        let account = self.plan.account(None, vec![server.clone()]);
        let engine = self.engine(&account);
        let prepared =
            connect_and_prepare::<SmtpLogin>(&engine, &server, &self.settings.timeouts, Route::default()).await;
        match prepared {
            Ok(Prepared::Done(mut upstream, extensions)) => {
                upstream.conn.close().await;
                // With or without TLS: whether there is any sign-in is the question.
                if Mechanism::choose(&extensions.auth, true).is_some() {
                    return Before::NotAsked;
                }
            }
            // A gate may be shut in place of the greeting. Anything else is met again, and told, when its turn comes.
            Err(Failure::ServiceRefused { .. }) => {}
            _ => return Before::NotAsked,
        }
        match rehearse(&engine, &Arc::new(account), RELAY_TEST_RECIPIENT).await {
            Ok(reply) if reply.is_ok() => Before::Open,
            Ok(reply) if verdict(&reply) == Verdict::NotTheGate => Before::Open,
            Ok(_) | Err(Failure::ServiceRefused { .. }) => Before::Shut,
            Err(_) => Before::NotAsked,
        }
    }

    /// Where mail is fetched, if it is.
    async fn incoming(&mut self) -> Result<Option<Server>, Broken> {
        let choice = self.plan.incoming.clone();
        let mut at = 0;
        while let Some(endpoint) = choice.endpoints.get(at) {
            let mut names = choice.usernames(endpoint).into_iter().peekable();
            let mut last = None;
            while let Some(name) = names.next() {
                let server = self.plan.incoming_server(endpoint, name.clone());
                let account = self.plan.account(Some(server.clone()), Vec::new());
                match self.server(&account, &server).await {
                    Ok(()) => return Ok(Some(server)),
                    Err(failure) => {
                        let go_on = self.other_name(&failure, &name, names.peek());
                        last = Some((server, failure));
                        if !go_on {
                            break;
                        }
                    }
                }
            }
            let Some((server, failure)) = last else { break };
            match self.another(&choice, at, &failure).await {
                Some(other) => at = other,
                None => return Err(Broken { server: Some(server), failure: Some(failure) }),
            }
        }
        Ok(None)
    }

    /// Whether a refused name is worth a try in its other form.
    fn other_name(&mut self, failure: &Failure, name: &str, next: Option<&String>) -> bool {
        let Some(next) = next.filter(|_| matches!(failure, Failure::SignInRefused { .. })) else { return false };
        self.ui.say(&format!(
            "The name \"{name}\" was refused with this password; some providers want it as \"{next}\". Trying that."
        ));
        true
    }

    /// The next server of a choice that answers, if this one does not and the person agrees.
    async fn another(&mut self, choice: &ServerChoice, at: usize, failure: &Failure) -> Option<usize> {
        if !is_about_the_way(failure) {
            return None;
        }
        let failed = choice.endpoints.get(at)?;
        for (index, endpoint) in choice.endpoints.iter().enumerate().skip(at + 1) {
            self.ui.say(&format!("Trying {} ...", endpoint.describe()));
            if try_endpoint(endpoint, &self.plan.trust).await.is_err() {
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

    /// Where mail is sent, if it is.
    async fn outgoing(&mut self, pop3: Option<&Server>, before: Before) -> Result<Option<Server>, Broken> {
        let choice = self.plan.outgoing.clone();
        let mut at = 0;
        while let Some(endpoint) = choice.endpoints.get(at) {
            let tried = match pop3 {
                Some(login) if self.plan.gate || before != Before::NotAsked => {
                    self.through_the_gate(endpoint, login, before).await
                }
                _ => self.signed_in(endpoint, pop3).await,
            };
            let (server, failure) = match tried {
                Ok(server) => return Ok(Some(server)),
                Err(broken) => broken,
            };
            match self.another(&choice, at, &failure).await {
                Some(other) => at = other,
                None => return Err(Broken { server: Some(server), failure: Some(failure) }),
            }
        }
        Ok(None)
    }

    /// With the POP login before the send.
    async fn through_the_gate(
        &mut self,
        endpoint: &Endpoint,
        login: &Server,
        before: Before,
    ) -> Result<Server, (Server, Failure)> {
        let server = self.plan.outgoing_server(endpoint, SendAuth::AfterPop(login));
        let account = self.plan.account(Some(login.clone()), vec![server.clone()]);
        let tried = match self.server(&account, &server).await {
            Ok(()) => self.send(&account).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = tried {
            return Err((server, failure));
        }
        match before {
            Before::Shut => {
                self.ui.say("This provider wants a POP login before each send; switched on: ostler does it for you.");
            }
            Before::Open => self.ui.say(
                "This provider takes mail without a sign-in just now. Most that do so want mail to be fetched first, so ostler \
                 logs in by POP before each send; that does no harm elsewhere.",
            ),
            Before::NotAsked => {}
        }
        Ok(server)
    }

    /// With a user name and a password, and if that is not to be had, without or through the gate.
    async fn signed_in(&mut self, endpoint: &Endpoint, pop3: Option<&Server>) -> Result<Server, (Server, Failure)> {
        let mut names = self.outgoing_names(endpoint, pop3);
        let mut last = None;
        while !names.is_empty() {
            let name = names.remove(0);
            let server = self.plan.outgoing_server(endpoint, SendAuth::Password(name.clone()));
            let account = self.plan.account(None, vec![server.clone()]);
            match self.server(&account, &server).await {
                Ok(()) => {
                    return match self.send(&account).await {
                        Ok(()) => Ok(server),
                        Err(failure) => Err((server, failure)),
                    };
                }
                Err(failure) => {
                    let go_on = self.other_name(&failure, &name, names.first());
                    last = Some((server, failure));
                    if !go_on {
                        break;
                    }
                }
            }
        }
        let (server, failure) =
            last.unwrap_or_else(|| (self.plan.outgoing_server(endpoint, SendAuth::Nothing), Failure::Internal));
        match (&failure, pop3) {
            // The password is right, for mail came with it: perhaps nobody signs in here.
            (Failure::SignInDisabled { .. } | Failure::SignInRefused { .. }, Some(login))
                if !self.plan.sends_elsewhere() =>
            {
                self.ui.say(
                    "Signing in does not work there; trying whether a POP login before the send is what it wants.",
                );
                let through = self.through_the_gate(endpoint, login, Before::Shut).await;
                through.map_err(|_| (server, failure))
            }
            (Failure::SignInDisabled { .. }, None) => {
                let open = self.plan.outgoing_server(endpoint, SendAuth::Nothing);
                let account = self.plan.account(None, vec![open.clone()]);
                match self.send(&account).await {
                    Ok(()) => Ok(open),
                    Err(_) => Err((server, failure)),
                }
            }
            _ => Err((server, failure)),
        }
    }

    /// The form that was right for fetching comes first.
    fn outgoing_names(&self, endpoint: &Endpoint, pop3: Option<&Server>) -> Vec<String> {
        let mut names = self.plan.outgoing.usernames(endpoint);
        let known = pop3.and_then(Server::credentials).filter(|_| !self.plan.sends_elsewhere());
        if let Some(index) = known.and_then(|known| names.iter().position(|name| *name == known.username)) {
            names.swap(0, index);
        }
        names
    }
}

fn outcome(ok: bool, doctor: Doctor<'_>) -> Result<(), Failure> {
    if ok {
        return Ok(());
    }
    let failure = doctor.into_steps().into_iter().rev().find_map(|step| step.failure);
    Err(failure.unwrap_or(Failure::Internal))
}

/// Whether another server of the same company may do better: this one cannot be reached or spoken to, and no password has
/// been judged.
fn is_about_the_way(failure: &Failure) -> bool {
    failure.is_unreachable()
        || matches!(
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
