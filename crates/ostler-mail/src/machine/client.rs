//! A client as every [`Front`](super::Front) sees it: the door it came through, the exchange of AUTH under way, and what it
//! has said wrong so far. Replies come from the protocol, because each has words of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Answer;
use crate::account::{Account, NearbyDoor, Protocol, Settings};
use crate::choose;
use crate::client_fault::{ClientMisconfiguration, Misuse};
use crate::failure::Failure;
use crate::sasl::{Acceptor, AuthStep, Mechanism};
use crate::wire::Line;

/// The most commands of a client that is not at work yet. No real one needs more than six.
pub(crate) const MAX_EARLY_COMMANDS: usize = 20;
/// The most bad commands on one connection.
pub(crate) const MAX_BAD_COMMANDS: usize = 5;

/// What every front keeps of its client.
pub struct ClientState {
    /// The protocol of the door.
    protocol: Protocol,
    pub(crate) settings: Arc<Settings>,
    /// The account this door leads to, if it is a door of one account.
    pub(crate) door_account: Option<Arc<Account>>,
    /// The address of this computer to which the client came.
    came_to: IpAddr,
    /// A unique message identifier (RFC 1939, section 7), the challenge of APOP and CRAM-MD5.
    pub(crate) stamp: String,
    exchange: Option<Acceptor>,
    commands: usize,
    bad_commands: usize,
    misconfiguration: Option<ClientMisconfiguration>,
}

impl ClientState {
    /// A client on this computer that has said nothing yet.
    pub(crate) fn new(
        protocol: Protocol,
        settings: Arc<Settings>,
        door_account: Option<Arc<Account>>,
        stamp: String,
    ) -> Self {
        Self {
            protocol,
            settings,
            door_account,
            came_to: Ipv4Addr::LOCALHOST.into(),
            stamp,
            exchange: None,
            commands: 0,
            bad_commands: 0,
            misconfiguration: None,
        }
    }

    /// The client came to this address of this computer, and is told only of doors that it can reach from where it is.
    pub fn has_come_to(&mut self, address: IpAddr) {
        self.came_to = address;
    }

    /// Whether the client has to give the local password.
    pub(crate) fn wants_password(&self) -> bool {
        self.settings.wants_password()
    }

    /// The account that the client means by a user name. A door of one account decides whatever the name is.
    pub(crate) fn find_account(&self, name: &str) -> Result<Arc<Account>, Failure> {
        match &self.door_account {
            Some(account) => Ok(Arc::clone(account)),
            None => choose::by_user_name(&self.settings.accounts, name),
        }
    }

    /// Whether the next line answers a challenge of AUTH.
    pub(crate) fn is_in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    /// Begins AUTH. `arguments` are the mechanism and perhaps an initial response. `None`: ostler does not have the
    /// mechanism, which is noted as a mistake in the settings of the program.
    pub(crate) fn begin_auth(&mut self, arguments: &str) -> Option<AuthStep> {
        let mut arguments = arguments.split_whitespace();
        let mechanism = arguments
            .next()
            .and_then(Mechanism::from_name)
            // A digest can only be checked against a password that ostler knows.
            .filter(|m| *m != Mechanism::CramMd5 || self.wants_password());
        let Some(mechanism) = mechanism else {
            self.note(ClientMisconfiguration::Secure);
            return None;
        };
        let (exchange, step) = Acceptor::begin(mechanism, arguments.next().map(str::as_bytes), &self.stamp);
        self.exchange = Some(exchange);
        Some(self.end_unless_challenged(step))
    }

    /// Takes a line as the response to a challenge of AUTH. `None`: there is no exchange, so the line is a command.
    pub(super) fn respond(&mut self, line: &Line) -> Option<AuthStep> {
        let step = self.exchange.as_mut()?.on_response(line.bytes());
        Some(self.end_unless_challenged(step))
    }

    /// Unless there is another challenge, the exchange is over, however it ended: the next line is a command again.
    fn end_unless_challenged(&mut self, step: AuthStep) -> AuthStep {
        if !matches!(step, AuthStep::Challenge(_)) {
            self.exchange = None;
        }
        step
    }

    /// Counts a command. Returns whether there were too many for a client that is not at work yet.
    pub(super) fn count_command(&mut self) -> bool {
        self.commands += 1;
        self.commands > MAX_EARLY_COMMANDS
    }

    /// Counts a bad command and answers it. Too many of them show that the client is not a mail program.
    pub(crate) fn bad<Wants>(&mut self, reply: &str) -> Answer<Wants> {
        self.bad_commands += 1;
        if self.bad_commands > MAX_BAD_COMMANDS {
            Answer::Misused(Misuse::TooManyCommands)
        } else {
            Answer::line(reply)
        }
    }

    /// Notes a mistake in the settings of the program, to be reported.
    pub(crate) fn note(&mut self, misconfiguration: ClientMisconfiguration) {
        self.misconfiguration = Some(misconfiguration);
    }

    /// Answers a bad command that shows a mistake in the settings of the program.
    pub(crate) fn misconfigured<Wants>(
        &mut self,
        misconfiguration: ClientMisconfiguration,
        reply: &str,
    ) -> Answer<Wants> {
        self.note(misconfiguration);
        self.bad(reply)
    }

    /// Answers a command of another protocol: the program has the port of this door where that for the other belongs.
    /// `reply` makes the reply from the other door.
    pub(crate) fn wrong_door<Wants>(
        &mut self,
        speaks: Protocol,
        reply: impl FnOnce(Option<NearbyDoor>) -> String,
    ) -> Answer<Wants> {
        let door = self.nearby_door(speaks);
        self.misconfigured(ClientMisconfiguration::WrongDoor { speaks, door }, &reply(door))
    }

    /// The client leaves. A program that expects the greeting of another protocol waits for it, gives up, and has said
    /// nothing.
    pub(super) fn note_leaving(&mut self) {
        if self.commands == 0 {
            let door = self.nearby_door(self.protocol.counterpart());
            self.note(ClientMisconfiguration::Silent { at: self.protocol, door });
        }
    }

    pub(super) fn take_misconfiguration(&mut self) -> Option<ClientMisconfiguration> {
        self.misconfiguration.take()
    }

    fn nearby_door(&self, protocol: Protocol) -> Option<NearbyDoor> {
        self.settings.nearby_door(protocol, self.door_account.as_deref(), self.came_to)
    }
}
