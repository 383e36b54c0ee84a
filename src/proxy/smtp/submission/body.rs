//! The body of a message on its way to the provider, and the answer to its end. Once the end has left, only the provider
//! knows the outcome, and nothing is sent again.

use std::sync::Arc;
use std::time::Duration;

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
use ostler_mail::smtp::data::DataFilter;
use ostler_mail::smtp::mend::Mender;
use ostler_mail::smtp::words::{self, message_timed_out, outcome_unknown};

impl ProviderSide {
    /// Passes the body. Returns the reply for the client and the number of octets sent; `None` if the client is gone.
    pub(in crate::proxy::smtp) async fn body(
        &mut self,
        session: &mut Session,
        client: &mut ClientConn,
    ) -> Option<(Reply, u64)> {
        let timeouts = self.settings.timeouts.clone();
        let limits = Limits { idle: timeouts.data, reply: timeouts.data, data: timeouts.data, agreed: timeouts.data };
        // Taken out, so that any way out of here but a good answer closes the connection.
        let mut provider = self.session.take()?;
        let mender = Mender::new(&provider.account, date());
        let mut data = DataFilter::new(Arc::clone(&session.progress)).mending(mender);
        let at = provider.upstream.at.clone();
        let ended = relay(client, &mut provider.upstream.conn, &mut data, limits, &mut session.stopping).await;
        let octets = data.octets();
        report_nuls(session, &provider.account, data.nuls());
        report_mended(session, &provider.account, &data);
        let refusal = match ended {
            Ended::Over if data.is_complete() => {
                let reply = self.last_answer(provider, &data, timeouts.last).await;
                return Some((reply, octets));
            }
            Ended::Over => data.early_answer(&at.host),
            // The end of data may have been among the last octets that left, so the provider may have the whole message.
            Ended::ServerGone if data.is_complete() => {
                return Some((outcome_unknown(&at.host, "it closed the connection"), octets));
            }
            Ended::TimedOut(..) if data.is_complete() => {
                return Some((outcome_unknown(&at.host, "it did not take the end of the message"), octets));
            }
            ended => match ended.server_failure(&at, Waiting::Message, limits) {
                Some(failure) => report_broken(&failure, session, &provider.account),
                None => {
                    if let Ended::TimedOut(..) = ended {
                        say_goodbye(client, &message_timed_out()).await;
                    }
                    return None;
                }
            },
        };
        // First, for the rest of the body may take minutes: without the end of data the provider drops what it has (RFC
        // 5321, 4.1.1.10).
        drop(provider);
        swallow(client, data, limits, session).await.then_some((refusal, octets))
    }

    /// Waits for the answer to the end of data.
    async fn last_answer(&mut self, mut provider: ProviderSession, data: &DataFilter, limit: Duration) -> Reply {
        let heard = read_reply(&mut provider.upstream, Waiting::FinalDot, limit, Instant::now() + limit).await;
        let (reply, goes_on) = data.last_answer(&provider.upstream.at.host, heard);
        if goes_on {
            provider.rest();
            self.session = Some(provider);
        }
        reply
    }
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
