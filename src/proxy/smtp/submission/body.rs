//! The body of a message on its way to the provider, and the answer to its end. Once the end has left, only the provider
//! knows the outcome, and nothing is sent again.

use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::ProviderSide;
use super::provider_session::{ProviderSession, read_reply};
use crate::events::event::{Event, count};
use crate::proxy::net::conn::{ClientConn, Conn};
use crate::proxy::relay::{Ended, Limits, Sink, relay};
use crate::proxy::session::{Session, say_goodbye};
use ostler_mail::account::Account;
use ostler_mail::failure::{Failure, Waiting};
use ostler_mail::smtp::Reply;
use ostler_mail::smtp::data::{Chunking, DataFilter};
use ostler_mail::smtp::envelope::EnvelopeCommand;
use ostler_mail::smtp::mend::Mender;
use ostler_mail::smtp::words::{self, message_timed_out, outcome_unknown};

impl ProviderSide {
    /// Passes the body. Returns the reply for the client and the number of octets sent; `None` if the client is gone. Tells of
    /// a message that was not sent.
    pub(in crate::proxy::smtp) async fn body(
        &mut self,
        session: &mut Session,
        client: &mut ClientConn,
    ) -> Option<(Reply, u64)> {
        // Taken out, so that any way out of here but a good answer closes the connection.
        let provider = self.session.take()?;
        let account = Arc::clone(&provider.account);
        let mut data = self.begin_body(session, &provider);
        let mut passed = self.pass(session, client, provider, &mut data).await;
        let is_lost = matches!(passed, Passed::Broken(Failure::Lost { .. }));
        if let Some(rest) = data.by_data(is_lost) {
            data = rest;
            passed = self.pass_by_data(session, client, &mut data).await;
        }
        let octets = data.octets();
        report_nuls(session, &account, data.nuls());
        report_mended(session, &account, &data);
        let (reply, is_answered) = match passed {
            Passed::Answered(reply) => (reply, true),
            Passed::ClientGone => return None,
            Passed::TimedOut => {
                let goodbye = message_timed_out();
                report_not_sent(session, &account, goodbye.trim_end());
                say_goodbye(client, &goodbye).await;
                return None;
            }
            Passed::Refused(reply) => (reply, false),
            Passed::Broken(failure) => (report_broken(&failure, session, &account), false),
        };
        // Before the rest of the body, which may never come: the client may have given up.
        if !reply.is_ok() {
            report_not_sent(session, &account, &reply.one_line());
        }
        let is_there = is_answered || swallow(client, data, self.body_limits(), session).await;
        is_there.then_some((reply, octets))
    }

    fn begin_body(&self, session: &Session, provider: &ProviderSession) -> DataFilter {
        let mender = Mender::new(&provider.account, date());
        let data = DataFilter::new(Arc::clone(&session.progress)).mending(mender);
        if self.submission.as_ref().is_some_and(|submission| submission.is_in_pieces(&provider.offered)) {
            data.in_pieces(provider.chunking(&self.engine), provider.offered.pipelining)
        } else {
            data
        }
    }

    fn body_limits(&self) -> Limits {
        let data = self.settings.timeouts.data;
        Limits { idle: data, reply: data, data, agreed: data }
    }

    /// Passes the body over one connection, which is closed unless the provider has answered the end.
    async fn pass(
        &mut self,
        session: &mut Session,
        client: &mut ClientConn,
        mut provider: ProviderSession,
        data: &mut DataFilter,
    ) -> Passed {
        let (account, server_index) = (Arc::clone(&provider.account), provider.server_index);
        let (at, limits) = (provider.upstream.at.clone(), self.body_limits());
        let ended = relay(client, &mut provider.upstream.conn, data, limits, &mut session.stopping).await;
        let failure = ended.server_failure(&at, Waiting::Message, limits);
        if failure.is_some() {
            data.on_lost();
        }
        let passed = match (ended, failure) {
            (Ended::Over, _) if data.has_ended() => Passed::Answered(self.last_answer(provider, data).await),
            (Ended::Over, _) => Passed::Refused(provider.redacted(data.early_answer(&at.host))),
            // The end of data may have been among the last octets that left, so the provider may have the whole message.
            (Ended::ServerGone, _) if data.has_ended() => {
                Passed::Answered(outcome_unknown(&at.host, "it closed the connection"))
            }
            (Ended::TimedOut(..), _) if data.has_ended() => {
                Passed::Answered(outcome_unknown(&at.host, "it did not take the end of the message"))
            }
            (_, Some(failure)) => Passed::Broken(failure),
            (Ended::TimedOut(..), None) => Passed::TimedOut,
            (_, None) => Passed::ClientGone,
        };
        self.learn_chunking(&account, server_index, data);
        passed
    }

    /// Passes the body by DATA on a new connection, from its beginning. The provider has tripped over the first piece of it,
    /// which was not the last, so it cannot have accepted the message.
    async fn pass_by_data(&mut self, session: &mut Session, client: &mut ClientConn, data: &mut DataFilter) -> Passed {
        if let Some(submission) = &mut self.submission {
            submission.give_body_by_data();
        }
        let reply = self.submit(session, EnvelopeCommand::Data).await;
        match self.session.take() {
            Some(provider) if reply.code == 354 => self.pass(session, client, provider, data).await,
            session => {
                self.session = session;
                Passed::Refused(reply)
            }
        }
    }

    /// Remembers what this message has shown of the provider's BDAT.
    fn learn_chunking(&self, account: &Account, server_index: usize, data: &DataFilter) {
        let (Some(known), Some(server)) = (data.chunking(), account.smtp.get(server_index)) else { return };
        let before = self.engine.learned(server).chunking;
        if before == known {
            return;
        }
        self.engine.learn(server, |learned| learned.chunking = known);
        if known == Chunking::Fails {
            let text = format!(
                "account {}: {} offers CHUNKING and trips over BDAT; messages go there by DATA until ostler is started again \
                 (chunking = false in the settings file says so for good)",
                account.name, server.host
            );
            self.engine.events.publish(Event::Warning(text));
        }
    }

    /// Waits for the answer to the end of data.
    async fn last_answer(&mut self, mut provider: ProviderSession, data: &mut DataFilter) -> Reply {
        let limit = self.settings.timeouts.last;
        let heard = read_reply(&mut provider.upstream, Waiting::FinalDot, limit, Instant::now() + limit).await;
        data.on_last_answer(&heard);
        let (reply, goes_on) = data.last_answer(&provider.upstream.at.host, heard);
        if goes_on {
            provider.rest();
            self.session = Some(provider);
        }
        reply
    }
}

/// What became of a body on one connection.
enum Passed {
    /// Its end has left, and this is the answer.
    Answered(Reply),
    /// The provider has refused it before its end.
    Refused(Reply),
    /// The connection broke before its end.
    Broken(Failure),
    /// The client has gone.
    ClientGone,
    /// The client has stopped sending, and is still there.
    TimedOut,
}

/// Tells of a message that the provider has not taken.
fn report_not_sent(session: &Session, account: &Account, why: &str) {
    let event = Event::NotSent { account: account.name.clone(), why: why.to_owned() };
    session.engine.events.publish(event);
}

/// Tells that the message was changed: NUL octets were taken out.
fn report_nuls(session: &Session, account: &Account, nuls: u64) {
    if nuls > 0 {
        let octets = count(nuls, "NUL octet");
        let text = format!(
            "account {}: {octets} taken out of a message, since mail may have none and some servers take what is around it for the end",
            account.name
        );
        session.engine.events.publish(Event::Warning(text));
    }
}

/// The present, as mail has it (RFC 5322, 3.3).
fn date() -> String {
    let now = OffsetDateTime::now_local().unwrap_or_else(|_| OffsetDateTime::now_utc());
    now.format(&Rfc2822).unwrap_or_default()
}

/// Tells what was added to the message.
fn report_mended(session: &Session, account: &Account, data: &DataFilter) {
    if !data.mended().is_empty() {
        let event = Event::Mended { account: account.name.clone(), repairs: data.mended().to_vec() };
        session.engine.events.publish(event);
    }
}

/// The reply when the connection broke in the middle of the body. The end of data was not sent, so the message was not.
fn report_broken(failure: &Failure, session: &Session, account: &Account) -> Reply {
    session.report(Some(account), failure);
    Reply::from_line(&words::failure(failure))
}

/// Reads the rest of a body that goes nowhere any more. A client listens for a reply only after the end of its data.
async fn swallow(client: &mut ClientConn, data: DataFilter, limits: Limits, session: &mut Session) -> bool {
    let mut data = data.swallow();
    if !data.is_complete() {
        relay(client, &mut Conn::new(Sink), &mut data, limits, &mut session.stopping).await;
    }
    data.is_complete()
}
