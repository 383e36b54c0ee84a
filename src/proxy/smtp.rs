//! An SMTP session: hears the client, and gives each message to [`submission`], which has the provider's side.

pub(in crate::proxy) mod kept;
pub(crate) mod submission;

use std::convert::Infallible;
use std::sync::Arc;

use crate::events::event::Event;
use crate::proxy::hear::{After, Dialogue, hear_out};
use crate::proxy::net::conn::ClientConn;
use crate::proxy::session::{Session, has_early_input, password_as_secret};
use ostler_mail::account::Account;
use ostler_mail::choose::only;
use ostler_mail::client_fault::Misuse;
use ostler_mail::machine::Front;
use ostler_mail::sasl::Attempt;
use ostler_mail::smtp::envelope::{EnvelopeCommand, Upcoming};
use ostler_mail::smtp::front::{SmtpFront, Wants};
use ostler_mail::smtp::{Mail, Reply};
use submission::ProviderSide;

/// Serves a client until its connection ends.
pub(super) async fn serve(session: &mut Session, client: &mut ClientConn) {
    let size = known_size(session);
    let front = SmtpFront::new(Arc::clone(&session.settings), session.door_account.clone(), session.stamp(), size);
    let provider = ProviderSide::new(Arc::clone(&session.engine), Arc::clone(&session.settings));
    let mut dialogue = SmtpDialogue { front, provider };
    // Boxed, so that the memory of a send is not a part of every task.
    Box::pin(async {
        hear_out(session, client, &mut dialogue).await;
        dialogue.provider.end().await;
    })
    .await;
}

/// The largest message that the provider takes, if it is clear which provider that is and it has said so before.
fn known_size(session: &Session) -> Option<u64> {
    let account = session.door_account.as_ref().or_else(|| only(&session.settings.accounts))?;
    session.engine.learned(account.smtp.first()?).size
}

/// A whole SMTP session. One client may send several messages, for several accounts.
struct SmtpDialogue {
    front: SmtpFront,
    provider: ProviderSide,
}

/// An SMTP client stays in the first act to its end: no one else serves it after a sign-in.
type Next = After<Infallible>;

impl Dialogue for SmtpDialogue {
    type Front = SmtpFront;
    type SignedIn = Infallible;

    fn front(&mut self) -> &mut SmtpFront {
        &mut self.front
    }

    async fn prepare(&mut self) {
        self.provider.connect_early(&self.front);
        // Only one of them has something to do.
        if self.provider.has_early() {
            self.provider.drive_early().await;
        } else {
            self.provider.end_after_sign_out().await;
        }
    }

    async fn handle(&mut self, session: &mut Session, client: &mut ClientConn, wants: Wants) -> Next {
        match wants {
            Wants::Authenticate(account, attempt) => self.authenticate(session, account, &attempt).await,
            Wants::Mail(account, mail) => self.begin_message(session, &account, mail).await,
            Wants::Rcpt(recipient) => self.add_recipient(session, client, recipient).await,
            Wants::Data => self.send_body(session, client).await,
            Wants::DataRefused(_) if has_early_input(client).await => After::Misused(Misuse::EarlyData),
            Wants::DataRefused(reply) => {
                self.provider.end_refused_data().await;
                After::GoOn(reply)
            }
        }
    }
}

impl SmtpDialogue {
    async fn authenticate(&mut self, session: &mut Session, account: Option<Arc<Account>>, attempt: &Attempt) -> Next {
        if !session.settings.wants_password() {
            // The door has let this client in. AUTH proves nothing here and is always granted: Netscape signs in
            // wherever it is offered, Outlook may be set to insist on it.
            self.provider.sign_in_with(password_as_secret(attempt)).await;
            return After::GoOn(self.end_authentication(session, account, true));
        }
        match session.knows_password(account.as_deref(), &attempt.proof).await {
            Ok(false) if session.has_guessed_enough() => After::Misused(session.guessing_misuse()),
            Ok(holds) => After::GoOn(self.end_authentication(session, account, holds)),
            Err(failure) => {
                session.report(account.as_deref(), &failure);
                After::GoOn(self.front.refusal(&failure))
            }
        }
    }

    /// The reply to AUTH. The status learns who has signed in, if the name is that of an account.
    fn end_authentication(&mut self, session: &Session, account: Option<Arc<Account>>, holds: bool) -> String {
        if let Some(account) = account.as_ref().filter(|_| holds) {
            session.report_account(account);
            session.report_sign_in();
        }
        self.front.on_authentication(account, holds)
    }

    async fn begin_message(&mut self, session: &Session, account: &Arc<Account>, mail: Mail) -> Next {
        session.report_account(account);
        session.report_activity("beginning a message");
        self.provider.begin_message(account, mail);
        let reply = self.provider.submit(session, EnvelopeCommand::Mail).await;
        pass_on(&reply, self.front.on_mail_reply(&reply))
    }

    async fn add_recipient(&mut self, session: &Session, client: &ClientConn, recipient: String) -> Next {
        let ahead =
            if self.provider.can_look_ahead() { self.front.upcoming(client.unused()) } else { Upcoming::default() };
        let reply = self.provider.submit_with(session, EnvelopeCommand::Rcpt(recipient), ahead).await;
        let text = if self.provider.mail_was_refused() {
            self.front.on_late_refusal(&reply)
        } else {
            self.front.on_rcpt_reply(&reply)
        };
        pass_on(&reply, text)
    }

    /// Sends DATA and the body, and answers the end of data.
    async fn send_body(&mut self, session: &mut Session, client: &mut ClientConn) -> Next {
        let Some(transaction) = self.front.transaction() else { return After::Gone };
        let (account, size) = (Arc::clone(&transaction.account), transaction.mail.size);
        let recipients = transaction.recipients;
        let reply = self.provider.submit(session, EnvelopeCommand::Data).await;
        if has_early_input(client).await {
            // Whatever the reply is, what came before it is a body, and must never be heard as commands.
            self.provider.drop_session();
            return After::Misused(Misuse::EarlyData);
        }
        if reply.code != 354 {
            session.engine.events.publish(Event::NotSent { account: account.name.clone(), why: reply.one_line() });
            return pass_on(&reply, self.front.on_message_reply(&reply));
        }
        session.report_activity("sending a message");
        if !session.say(client, &format!("{}\r\n", reply.one_line())).await {
            // The provider waits for a body, and would take QUIT for its first line.
            self.provider.drop_session();
            return After::Gone;
        }
        session.messages_begun += 1;
        session.progress.begin_message(session.messages_begun, None, size);
        let Some((reply, octets)) = self.provider.body(session, client).await else { return After::Gone };
        session.progress.clear();
        let account = account.name.clone();
        if reply.is_ok() {
            session.engine.events.publish(Event::Sent { account, recipients, octets });
        }
        session.report_activity("signed in");
        pass_on(&reply, self.front.on_message_reply(&reply))
    }
}

/// Passes a provider's reply on. A server that says 421 closes the connection (RFC 5321, 3.8), and so does ostler.
fn pass_on(reply: &Reply, text: String) -> Next {
    if reply.code == 421 { After::Close(text) } else { After::GoOn(text) }
}
