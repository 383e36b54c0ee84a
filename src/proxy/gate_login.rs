//! Opens the gate of a POP-before-SMTP provider: the login before a send, in its turn, from the address and family the
//! SMTP connection will have. What counts and for how long is decided in `gate.rs`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::events::event::Event;
use crate::proxy::net::dial::{Family, Route, common_families, local_address_towards};
use crate::proxy::sign_in::{hear, say};
use crate::proxy::{Engine, now};
use ostler_mail::account::{Account, AfterPop, Server, Timeouts};
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::machine::Outgoing;
use ostler_mail::pop_before_smtp::Entry;
use ostler_mail::secret::Secret;

/// How long the answer to QUIT is waited for: servers that count a login at its end want it, no more.
const QUIT: Duration = Duration::from_secs(5);

/// Whether a send wants a login before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// If the settings say so.
    AsSet,
    /// In any case: the provider said no.
    Anew,
    /// Not if there was one at all lately: a login just made may need time, not company.
    Keep,
}

/// While a refusal is being healed, a login so old is still the one to wait for.
const LATELY: Duration = Duration::from_secs(60);

/// The way through the gate.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// How the SMTP connection has to be made.
    pub route: Route,
    /// Whether a login was made just for this.
    pub login_is_new: bool,
}

impl Engine {
    /// Sees to it that a login of the account holds.
    pub async fn enter_gate(
        &self,
        account: &Account,
        server: &Server,
        gate: &AfterPop,
        given: Option<&Arc<Secret>>,
        wish: Wish,
        timeouts: &Timeouts,
    ) -> Result<Passed, Failure> {
        let cell = self.gate(&gate.login);
        let families = self.gate_families(server, &gate.login, timeouts).await?;
        let family =
            cell.lock().known_as().map(Family::of).filter(|f| families.contains(f)).or(families.first().copied());
        let turn = cell.turn.lock().await;
        let local = self.local_address(&gate.login, family, timeouts).await;
        let fresh = if wish == Wish::Keep { gate.fresh.max(LATELY) } else { gate.fresh };
        let entry = cell.lock().enter(now(), fresh, local);
        let may_log_in = !cell.lock().has_session();
        match entry {
            Entry::Open(wait) if !(wish == Wish::Anew && may_log_in) => {
                drop(turn);
                sleep(wait).await;
                let from = cell.lock().known_as();
                Ok(Passed { route: Route { family, from }, login_is_new: false })
            }
            Entry::Open(_) | Entry::LogIn => {
                let (family, from) = self.log_in_by(account, &gate.login, &families, given, timeouts).await?;
                let wait = match cell.lock().enter(now(), gate.fresh.max(Duration::from_secs(1)), None) {
                    Entry::Open(wait) => wait,
                    Entry::LogIn => Duration::ZERO,
                };
                drop(turn);
                sleep(wait).await;
                Ok(Passed { route: Route { family, from }, login_is_new: true })
            }
        }
    }

    /// The families both servers can be reached by, the best first.
    pub async fn gate_families(
        &self,
        server: &Server,
        login: &Server,
        timeouts: &Timeouts,
    ) -> Result<Vec<Family>, Failure> {
        let (first, second) =
            tokio::join!(self.dialer.resolve(server, timeouts.connect), self.dialer.resolve(login, timeouts.connect));
        Ok(common_families(&first?, &second?))
    }

    /// Logs in by the first of these families that works; with none, by whatever there is.
    async fn log_in_by(
        &self,
        account: &Account,
        login: &Server,
        families: &[Family],
        given: Option<&Arc<Secret>>,
        timeouts: &Timeouts,
    ) -> Result<(Option<Family>, Option<IpAddr>), Failure> {
        let mut left = families.iter().copied();
        loop {
            let family = left.next();
            match self.log_in(account, login, family, given, timeouts).await {
                Err(failure) if failure.is_unreachable() && left.len() > 0 => {}
                done => return done.map(|from| (family, from)),
            }
        }
    }

    async fn local_address(&self, login: &Server, family: Option<Family>, timeouts: &Timeouts) -> Option<IpAddr> {
        let addresses = self.dialer.resolve(login, timeouts.connect).await.ok()?;
        let address = addresses.into_iter().find(|a| family.is_none_or(|f| f.has(*a)))?;
        local_address_towards((address, login.port).into())
    }

    /// USER, PASS, QUIT, and nothing else: no STAT, no list, nothing that could touch a message.
    async fn log_in(
        &self,
        account: &Account,
        login: &Server,
        family: Option<Family>,
        given: Option<&Arc<Secret>>,
        timeouts: &Timeouts,
    ) -> Result<Option<IpAddr>, Failure> {
        let secret = self.secret(account, login, given).await?;
        let route = Route { family, from: None };
        let prepared =
            self.prepare_pop3(login, timeouts, route).await.inspect_err(|f| self.note_refusal(account, login, f))?;
        let (crate::proxy::sign_in::Prepared::WantsSecret(upstream, _)
        | crate::proxy::sign_in::Prepared::Done(upstream, _)) = &prepared;
        let local = upstream.local;
        let cell = self.gate(login);
        let (delay, how) = match prepared.finish(&self.dialer, Some(secret), timeouts).await {
            Ok((mut upstream, ready)) => {
                self.learn(login, |learned| learned.pop3 = Some(ready.known.clone()));
                let limit = QUIT.min(timeouts.reply);
                if say(&mut upstream, &Outgoing::line("QUIT"), Waiting::Answer, limit).await.is_ok() {
                    let _ = hear(&mut upstream, Waiting::Answer, limit, Instant::now() + limit).await;
                }
                upstream.conn.close().await;
                (ready.known.login_delay, "done")
            }
            // Both are said only to whoever gave the right password, and servers have noted the login by then.
            Err(Failure::InUse { .. }) => (None, "the mailbox is in use, which is as good"),
            Err(Failure::LoginDelay { .. }) => (None, "too soon after the last one, which is as good"),
            Err(failure) => {
                self.note_refusal(account, login, &failure);
                return Err(failure);
            }
        };
        cell.lock().logged_in(now(), local, delay);
        self.events.publish(Event::GateOpened { account: account.name.clone(), server: login.address(), how });
        Ok(local)
    }
}
