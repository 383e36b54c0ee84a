//! Opens the gate of a POP-before-SMTP provider: logs in before a send, one login at a time, from the address that the SMTP
//! connection will have.
//!
//! Not here: which login counts and for how long (`ostler_mail::pop_before_smtp`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::events::event::Event;
use crate::proxy::net::dial::{Family, Route, Upstream, common_families, local_address_towards};
use crate::proxy::sign_in::{ask, connect_and_prepare, note_pop3, note_refusal};
use crate::proxy::{Engine, GateCell, now};
use ostler_mail::account::{Account, AfterPop, Server, Timeouts};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::pop_before_smtp::{LoginNeed, LoginPolicy};
use ostler_mail::pop3::login::Pop3Login;
use ostler_mail::secret::Secret;

/// How long a POP3 server may take to answer QUIT. Some servers count a login only after QUIT.
const QUIT_REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A send that needs a login first.
pub(super) struct GatedSend<'a> {
    pub(super) engine: &'a Engine,
    pub(super) account: &'a Account,
    /// The SMTP server behind the gate.
    pub(super) server: &'a Server,
    pub(super) gate: &'a AfterPop,
    /// The password the client gave at AUTH, for accounts that pass it on.
    pub(super) client_secret: Option<&'a Arc<Secret>>,
    pub(super) timeouts: &'a Timeouts,
}

/// An open gate. The SMTP connection may be made now.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenGate {
    /// How the SMTP connection has to be made: the provider recognises this computer by its address.
    pub(super) route: Route,
    /// The login was made for this send, or by another send after this one was refused.
    pub(super) login_is_new: bool,
}

impl GatedSend<'_> {
    /// Logs in unless a login still counts, and waits as long as the provider usually takes to notice it.
    pub(super) async fn ensure_login(&self, policy: LoginPolicy) -> Result<OpenGate, Failure> {
        let login = &self.gate.login;
        let cell = self.engine.gate(login);
        let families = gate_families(self.engine, self.server, login, self.timeouts).await?;
        // One send or fetch at a time. A send that has waited here asks only now whether it needs a login, so sends that
        // were refused together share the login of the first.
        let turn = cell.turn.lock().await;
        let family = choose_family(&cell, &families);
        let local = self.local_address(family).await;
        let need = cell.lock().needs_login(now(), policy, self.gate.fresh, local);
        let (route, wait, login_is_new) = match need {
            LoginNeed::Holds(wait) => {
                // From the address of the login, which may be one of several that this computer has.
                let (gate, route) = (cell.lock(), |from| Route { family, from });
                // Another send or the client's own fetch may have logged in since the refusal. That login has not been
                // tried yet.
                let is_new = matches!(policy, LoginPolicy::NewerThan(refused) if gate.has_login_since(refused));
                (route(gate.login_address()), wait, is_new)
            }
            LoginNeed::LogIn => {
                let route = self.log_in(&families).await?;
                (route, cell.lock().permission_wait(now()), true)
            }
        };
        // Waited without the turn: other sends may use the login meanwhile.
        drop(turn);
        sleep(wait).await;
        Ok(OpenGate { route, login_is_new })
    }

    /// Logs in over the first of these families that can be reached; over any family if there are none.
    async fn log_in(&self, families: &[Family]) -> Result<Route, Failure> {
        let mut left = families.iter().copied();
        loop {
            let family = left.next();
            match self.log_in_over(family).await {
                // Only a family without a route leads to the next one. A refused password is never tried twice.
                Err(failure) if failure.is_unreachable() && left.len() > 0 => {}
                done => return done.map(|from| Route { family, from }),
            }
        }
    }

    /// Says USER, PASS and QUIT, and nothing that could touch a message. Returns the address of this computer that the
    /// provider saw.
    async fn log_in_over(&self, family: Option<Family>) -> Result<Option<IpAddr>, Failure> {
        let Self { engine, account, timeouts, .. } = *self;
        let login = &self.gate.login;
        let secret = engine.secret(account, login, self.client_secret).await?;
        let route = Route { family, from: None };
        let noted = |failure: &Failure| note_refusal(engine, account, login, failure);
        let prepared = connect_and_prepare::<Pop3Login>(engine, login, timeouts, route).await.inspect_err(noted)?;
        let local = prepared.upstream().local;
        let (delay, how) = match prepared.finish(&engine.dialer, login, Some(secret), timeouts).await {
            Ok((upstream, ready)) => {
                note_pop3(engine, login, &ready);
                quit(upstream, timeouts).await;
                (ready.capabilities.login_delay, "done")
            }
            // Servers send these only after checking the password, so the login already counts.
            Err(Failure::InUse { .. }) => (None, "the mailbox is in use, which is as good"),
            Err(Failure::LoginDelay { .. }) => (None, "too soon after the last one, which is as good"),
            Err(failure) => {
                noted(&failure);
                return Err(failure);
            }
        };
        engine.gate(login).lock().on_login(now(), local, delay);
        engine.events.publish(Event::GateLoginMade { account: account.name.clone(), server: login.address(), how });
        Ok(local)
    }

    /// The address of this computer that a login would come from now. If it is not that of the last login, the network has
    /// changed and that login is worth nothing.
    async fn local_address(&self, family: Option<Family>) -> Option<IpAddr> {
        let login = &self.gate.login;
        // A failed look-up is left to the connection, which reports it.
        let addresses = self.engine.dialer.resolve(login, self.timeouts.connect).await.ok()?;
        let address = addresses.into_iter().find(|a| family.is_none_or(|f| f.has(*a)))?;
        local_address_towards((address, login.port).into())
    }
}

/// Leaves with QUIT: some servers count a login only then.
async fn quit(mut upstream: Upstream, timeouts: &Timeouts) {
    let limit = QUIT_REPLY_TIMEOUT.min(timeouts.reply);
    // The answer is awaited, whatever it says: to a server that counts at QUIT, a connection closed too soon is a session
    // cut off.
    let _ = ask(&mut upstream, "QUIT", Waiting::Answer, limit).await;
    upstream.conn.close().await;
}

/// The family of the last login if both servers have it, else the best that they share.
fn choose_family(cell: &GateCell, families: &[Family]) -> Option<Family> {
    let known = cell.lock().login_address().map(Family::of);
    known.filter(|family| families.contains(family)).or(families.first().copied())
}

/// The address families that both servers have, the best first. A login over IPv6 opens nothing for IPv4.
pub(super) async fn gate_families(
    engine: &Engine,
    server: &Server,
    login: &Server,
    timeouts: &Timeouts,
) -> Result<Vec<Family>, Failure> {
    let dialer = &engine.dialer;
    let (first, second) =
        tokio::join!(dialer.resolve(server, timeouts.connect), dialer.resolve(login, timeouts.connect));
    Ok(common_families(&first?, &second?))
}
