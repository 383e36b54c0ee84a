//! `ostler run` as its user sees it: both outputs, signals, the end; and a server played by hand.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::client::Client;
use super::ostler::Home;
use super::process::Process;
use super::secrets::{Again, Watch, watch_of};
use super::{Listening, wait_for};

/// What a pipe has brought so far.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub(super) fn listen(mut pipe: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let heard = Self::default();
        let copy = heard.clone();
        let reader = std::thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut block) {
                copy.0.lock().unwrap().extend_from_slice(&block[..count]);
            }
        });
        (heard, reader)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until this has been said; returns the first line with it.
    pub fn wait(&self, words: &str) -> String {
        wait_for(&format!("{words:?}"), || self.text().lines().find(|line| line.contains(words)).map(str::to_owned))
    }
}

/// A running `ostler run` that need not say `ready` and may end in any way. No secret may show in what it says, nor in what
/// can be asked about it before it ends well (`secrets.rs`).
pub struct Run {
    process: Process,
    watched: Option<Arc<Watch>>,
    again: Again,
    readers: Vec<JoinHandle<()>>,
    pub out: Heard,
    pub err: Heard,
}

impl Run {
    pub fn start(home: &Home, args: &[&str]) -> Self {
        Self::of(&mut home.command(&[&["run"], args].concat()))
    }

    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start("ostler", command);
        let (out, first) = Heard::listen(process.child().stdout.take().unwrap());
        let (err, second) = Heard::listen(process.child().stderr.take().unwrap());
        let (watched, again) = (watch_of(command), Again::of(command));
        Self { process, watched, again, readers: vec![first, second], out, err }
    }

    /// Waits until the doors are open.
    pub fn ready(mut self) -> Self {
        wait_for("ready", || {
            let ready = self.out.text().contains("ready\n");
            assert!(ready || self.process.ended().is_none(), "ended instead of ready:\n{}", self.err.text());
            ready.then_some(())
        });
        self
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.process.child());
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Waits for its end, and until both outputs are read to theirs.
    pub fn ended(&mut self) -> ExitStatus {
        let status = wait_for("ostler to end", || self.process.ended());
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }

    /// SIGTERM, and it has to end well.
    #[cfg(unix)]
    pub fn end_well(&mut self) {
        if let Some(watch) = &self.watched {
            watch.search_running(self.process.id(), &self.again);
        }
        self.signal(rustix::process::Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "ended with {status}:\n{}", self.err.text());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("ostler said:\n{}", self.err.text());
        } else if let Some(watch) = &self.watched {
            watch.search("stdout", &self.out.bytes());
            watch.search("the log", &self.err.bytes());
        }
    }
}

/// A server played by hand: the test takes each connection and says each line itself.
pub struct Hand {
    listener: Listening,
    pub port: u16,
}

impl Hand {
    pub fn new() -> Self {
        Self::over(Listening::new())
    }

    /// On this port.
    pub fn at(port: u16) -> Self {
        Self::over(Listening::at(port))
    }

    /// On a socket that listens already, in another network perhaps.
    pub fn over(listener: impl Into<Listening>) -> Self {
        let listener = listener.into();
        listener.set_nonblocking(true).unwrap();
        let port = listener.port();
        Self { listener, port }
    }

    /// The next connection, if it is there already.
    pub fn try_accept(&self) -> Option<Client> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).unwrap();
        Some(Client::over(stream))
    }

    /// Takes the connections that have come already and closes them; how many there were.
    pub fn drain(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }

    /// The next connection.
    pub fn accept(&self) -> Client {
        wait_for("a connection", || self.try_accept())
    }

    /// The next connection, greeted as POP3 and answered up to the line that begins like this, which is returned.
    pub fn pop3(&self, until: &str) -> Client {
        let mut server = self.accept();
        server.say("+OK hello");
        answer_pop3(&mut server, until);
        server
    }

    /// A client that was greeted signs in as "home", and the provider lets it in; the provider's side of it.
    pub fn let_in(&self, client: &mut Client) -> Client {
        client.ask("USER home", "+OK");
        client.say("PASS x");
        let mut server = self.pop3("PASS");
        server.say("+OK in");
        client.expect("+OK");
        server
    }

    /// As [`let_in`](Self::let_in), for IMAP.
    pub fn let_in_to_read(&self, client: &mut Client) -> Client {
        client.say("1 LOGIN home typed");
        let mut server = self.accept();
        server.say("* OK [CAPABILITY IMAP4rev1 IDLE] ready");
        server.expect("o1 LOGIN");
        server.say("o1 OK [CAPABILITY IMAP4rev1 IDLE] in");
        client.expect("* CAPABILITY IMAP4rev1 IDLE");
        client.expect("1 OK");
        server
    }

    /// As [`pop3`](Self::pop3), for SMTP.
    pub fn smtp(&self, until: &str) -> Client {
        let mut server = self.accept();
        server.say("220 hello");
        answer_smtp(&mut server, until);
        server
    }
}

impl Default for Hand {
    fn default() -> Self {
        Self::new()
    }
}

/// Says yes to a POP3 client until it says a line that begins like this.
pub fn answer_pop3(server: &mut Client, until: &str) -> String {
    answer(server, until, |verb| match verb {
        "CAPA" | "AUTH" => "-ERR not known",
        "STAT" => "+OK 1 20",
        "LIST" | "UIDL" => "+OK\r\n1 20\r\n.",
        _ => "+OK",
    })
}

/// Says yes to an SMTP client until it says a line that begins like this.
pub fn answer_smtp(server: &mut Client, until: &str) -> String {
    answer(server, until, |verb| match verb {
        "EHLO" => "250-mx\r\n250 AUTH PLAIN",
        "AUTH" => "235 2.7.0 in",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "250 2.0.0 ok",
    })
}

/// As [`answer_pop3`], from a server with PIPELINING and three messages.
pub fn answer_pop3_ahead(server: &mut Client, until: &str) -> String {
    answer(server, until, |verb| match verb {
        "CAPA" => "+OK\r\nUSER\r\nPIPELINING\r\n.",
        "LIST" => "+OK\r\n1 20\r\n2 20\r\n3 20\r\n4 20\r\n.",
        _ => "+OK",
    })
}

/// As [`answer_smtp`], from a server with PIPELINING and CHUNKING.
pub fn answer_smtp_pieces(server: &mut Client, until: &str) -> String {
    answer(server, until, |verb| match verb {
        "EHLO" => "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN",
        "AUTH" => "235 2.7.0 in",
        "QUIT" => "221 bye",
        _ => "250 2.0.0 ok",
    })
}

fn answer(server: &mut Client, until: &str, reply: fn(&str) -> &'static str) -> String {
    loop {
        let line = server.line().unwrap_or_else(|| panic!("gone before {until:?}:\n{}", server.log()));
        if line.starts_with(until) {
            return line;
        }
        server.say(reply(line.split(' ').next().unwrap()));
    }
}
