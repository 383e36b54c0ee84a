//! `ostler demo`: a provider made for it, old mail programs, and ostler's real engine between them, all on this
//! computer. Nothing of it is used outside the demo. It needs no network and no keyring, and writes no file: the
//! certificate authority and the password are handed to the engine in memory ([`Scene::ca_pem`], [`Scene::password`]).
//!
//! Not here: the engine and its doors, which the caller starts on [`Scene::settings`], and the command line.

mod authority;
mod client;
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

use client::Program;
pub use mailroom::{ADDRESS, FOREIGN, USER};
use mailroom::{Counts, Mailbox};
use ostler_mail::account::{
    Access, Account, AfterPop, Credentials, Door, Protocol, SecretSource, Security, Server, Settings, SignIn, Timeouts,
    Trust,
};
use ostler_mail::sasl::hex;
use ostler_mail::secret::Secret;
use provider::Provider;
pub use run::{Options, main};
use spoken::{Page, Recorder, SpokenLine};

/// How long the gate stays open after a login: the shortest window in use anywhere.
const GATE_WINDOW: Duration = Duration::from_secs(120);
/// The account's `fresh`.
const FRESH: Duration = Duration::from_secs(60);
/// How long an act waits for ostler to end its connections to the provider, so that their last lines are printed
/// where they belong. Nothing depends on it.
const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(300);
const EUDORA: &str = "Eudora";
const OUTLOOK: &str = "Outlook Express";

/// Where ostler listens for the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    /// For fetching.
    pub pop3: SocketAddr,
    /// For sending.
    pub smtp: SocketAddr,
}

/// A running provider and everything to play the demo with; ends when dropped.
pub struct Scene {
    provider: Provider,
    password: Arc<Secret>,
    recorder: Recorder,
    spoken_rx: UnboundedReceiver<SpokenLine>,
}

impl Scene {
    /// Starts the provider.
    pub async fn start() -> Result<Self, String> {
        let password = Arc::new(Secret::new(random_hex()?).map_err(|why| format!("no password for the demo: {why}"))?);
        let (recorder, spoken_rx) = Recorder::new(USER, Arc::clone(&password));
        let provider = Provider::start(GATE_WINDOW, Arc::clone(&password), random_hex()?, &recorder).await?;
        Ok(Self { provider, password, recorder, spoken_rx })
    }

    /// The certificate of the demo's own authority, to be trusted for [`Scene::trust`] and for nothing else.
    pub fn ca_pem(&self) -> &str {
        &self.provider.ca_pem
    }

    /// The trust policy of the account's servers. It names a file that does not exist: the roots are in memory.
    pub fn trust() -> Trust {
        Trust { ca: Some(PathBuf::from("<ostler demo, in memory>")), pin: None }
    }

    /// The password of [`USER`] at the provider; another one in each run.
    pub fn password(&self) -> Arc<Secret> {
        Arc::clone(&self.password)
    }

    /// The account: POP3 over TLS, SMTP over TLS after a POP login. `trust` is [`Scene::trust`] unless the caller has
    /// put [`Scene::ca_pem`] somewhere else.
    pub fn account(&self, secret: SecretSource, trust: Trust) -> Account {
        let server = |protocol, port, sign_in| Server {
            protocol,
            host: "localhost".into(),
            port,
            security: Security::Tls,
            trust: trust.clone(),
            sign_in,
        };
        let credentials = Credentials { username: USER.into(), secret };
        let pop3 = server(Protocol::Pop3, self.provider.pop3, SignIn::Password(credentials));
        let gate = AfterPop { login: pop3.clone(), fresh: FRESH };
        let smtp = server(Protocol::Smtp, self.provider.smtp, SignIn::AfterPop(Arc::new(gate)));
        Account {
            name: "demo".into(),
            address: ADDRESS.into(),
            aliases: Vec::new(),
            provider: None,
            // Whoever stays may send as anybody.
            is_default: true,
            offer_auth: true,
            local_password: None,
            pop3: Some(pop3),
            smtp: vec![smtp],
            imap: None,
        }
    }

    /// Settings with that account only, and doors at `doors` (port 0: any).
    pub fn settings(&self, doors: Doors, secret: SecretSource, trust: Trust) -> Settings {
        let door = |protocol, address| Door { protocol, address, is_companion: false, account: None };
        Settings {
            doors: vec![door(Protocol::Pop3, doors.pop3), door(Protocol::Smtp, doors.smtp)],
            page: None,
            // Where the system cannot say who connects, the demo's toy mailbox is no secret.
            access: if cfg!(target_os = "linux") { Access::SameUser } else { Access::Anyone },
            allow: Vec::new(),
            // Its stage is the terminal.
            notices: false,
            accounts: vec![Arc::new(self.account(secret, trust))],
            timeouts: Timeouts::default(),
        }
    }

    /// Plays the demo through ostler's doors and prints it; how many bytes came back, or why not. The last line
    /// printed says the same.
    pub async fn play(&mut self, doors: Doors, has_colour: bool, out: &mut dyn Write) -> Result<usize, String> {
        let page = Page::new(out, has_colour);
        let mut stage =
            Stage { provider: &self.provider, spoken_rx: &mut self.spoken_rx, recorder: &self.recorder, page };
        let played = stage.play(doors).await;
        let last = match &played {
            Ok(bytes) => format!("demo: the message came back identical ({bytes} bytes)"),
            Err(why) => format!("demo: FAILED: {}", self.recorder.starred(why)),
        };
        stage.print(&last)?;
        played
    }

    /// For `--stay`: prints what to type into a mail program, then everything that is said, until it is dropped.
    pub async fn stay(&mut self, doors: Doors, has_colour: bool, out: &mut dyn Write) -> Result<(), String> {
        self.provider.post(&sample_mail::welcome());
        let page = Page::new(out, has_colour);
        let mut stage =
            Stage { provider: &self.provider, spoken_rx: &mut self.spoken_rx, recorder: &self.recorder, page };
        stage.print(&stay_text(doors))?;
        stage.printing(std::future::pending()).await
    }
}

/// What to type into a mail program to try it on the demo.
pub fn stay_text(doors: Doors) -> String {
    let Doors { pop3, smtp } = doors;
    format!(
        "\nNow try your own mail program. Make an account in it with these values:\n\
         \n\
         \x20   your address               {ADDRESS}\n\
         \x20   incoming mail server       {}    POP3, port {}\n\
         \x20   outgoing mail server       {}    SMTP, port {}\n\
         \x20   user or account name       {ADDRESS}\n\
         \x20   password                   any; ostler knows the right one\n\
         \x20   SSL, TLS, secure sockets   off or \"Never\", for both servers\n\
         \x20   SPA, secure password, APOP off\n\
         \x20   outgoing server wants authentication   on or off, both work\n\
         \n\
         One message waits for you. Send one to {FOREIGN}, a mailbox at another company:\n\
         its arrival is shown here. One to {ADDRESS} you can fetch again.\n\
         Everything is in memory and gone when you press ctrl-C.\n",
        pop3.ip(),
        pop3.port(),
        smtp.ip(),
        smtp.port()
    )
}

/// 128 random bits in hexadecimal.
fn random_hex() -> Result<String, String> {
    let mut bits = [0; 16];
    crate::os::random(&mut bits).then(|| hex(&bits)).ok_or_else(|| "the system gives no random numbers".to_owned())
}

/// The play and its page.
struct Stage<'a> {
    provider: &'a Provider,
    spoken_rx: &'a mut UnboundedReceiver<SpokenLine>,
    recorder: &'a Recorder,
    page: Page<'a>,
}

/// What has been sent.
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
        let words = "1. Eudora sends. The gate is shut: nobody has logged in yet, so ostler does that first.";
        let first = self.act(words, eudora.eudora_sends(doors.smtp, &to, &letter)).await?;
        let words = "2. Outlook Express fetches, and deletes what it has fetched.";
        let fetched = self.act(words, outlook.outlook_fetches(doors.pop3)).await?;
        check_returned(OUTLOOK, &first, &fetched)?;

        let letter = sample_mail::from_outlook_express();
        let words = "3. Outlook Express sends. Its own fetch has opened the gate: no other login is needed.";
        let second = self.act(words, outlook.outlook_sends(doors.smtp, &to, &letter)).await?;
        let words = "4. Eudora fetches, and deletes.";
        let fetched = self.act(words, eudora.eudora_fetches(doors.pop3)).await?;
        check_returned(EUDORA, &second, &fetched)?;

        let sent = Sent { eudora: first, outlook: second };
        self.inspect(&sent)?;
        self.sum_up(&sent, self.provider.counts())?;
        Ok(sent.eudora.len())
    }

    fn introduce(&mut self, doors: Doors) -> Result<(), String> {
        let Provider { pop3, smtp, .. } = self.provider;
        let window = GATE_WINDOW.as_secs();
        self.print(&format!(
            "A provider made for this demo: POP3 on localhost port {pop3}, SMTP on port {smtp}, both inside TLS.\n\
             It takes mail to other companies only within {window} s after a POP3 login from the same address.\n\
             ostler in front of it: POP3 on {}, SMTP on {}, both plain, for old mail programs.\n\
             Times are in milliseconds. Passwords are shown as ***, octets beyond ASCII as ?.",
            doors.pop3, doors.smtp
        ))
    }

    /// The other company's mailbox has each message once, the own one has none left.
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
             \x20 fetched    both, then deleted at the provider; each arrived exactly once in each mailbox\n\
             \x20 compared   byte for byte behind the one Received header the provider puts on top: identical,\n\
             \x20            8-bit letters, dots, trailing blanks and a line of 990 octets included\n\
             \x20 gate       {logins} POP3 logins seen: {own} by ostler for a send, 2 by the programs' own fetching;\n\
             \x20            {gate_refusals} recipients refused\n\
             \x20 TLS        {connections} connections to the provider, all inside TLS, with a certificate checked against\n\
             \x20            the demo's own authority, which ostler trusts in this run only\n\
             \x20 secrets    the mail programs gave any password; the provider got the right one from ostler\n",
            sent.eudora.len(),
            sent.outlook.len(),
        ))
    }

    /// Prints a heading, then what is said while something happens.
    async fn act<T>(&mut self, heading: &str, what: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        self.page.heading(heading).map_err(print_failure)?;
        let happened = self.printing(what).await?;
        let provider = self.provider;
        // Its end only matters for the order on the page.
        let _ = self.printing(timeout(DISCONNECT_TIMEOUT, provider.wait_until_empty())).await?;
        happened
    }

    async fn printing<T>(&mut self, what: impl Future<Output = T>) -> Result<T, String> {
        let mut what = pin!(what);
        loop {
            tokio::select! {
                biased;
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
    format!("nothing can be printed: {error}")
}
