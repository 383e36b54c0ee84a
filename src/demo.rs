//! `ostler demo`: a provider made for it, two old mail programs, and ostler's real engine between them, all on this
//! computer. Nothing else uses this code. The demo needs no network and no keyring, and writes no file: the engine gets
//! the certificate authority and the password in memory ([`Scene::ca_pem`], [`Scene::password`]).
//!
//! Not here: the engine and its doors, which `run.rs` starts on [`Scene::settings`].

mod authority;
mod client;
mod imap;
mod mailroom;
mod pop;
mod provider;
mod run;
mod sample_mail;
mod smtp;
mod spoken;
mod text;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::config::DEFAULT_FRESH;
use client::Program;
pub(crate) use mailroom::{ADDRESS, FOREIGN, USER};
use mailroom::{Counts, Mailbox};
use ostler_mail::account::{
    Access, Account, AfterPop, Credentials, DEFAULT_IMAP_CONNECTIONS, Door, Folder, PasswordCharset, Protocol,
    SecretSource, Security, Server, Settings, SignIn, Timeouts, Trust,
};
use ostler_mail::secret::Secret;
use ostler_mail::wire::hex;
use provider::Provider;
pub(crate) use run::{Options, main};
use spoken::{Page, Recorder, SpokenLine};

/// How long the gate stays open after a login. No known provider has a shorter window.
const GATE_WINDOW: Duration = Duration::from_secs(120);
/// For ostler to end its connections to the provider after an act, so that their last lines are printed under its
/// heading. Nothing else depends on it.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(300);
const EUDORA: &str = "Eudora";
const OUTLOOK: &str = "Outlook Express";
const NETSCAPE: &str = "Netscape";

/// Where ostler listens for the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doors {
    /// For fetching.
    pub pop3: SocketAddr,
    /// For sending.
    pub smtp: SocketAddr,
    /// For reading by IMAP.
    pub imap: SocketAddr,
}

/// A running provider, and what the demo is played with. Dropping it ends the provider.
pub(crate) struct Scene {
    provider: Provider,
    password: Arc<Secret>,
    recorder: Recorder,
    spoken_rx: UnboundedReceiver<SpokenLine>,
}

impl Scene {
    /// Starts the provider.
    pub(crate) async fn start() -> Result<Self, String> {
        let password = Arc::new(Secret::new(random_hex()?).map_err(|why| format!("no password for the demo: {why}"))?);
        let (recorder, spoken_rx) = Recorder::new(USER, Arc::clone(&password));
        let provider = Provider::start(GATE_WINDOW, Arc::clone(&password), random_hex()?, &recorder).await?;
        Ok(Self { provider, password, recorder, spoken_rx })
    }

    /// The certificate of the demo's own authority. It must be trusted for [`Scene::trust`] only.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.provider.ca_pem
    }

    /// The trust policy of the account's servers. The file that it names does not exist; the root is in memory.
    pub(crate) fn trust() -> Trust {
        Trust { ca: Some(PathBuf::from("<ostler demo, in memory>")), pin: None }
    }

    /// The password of [`USER`] at the provider; each run has another one.
    pub(crate) fn password(&self) -> Arc<Secret> {
        Arc::clone(&self.password)
    }

    /// The account: POP3 and IMAP over TLS, SMTP over TLS after a POP login. `trust` is [`Scene::trust`] unless the caller has
    /// put [`Scene::ca_pem`] somewhere else.
    pub(crate) fn account(&self, secret: SecretSource, trust: Trust) -> Account {
        let server = |protocol, port, sign_in| Server {
            protocol,
            host: "localhost".into(),
            port,
            security: Security::Tls,
            trust: trust.clone(),
            sign_in,
            chunking: true,
        };
        let credentials = Credentials { username: USER.into(), secret, charset: PasswordCharset::Utf8 };
        let imap = server(Protocol::Imap, self.provider.imap, SignIn::Password(credentials.clone()));
        let pop3 = server(Protocol::Pop3, self.provider.pop3, SignIn::Password(credentials));
        let gate = AfterPop { login: pop3.clone(), fresh: DEFAULT_FRESH };
        let smtp = server(Protocol::Smtp, self.provider.smtp, SignIn::AfterPop(Arc::new(gate)));
        Account {
            name: "demo".into(),
            address: ADDRESS.into(),
            aliases: Vec::new(),
            provider: None,
            // With `--stay`, a real mail program may send with any sender address.
            is_default: true,
            offer_auth: true,
            read_ahead: true,
            oauth2: None,
            local_password: None,
            readable: None,
            mend: vec![],
            folder: Folder::default(),
            pop3: Some(pop3),
            smtp: vec![smtp],
            imap: Some(imap),
            imap_connections: DEFAULT_IMAP_CONNECTIONS,
        }
    }

    /// Settings with only that account, and doors at `doors` (port 0 is any free port).
    pub(crate) fn settings(&self, doors: Doors, secret: SecretSource, trust: Trust) -> Settings {
        let door = |protocol, address| Door { protocol, address, is_companion: false, account: None };
        Settings {
            doors: vec![
                door(Protocol::Pop3, doors.pop3),
                door(Protocol::Smtp, doors.smtp),
                door(Protocol::Imap, doors.imap),
            ],
            page: None,
            page_has_companion: false,
            // Other systems cannot always tell who connects. The demo's mailbox contains nothing private.
            access: if cfg!(target_os = "linux") { Access::SameUser } else { Access::Anyone },
            allow: Vec::new(),
            proxies: Vec::new(),
            metrics: false,
            // The demo is shown on the terminal.
            notices: false,
            issuers: Vec::new(),
            accounts: vec![Arc::new(self.account(secret, trust))],
            timeouts: Timeouts::default(),
        }
    }

    /// Plays the demo through ostler's doors and prints it. Returns how many bytes came back, or what failed, as the
    /// last printed line says too.
    pub(crate) async fn play(&mut self, doors: Doors, has_colour: bool, out: &mut dyn Write) -> Result<usize, String> {
        let mut stage = self.stage(has_colour, out);
        let played = stage.play(doors).await;
        let last = match &played {
            Ok(bytes) => format!("demo: the message came back identical ({bytes} bytes)"),
            Err(why) => format!("demo: FAILED: {}", stage.recorder.starred(why)),
        };
        stage.print(&last)?;
        played
    }

    /// For `--stay`: prints what to type into a mail program, then every line of its connections. Never ends by itself.
    pub(crate) async fn stay(&mut self, doors: Doors, has_colour: bool, out: &mut dyn Write) -> Result<(), String> {
        self.provider.post(&sample_mail::welcome());
        let mut stage = self.stage(has_colour, out);
        stage.print(&stay_text(doors))?;
        stage.printing(std::future::pending()).await
    }

    fn stage<'a>(&'a mut self, has_colour: bool, out: &'a mut dyn Write) -> Stage<'a> {
        let page = Page::new(out, has_colour);
        Stage { provider: &self.provider, spoken_rx: &mut self.spoken_rx, recorder: &self.recorder, page }
    }
}

/// What to type into a mail program to try it on the demo.
pub(crate) fn stay_text(doors: Doors) -> String {
    let Doors { pop3, smtp, imap } = doors;
    format!(
        "\nNow try your own mail program. Make an account in it with these values:\n\
         \n\
         \x20   your address               {ADDRESS}\n\
         \x20   incoming mail server       {}    POP3, port {}\n\
         \x20   or, to read by IMAP        {}    IMAP, port {}\n\
         \x20   outgoing mail server       {}    SMTP, port {}\n\
         \x20   user or account name       {ADDRESS}\n\
         \x20   password                   any; ostler has the right one\n\
         \x20   SSL, TLS, secure sockets   off or \"Never\", for both servers\n\
         \x20   SPA, secure password, APOP off\n\
         \x20   outgoing server wants authentication   on or off, both work\n\
         \n\
         One message waits for you. Send one to {FOREIGN}, a mailbox at another company:\n\
         you see it arrive here. A message to {ADDRESS} can be fetched again.\n\
         Everything is kept in memory and is gone when you press ctrl-C.\n",
        pop3.ip(),
        pop3.port(),
        imap.ip(),
        imap.port(),
        smtp.ip(),
        smtp.port()
    )
}

/// 128 random bits in hexadecimal.
fn random_hex() -> Result<String, String> {
    let mut bits = [0; 16];
    crate::os::random(&mut bits).then(|| hex(&bits)).ok_or_else(|| "the system provides no random numbers".to_owned())
}

/// The demo while it is played.
struct Stage<'a> {
    provider: &'a Provider,
    spoken_rx: &'a mut UnboundedReceiver<SpokenLine>,
    recorder: &'a Recorder,
    page: Page<'a>,
}

/// The messages that were sent.
struct Sent {
    eudora: Vec<u8>,
    outlook: Vec<u8>,
}

impl Stage<'_> {
    async fn play(&mut self, doors: Doors) -> Result<usize, String> {
        self.introduce(doors)?;
        let program = |name| Program { name, recorder: self.recorder.clone() };
        let (eudora, outlook) = (program(EUDORA), program(OUTLOOK));
        let to = [FOREIGN, ADDRESS];

        let letter = sample_mail::from_eudora();
        let words = "1. Eudora sends. The gate is shut, because no one has logged in yet, so ostler logs in first.";
        let first = self.act(words, eudora.eudora_sends(doors.smtp, &to, &letter)).await?;
        let words = "2. Outlook Express fetches, and deletes what it has fetched.";
        let fetched = self.act(words, outlook.outlook_fetches(doors.pop3)).await?;
        check_returned(OUTLOOK, &first, &fetched)?;

        let letter = sample_mail::from_outlook_express();
        let words = "3. Outlook Express sends. Its own fetch has opened the gate, so no other login is needed.";
        let second = self.act(words, outlook.outlook_sends(doors.smtp, &to, &letter)).await?;
        let words = "4. Netscape reads the message by IMAP, and leaves it where it is.";
        let netscape = program(NETSCAPE);
        let read = self.act(words, netscape.netscape_reads(doors.imap)).await?;
        check_returned(NETSCAPE, &second, &[read])?;
        let words = "5. Eudora fetches, and deletes.";
        let fetched = self.act(words, eudora.eudora_fetches(doors.pop3)).await?;
        check_returned(EUDORA, &second, &fetched)?;

        let sent = Sent { eudora: first, outlook: second };
        self.inspect(&sent)?;
        self.sum_up(&sent, self.provider.counts())?;
        Ok(sent.eudora.len())
    }

    fn introduce(&mut self, doors: Doors) -> Result<(), String> {
        let Provider { pop3, smtp, imap, .. } = self.provider;
        let window = GATE_WINDOW.as_secs();
        self.print(&format!(
            "A provider made for this demo: POP3 on localhost port {pop3}, SMTP on port {smtp}, IMAP on port {imap}, all\n\
             inside TLS.\n\
             It accepts mail to other companies only within {window} s after a POP3 login from the same address.\n\
             ostler in front of it: POP3 on {}, SMTP on {}, IMAP on {},\n\
             unencrypted, for old mail programs.\n\
             Times are in milliseconds. Passwords are shown as ***, octets beyond ASCII as ?.",
            doors.pop3, doors.smtp, doors.imap
        ))
    }

    /// Checks that the other company's mailbox has each message once, and the own mailbox none.
    fn inspect(&self, sent: &Sent) -> Result<(), String> {
        let foreign = self.provider.messages(Mailbox::Foreign);
        let [first, second] = foreign.as_slice() else {
            return Err(format!("2 messages were sent to {FOREIGN}, {} arrived", foreign.len()));
        };
        for (sent, got) in [(&sent.eudora, first), (&sent.outlook, second)] {
            sample_mail::compare(sent, &got.octets)
                .map_err(|why| format!("a message to {FOREIGN} was altered: {why}"))?;
        }
        match self.provider.messages(Mailbox::Own).len() {
            0 => Ok(()),
            left => Err(format!("{left} messages that were deleted are still in the mailbox")),
        }
    }

    fn sum_up(&mut self, sent: &Sent, counts: Counts) -> Result<(), String> {
        self.page.heading("What happened").map_err(print_failure)?;
        let Counts { logins, gate_refusals, messages, connections, .. } = counts;
        let own = logins.saturating_sub(2);
        self.print(&format!(
            "  sent       {messages} messages, {} and {} bytes, each to {ADDRESS} and {FOREIGN}\n\
             \x20 fetched    both, then deleted at the provider; each arrived exactly once in each mailbox; one was\n\
             \x20            read by IMAP before\n\
             \x20 compared   byte for byte after the Received header that the provider adds: identical, including\n\
             \x20            8-bit letters, dots, trailing blanks and a line of 990 octets\n\
             \x20 gate       {logins} POP3 logins: {own} by ostler for a send, 2 by the mail programs that fetched;\n\
             \x20            {gate_refusals} recipients refused\n\
             \x20 TLS        {connections} connections to the provider, all inside TLS, with a certificate checked against\n\
             \x20            the demo's own authority, which ostler trusts in this run only\n\
             \x20 secrets    the mail programs gave a made-up password; ostler gave the right one to the provider\n",
            sent.eudora.len(),
            sent.outlook.len(),
        ))
    }

    /// Prints a heading, then every line of the connections while `what` runs.
    async fn act<T>(&mut self, heading: &str, what: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        self.page.heading(heading).map_err(print_failure)?;
        let happened = self.printing(what).await?;
        let provider = self.provider;
        // Only for the order of the printed lines, so a timeout does not matter.
        let _ = self.printing(timeout(DISCONNECT_TIMEOUT, provider.wait_until_empty())).await?;
        happened
    }

    async fn printing<T>(&mut self, what: impl Future<Output = T>) -> Result<T, String> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                biased;
                // The lines first: what ended the act was said before it.
                Some(spoke) = self.spoken_rx.recv() => self.page.spoke(&spoke).map_err(print_failure)?,
                done = &mut what => {
                    while let Ok(spoke) = self.spoken_rx.try_recv() {
                        self.page.spoke(&spoke).map_err(print_failure)?;
                    }
                    return Ok(done);
                }
            }
        }
    }

    fn print(&mut self, words: &str) -> Result<(), String> {
        self.page.print(words).map_err(print_failure)
    }
}

fn check_returned(program: &str, sent: &[u8], fetched: &[Vec<u8>]) -> Result<(), String> {
    let [message] = fetched else {
        return Err(format!("1 message was sent, {program} fetched {}", fetched.len()));
    };
    sample_mail::compare(sent, message)
        .map_err(|why| format!("the message {program} fetched is not the one sent: {why}"))
}

fn print_failure(error: std::io::Error) -> String {
    format!("the demo cannot print: {error}")
}
