//! POP-before-SMTP as a small host runs it: a real Dovecot notes who logged in from where, and a real Postfix asks
//! a policy service, kept by the test, whether that address may send. The service reads Dovecot's own record of
//! logins at every question; it decides nothing else.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ca::ServerCert;
use super::dovecot::{self, Dovecot};
use super::mail::Delivery;
use super::postfix::{self, Postfix};
use super::set_mode;

/// Where the server says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Mail,
    Rcpt,
    Data,
}

impl Stage {
    fn is(self, state: &str) -> bool {
        match self {
            Self::Connect => state == "CONNECT",
            Self::Mail => state == "MAIL",
            Self::Rcpt => state == "RCPT",
            Self::Data => state == "DATA",
        }
    }
}

/// Which event opens the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Login,
    /// Only a session that ended with QUIT.
    Logout,
}

/// The host's rules.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a login counts.
    pub window: Duration,
    /// How long after the login it begins to count.
    pub late: Duration,
    pub stage: Stage,
    /// Code and text of the refusal; none for Postfix's own `554 5.7.1 <a@b>: Relay access denied`, at RCPT.
    pub refusal: Option<String>,
    /// Whether a login while the gate is open makes it stay open for longer.
    pub refresh: bool,
    pub trigger: Trigger,
    /// Whether a connection keeps the verdict it began with, as with hash maps, qmail and vpopmail.
    pub sticky: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1800),
            late: Duration::ZERO,
            stage: Stage::Rcpt,
            refusal: None,
            refresh: true,
            trigger: Trigger::Login,
            sticky: true,
        }
    }
}

/// What happened at the host, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Login(String),
    SmtpConnected,
    /// A question at the stage of the rules was answered with no.
    Refused,
    /// The same, with yes.
    Let,
}

/// A running host.
pub struct Gate {
    pub dovecot: Dovecot,
    pub postfix: Postfix,
    state: Arc<State>,
}

struct State {
    rules: Rules,
    home: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    logins_seen: usize,
    /// Logins before this moment no longer count.
    forgotten: f64,
    verdicts: HashMap<String, bool>,
}

impl Gate {
    /// Starts the host with these mailboxes (name, password).
    pub fn start(rules: Rules, cert: &ServerCert, users: &[(&str, &str)]) -> Self {
        Self::start_with(rules, cert, users, |dovecot| dovecot, |postfix| postfix)
    }

    /// As [`start`](Self::start), with changes to either server.
    pub fn start_with(
        rules: Rules,
        cert: &ServerCert,
        users: &[(&str, &str)],
        change_dovecot: impl FnOnce(dovecot::Builder) -> dovecot::Builder,
        change_postfix: impl FnOnce(postfix::Builder) -> postfix::Builder,
    ) -> Self {
        let mut builder = Dovecot::builder().cert(cert.clone());
        for (user, password) in users {
            builder = builder.user(user, password);
        }
        let dovecot = change_dovecot(builder).start();
        let home = dovecot.home().to_owned();
        // A file, so that a Postfix in another network finds it too; Postfix asks as a user of its own.
        let asked_at = home.join("policy");
        let listener = UnixListener::bind(&asked_at).unwrap();
        set_mode(&asked_at, 0o666);
        let state = Arc::new(State { rules, home, inner: Mutex::default() });
        serve(listener, Arc::clone(&state));
        let ask = format!("check_policy_service {{ unix:{}, timeout=60s }}", asked_at.display());
        let builder = Postfix::builder()
            .cert(cert.clone())
            .plain_option("smtpd_delay_reject = no")
            .plain_option(&format!("smtpd_client_restrictions = {ask}"))
            .plain_option(&format!("smtpd_sender_restrictions = {ask}"))
            .plain_option(&format!("smtpd_relay_restrictions = {ask}, reject_unauth_destination"))
            .plain_option(&format!("smtpd_data_restrictions = {ask}"));
        let postfix = change_postfix(builder).start();
        Self { dovecot, postfix, state }
    }

    /// The sending port: no AUTH; STARTTLS is offered.
    pub fn smtp(&self) -> u16 {
        self.postfix.plain
    }

    /// What happened so far.
    pub fn events(&self) -> Vec<Event> {
        let mut inner = self.state.inner.lock().unwrap();
        self.state.note_logins(&mut inner);
        inner.events.clone()
    }

    /// How many connections Postfix has seen.
    pub fn smtp_connections(&self) -> usize {
        self.events().iter().filter(|event| **event == Event::SmtpConnected).count()
    }

    /// How many logins succeeded.
    pub fn logins(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Login(_))).count()
    }

    /// How often the gate was found shut.
    pub fn refusals(&self) -> usize {
        self.events().iter().filter(|event| **event == Event::Refused).count()
    }

    /// Shuts the gate, as the end of the window does; the next login opens it again.
    pub fn forget(&self) {
        self.state.inner.lock().unwrap().forgotten = now();
    }

    /// What was delivered.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.postfix.deliveries()
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn serve(listener: UnixListener, state: Arc<State>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let _ = state.answer(stream);
            });
        }
    });
}

impl State {
    /// One Postfix process asks over one connection, question after question.
    fn answer(&self, stream: UnixStream) -> std::io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut question = HashMap::new();
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if let Some((name, value)) = line.split_once('=') {
                question.insert(name.to_owned(), value.to_owned());
            } else {
                let action = self.action(&std::mem::take(&mut question));
                out.write_all(format!("action={action}\n\n").as_bytes())?;
            }
        }
        Ok(())
    }

    fn action(&self, question: &HashMap<String, String>) -> String {
        let text = |name: &str| question.get(name).map_or("", String::as_str);
        let (state, ip, port) = (text("protocol_state"), text("client_address"), text("client_port"));
        let mut inner = self.inner.lock().unwrap();
        self.note_logins(&mut inner);
        let open = self.is_open(ip, inner.forgotten);
        let open = if self.rules.sticky { *inner.verdicts.entry(port.to_owned()).or_insert(open) } else { open };
        if state == "CONNECT" {
            inner.events.push(Event::SmtpConnected);
        }
        if self.rules.stage.is(state) {
            inner.events.push(if open { Event::Let } else { Event::Refused });
            if !open {
                let elsewhere = "550 5.7.1 POP before SMTP: check your mail first".to_owned();
                let fallback = if self.rules.stage == Stage::Rcpt { "DUNNO".to_owned() } else { elsewhere };
                return self.rules.refusal.clone().unwrap_or(fallback);
            }
        }
        // At RCPT the relay question has to be answered with yes, wherever else the gate stands.
        if state == "RCPT" { "OK".to_owned() } else { "DUNNO".to_owned() }
    }

    fn note_logins(&self, inner: &mut Inner) {
        let logins = self.logins();
        for login in logins.iter().skip(inner.logins_seen) {
            inner.events.push(Event::Login(login.2.clone()));
        }
        inner.logins_seen = logins.len().max(inner.logins_seen);
    }

    /// Time, address and user of each login in Dovecot's record.
    fn logins(&self) -> Vec<(f64, String, String)> {
        let text = std::fs::read_to_string(self.home.join("logins")).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let field = |line: &str, at| line.split(' ').nth(at).unwrap_or("").to_owned();
        whole.lines().map(|line| (field(line, 0).parse().unwrap_or(0.0), field(line, 1), field(line, 2))).collect()
    }

    /// How many sessions Dovecot's log knows to have ended with QUIT.
    fn logouts(&self) -> usize {
        let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Logged out")).count()
    }

    fn is_open(&self, ip: &str, forgotten: f64) -> bool {
        let (late, window) = (self.rules.late.as_secs_f64(), self.rules.window.as_secs_f64());
        let mut logins = self.logins();
        if self.rules.trigger == Trigger::Logout {
            // In these tests sessions end in the order they began.
            logins.truncate(self.logouts());
        }
        let now = now();
        let mut opened: Option<f64> = None;
        for (at, from, _) in logins {
            let start = at + late;
            if from != ip || at <= forgotten || start > now {
                continue;
            }
            if self.rules.refresh || opened.is_none_or(|opened| start > opened + window) {
                opened = Some(start);
            }
        }
        opened.is_some_and(|opened| now <= opened + window)
    }
}
