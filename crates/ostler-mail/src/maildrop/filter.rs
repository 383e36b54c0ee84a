//! A POP3 session over IMAP: the filter of every POP3 session, with a POP3 server behind it that is made here (`serve`).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::failure::Failure;
use crate::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use crate::maildrop::login::Opened;
use crate::maildrop::serve::MaildropServer;
use crate::pop3::filter::Pop3Filter;
use crate::progress::Progress;
use crate::readable::Readable;

/// A [`Filter`] between a POP3 client and an IMAP server.
#[derive(Debug)]
pub struct MaildropFilter {
    pop3: Pop3Filter,
    maildrop: MaildropServer,
    /// Commands of the client that wait for their turn, in order.
    waiting: VecDeque<Vec<u8>>,
    /// Answers that `pop3` has not taken yet.
    untaken: Vec<u8>,
}

impl AsRef<Pop3Filter> for MaildropFilter {
    fn as_ref(&self) -> &Pop3Filter {
        &self.pop3
    }
}

impl MaildropFilter {
    /// A session with an opened maildrop. Keeps `progress` up to date.
    pub fn new(opened: Opened, progress: Arc<Progress>) -> Self {
        let (pop3, maildrop) = (Pop3Filter::new(progress, false), MaildropServer::new(opened));
        Self { pop3, maildrop, waiting: VecDeque::new(), untaken: Vec::new() }
    }

    /// Makes messages readable for a client that can read this.
    #[must_use]
    pub fn reading(self, readable: Option<Readable>) -> Self {
        Self { pop3: self.pop3.reading(readable), ..self }
    }

    /// Why the server closes the connection, if it has said so.
    pub fn bye(&self) -> Option<&str> {
        self.maildrop.bye()
    }

    /// Whether the client's deletions are on their way.
    pub fn is_committing(&self) -> bool {
        self.maildrop.is_committing()
    }

    /// What the server wants people to read. Each text is returned once.
    pub fn take_alerts(&mut self) -> Vec<String> {
        self.maildrop.take_alerts()
    }

    /// The UIDs of messages that are marked as deleted by this session or an earlier one and were not removed. `None`: this one
    /// has changed nothing of that.
    pub fn left_marks(&self) -> Option<Vec<u32>> {
        self.maildrop.left_marks()
    }

    /// Why messages were not deleted that should be, if so. Returned once.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.maildrop.take_failure()
    }

    /// Hands what the maildrop says to client and server.
    fn hand_on(&mut self, said: Replies, say: &mut Replies) -> Result<(), ProtocolViolation> {
        say.server.extend_from_slice(&said.server);
        self.answer(&said.client, say)
    }

    /// Hands an answer of the maildrop to the client, through the filter that every answer passes.
    fn answer(&mut self, octets: &[u8], say: &mut Replies) -> Result<(), ProtocolViolation> {
        if octets.is_empty() {
            return Ok(());
        }
        let mut input = std::mem::take(&mut self.untaken);
        input.extend_from_slice(octets);
        let mut at = 0;
        while at < input.len() {
            let mut said = Replies::default();
            let pass = self.pop3.server_said(&input[at..], &mut said)?;
            let used = give(pass, &input[at..], &mut said, say);
            if used == 0 {
                break;
            }
            at += used;
        }
        input.drain(..at);
        self.untaken = input;
        Ok(())
    }

    /// Octets of a message pass as they are, unless the filter changes them.
    fn forward(&mut self, octets: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        if !self.untaken.is_empty() || !say.client.is_empty() {
            self.answer(octets, say)?;
            return Ok(Pass::Replaced(octets.len()));
        }
        let mut said = Replies::default();
        let pass = self.pop3.server_said(octets, &mut said)?;
        if pass == Pass::Forward(octets.len()) && said.client.is_empty() {
            return Ok(pass);
        }
        let taken = give(pass, octets, &mut said, say);
        self.answer(&octets[taken..], say)?;
        Ok(Pass::Replaced(octets.len()))
    }

    /// Begins what waits, as long as the maildrop is free.
    fn go_on(&mut self, say: &mut Replies) -> Result<(), ProtocolViolation> {
        while !self.maildrop.is_busy() {
            let Some(command) = self.waiting.pop_front() else { break };
            let mut said = Replies::default();
            self.maildrop.command(&command, &mut said);
            self.hand_on(said, say)?;
        }
        Ok(())
    }

    /// Takes command lines that have passed the filter.
    fn wait_in_line(&mut self, commands: &[u8]) {
        let lines = commands.split_inclusive(|b| *b == b'\n');
        // Nothing but the line end: both have to read the same verb, or the answer is not the one that is expected.
        self.waiting.extend(lines.map(|line| line.strip_suffix(b"\r\n").unwrap_or(line).to_vec()));
    }
}

/// Gives the client what the POP3 filter makes of octets. Returns how many it has used.
fn give(pass: Pass, octets: &[u8], said: &mut Replies, say: &mut Replies) -> usize {
    let (forwarded, used) = match pass {
        Pass::Forward(octets) => (octets, octets),
        Pass::Announced { forwarded, used } => {
            say.client.append(&mut said.client);
            (forwarded, used)
        }
        Pass::Replaced(used) => (0, used),
        Pass::NeedMore | Pass::Stop => (0, 0),
    };
    say.client.extend_from_slice(&octets[..forwarded]);
    say.client.append(&mut said.client);
    used
}

impl Filter for MaildropFilter {
    fn server_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let mut said = Replies::default();
        let pass = self.maildrop.server_said(input, &mut said)?;
        self.hand_on(said, say)?;
        let pass = match pass {
            Pass::Forward(octets) => self.forward(&input[..octets], say)?,
            Pass::Announced { .. } | Pass::Replaced(_) | Pass::NeedMore | Pass::Stop => pass,
        };
        self.go_on(say)?;
        Ok(pass)
    }

    fn client_said(&mut self, input: &[u8], say: &mut Replies) -> Result<Pass, ProtocolViolation> {
        let mut said = Replies::default();
        let pass = self.pop3.client_said(input, &mut said)?;
        self.wait_in_line(&said.server);
        self.go_on(say)?;
        Ok(pass)
    }

    fn say_more(&mut self, say: &mut Replies) -> Result<(), ProtocolViolation> {
        let mut said = Replies::default();
        self.maildrop.say_more(&mut said);
        self.hand_on(said, say)?;
        self.go_on(say)
    }

    fn wants_client(&self) -> bool {
        self.waiting.is_empty() && !self.maildrop.is_busy() && self.pop3.wants_client()
    }

    fn client_ended(&mut self, rest: &[u8], say: &mut Replies) -> bool {
        let mut said = Replies::default();
        let waits = self.pop3.client_ended(rest, &mut said);
        self.wait_in_line(&said.server);
        // What it says is checked when the server speaks next.
        waits && self.go_on(say).is_ok()
    }

    fn clock(&self) -> (Clock, u64) {
        let (clock, ticks) = self.pop3.clock();
        // Deletions that the client has asked for go on to their end, as a message does.
        let clock = match clock {
            _ if self.maildrop.is_committing() => Clock::Message,
            // The provider owes an answer that the client does not wait for: to `mark_read`.
            Clock::ClientIdle if self.maildrop.is_busy() => Clock::Reply,
            clock => clock,
        };
        (clock, ticks + self.maildrop.ticks())
    }

    fn message_from(&self) -> Party {
        Party::Server
    }

    fn is_over(&self) -> bool {
        self.pop3.is_over()
    }
}

#[cfg(test)]
mod tests;
