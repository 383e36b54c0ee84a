//! How other invocations (`ostler status`, `ostler pause`) ask the running ostler: over a socket (on Windows a named pipe)
//! that only this user can open. A connection carries one request, one line of JSON, and one line of JSON back.
//!
//! Not here: who the running ostler is ([`super::instance`]); what the answers say, which is the caller's; the settings
//! page, which is for people.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::instance::InstancePaths;
use crate::os::{self, local};

/// How long a running ostler may take to put a changed settings file in force. Where the system does not report changes it
/// looks every two seconds, and opening the doors takes its time.
pub(crate) const SETTINGS_RELOAD_TIMEOUT: Duration = Duration::from_secs(6);
/// For each step of an exchange: reading the request, the handler, writing the answer.
const EXCHANGE_STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`ask`] waits; longer than the running ostler may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// How long an ostler that holds the lock may take to begin to answer, or to let go. Longer than the last save of its history.
const START_TIMEOUT: Duration = Duration::from_secs(4);
/// The longest request, line end included.
const MAX_REQUEST_OCTETS: u64 = 64 * 1024;
/// The longest answer; enough for a status with 10,000 sessions.
const MAX_ANSWER_OCTETS: u64 = 4 * 1024 * 1024;
/// How often [`wait_for_end`] looks whether the lock is free.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Exchanges at once. Further connections wait; each exchange ends within three time limits.
const MAX_EXCHANGES: usize = 128;

/// What another invocation wants of the running ostler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The document of `ostler status`.
    Status,
    /// Turn new clients away.
    Pause,
    /// Take new clients again.
    Resume,
    /// What happened after entry `seq` of the journal: `{"seq": N, "entries": [..]}`, as soon as there is something and
    /// after a few seconds at the latest. Without `seq`, the number of the last entry, at once.
    Since {
        #[serde(default)]
        seq: Option<u64>,
    },
    /// Where the settings page is: `{"page": ADDRESS, "link": ADDRESS}`. `link` holds a token that lets one browser in; both
    /// are null if the page is not open.
    Page,
    /// End: take no new clients, let sessions in the middle of a message finish it. A second request ends ostler at once.
    Quit,
    /// The account's secret was set, replaced or removed; drop the one in memory.
    ForgetSecret { account: String },
    /// The account was removed from the settings; drop all that is in memory of it.
    Removed { account: String },
    /// The user has signed in at the company that gives out the account's tokens; read them again.
    SignedIn { account: String },
    /// The user has signed out there; drop the tokens, and connections that were made with them.
    SignedOut { account: String },
}

/// Takes the requests of other invocations.
#[derive(Debug)]
pub(crate) struct Listener(local::Acceptor);

impl Listener {
    pub(super) fn new(acceptor: local::Acceptor) -> Self {
        Self(acceptor)
    }

    /// Answers every request with the result of `handler`, several at a time, until dropped. The answer is
    /// `{"error": ".."}` if the request cannot be read, or if the handler takes longer than five seconds; its future is
    /// dropped then. Does not require `Send`; is `Send` if the handler and its future are.
    pub(crate) async fn serve<H, F>(mut self, handler: H) -> Infallible
    where
        H: Fn(Request) -> F,
        F: Future<Output = Value>,
    {
        let mut exchanges = Vec::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.0.accept(), if exchanges.len() < MAX_EXCHANGES => accepted,
                () = finish_some(&mut exchanges) => continue,
            };
            match accepted {
                Ok(stream) => exchanges.push(Box::pin(serve_one(stream, &handler))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a request of another ostler");
                    // Mostly the process is out of descriptors, and trying again at once would only keep the processor
                    // busy.
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Drives all exchanges until at least one has ended, and drops those that have.
async fn finish_some<F: Future<Output = ()>>(exchanges: &mut Vec<Pin<Box<F>>>) {
    poll_fn(|context| {
        let before = exchanges.len();
        exchanges.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if exchanges.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One request per connection; a malformed or slow one affects no other.
async fn serve_one<S, H, F>(stream: S, handler: &H)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request) -> F,
    F: Future<Output = Value>,
{
    let mut stream = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(MAX_REQUEST_OCTETS);
    let Ok(Ok(1..)) = timeout(EXCHANGE_STEP_TIMEOUT, bounded.read_until(b'\n', &mut line)).await else { return };
    let answer = match read_request(&line) {
        Ok(request) => timeout(EXCHANGE_STEP_TIMEOUT, handler(request))
            .await
            .unwrap_or_else(|_| json!({"error": "ostler is busy"})),
        Err(error) => json!({"error": error}),
    };
    // If the asker is gone, the answer is of no use to anyone.
    let _ = timeout(EXCHANGE_STEP_TIMEOUT, stream.write_all(format!("{answer}\n").as_bytes())).await;
}

fn read_request(line: &[u8]) -> Result<Request, String> {
    if !line.ends_with(b"\n") {
        return Err("the request is too long, or its line end is missing".into());
    }
    serde_json::from_slice(line).map_err(|error| format!("the running ostler does not understand the request: {error}"))
}

/// Asks the ostler that runs on this settings file, and waits for its answer. `None`: none is running. The answer may be
/// `{"error": ".."}`, for instance from an ostler of another version that does not know the request.
pub(crate) fn ask(settings_file: &Path, request: &Request) -> io::Result<Option<Value>> {
    ask_at(InstancePaths::all(settings_file)?, request, ANSWER_TIMEOUT)
}

/// Waits at most `limit` for the ostler that runs on this settings file to end; returns whether it has. `process` is its
/// number, if it is known.
pub(crate) fn wait_for_end(settings_file: &Path, process: Option<u32>, limit: Duration) -> io::Result<bool> {
    let until = Instant::now() + limit;
    for paths in InstancePaths::all(settings_file)? {
        // The lock is the last thing to go.
        while paths.is_held() {
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(LOCK_POLL_INTERVAL);
        }
    }
    let left = until.saturating_duration_since(Instant::now());
    Ok(process.is_none_or(|process| os::wait_for_process(process, left)))
}

/// In a thread of its own, because reading from a named pipe knows no time limit.
fn ask_at(paths: Vec<InstancePaths>, request: &Request, limit: Duration) -> io::Result<Option<Value>> {
    let line = serde_json::to_string(request)? + "\n";
    let (sender, answer) = mpsc::channel();
    std::thread::Builder::new().name("ask".into()).spawn(move || sender.send(exchange(&paths, &line)))?;
    answer.recv_timeout(limit).unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "an ostler runs on this settings file, but does not answer"))
    })
}

/// An ostler that starts has the lock a moment before it answers, and one that ends a moment longer.
fn exchange(paths: &[InstancePaths], request: &str) -> io::Result<Option<Value>> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        match exchange_once(paths, request)? {
            None if Instant::now() < until && paths.iter().any(InstancePaths::is_held) => {
                std::thread::sleep(LOCK_POLL_INTERVAL);
            }
            answer => return Ok(answer),
        }
    }
}

fn exchange_once(paths: &[InstancePaths], request: &str) -> io::Result<Option<Value>> {
    let mut refused = Ok(None);
    for path in paths {
        match local::connect(path.folder(), path.name()) {
            Ok(Some(stream)) => return exchange_on(stream, request),
            Ok(None) => {}
            Err(error) => refused = Err(error),
        }
    }
    refused
}

fn exchange_on(mut stream: impl Read + Write, request: &str) -> io::Result<Option<Value>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER_OCTETS)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the running ostler ended without an answer"));
    }
    Ok(Some(serde_json::from_slice(&answer)?))
}
