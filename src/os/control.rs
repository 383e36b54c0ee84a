//! One ostler for a settings file, and the way other invocations (`ostler status`, `ostler pause`) ask the running
//! one: a lock file says that it runs, a socket (on Windows a named pipe) that only this user can open takes one
//! question on a connection, one line of JSON, and gives one line of JSON back.
//!
//! Not here: what the answers say, which is the caller's; the settings page, which is for people.

use std::convert::Infallible;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::os::{self, local};

/// For each part of a conversation: the question, the handler, taking the answer.
const EXCHANGE_STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`ask`] waits: longer than the running ostler may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
/// The longest question, line end included.
const MAX_REQUEST_OCTETS: u64 = 64 * 1024;
/// The longest answer: room for a status with 10,000 sessions.
const MAX_ANSWER_OCTETS: u64 = 4 * 1024 * 1024;
/// How often whoever waits for the end looks whether it has come.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Further ones wait; each ends within three time limits.
const MAX_EXCHANGES: usize = 128;

/// What another invocation wants of the running ostler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What it is doing.
    Status,
    /// Turn new clients away.
    Pause,
    /// Take new clients again.
    Resume,
    /// What happened after a number of the journal; the answer comes as soon as there is something, at the latest after a
    /// few seconds, and is `{"seq": N, "entries": [..]}`.
    Since {
        /// The number of the last answer; left out: only the number is wanted, at once.
        #[serde(default)]
        seq: Option<u64>,
    },
    /// Where the settings page is: `{"page": ADDRESS, "link": ADDRESS}`, the second one with the token that lets in; both
    /// null where it is not open.
    Page,
    /// End: no new clients; sessions in the middle of a message may finish it. Asked again, at once.
    Quit,
    /// A secret has been set, replaced or taken away: the one in memory no longer counts.
    ForgetSecret {
        /// The account, by name.
        account: String,
    },
}

/// Why this process is not the ostler of its settings file.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process is.
    #[error("ostler runs on this settings file already{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRuns {
        /// Its number, if it could be read.
        pid: Option<u32>,
    },
    /// There is no folder for the lock.
    #[error("found no folder that only this user can open")]
    NoFolder(#[source] io::Error),
    /// The lock cannot be taken, or the settings file not be told from others.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The proof that this process is the one ostler of its settings file. Ends when dropped or when the process does,
/// however it does.
#[derive(Debug)]
pub struct Instance {
    paths: InstancePaths,
    /// Holds the lock. The file is never removed: whoever waits for it would lock one that is no longer there.
    _lock: File,
}

impl Instance {
    /// Becomes the ostler of this settings file, which need not be there yet.
    pub fn claim(settings_file: &Path) -> Result<Self, ClaimError> {
        Self::claim_in(local::private_folder().map_err(ClaimError::NoFolder)?, settings_file)
    }

    fn claim_in(folder: PathBuf, settings_file: &Path) -> Result<Self, ClaimError> {
        let paths = InstancePaths::new(folder, settings_file)
            .map_err(|source| ClaimError::Lock { path: settings_file.into(), source })?;
        let path = paths.lock_file();
        match local::lock(&path).and_then(|lock| lock.map(write_pid).transpose()) {
            Ok(Some(lock)) => Ok(Self { paths, _lock: lock }),
            Ok(None) => Err(ClaimError::AlreadyRuns { pid: read_pid(&path) }),
            Err(source) => Err(ClaimError::Lock { path, source }),
        }
    }

    /// Opens the socket for other invocations. Must be called within a tokio runtime; a listener that was there
    /// before is replaced.
    pub fn listen(&self) -> io::Result<Listener> {
        local::Acceptor::open(&self.paths.folder, &self.paths.name).map(Listener)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Before the lock goes: afterwards the socket may be another one's.
        local::close(&self.paths.folder, &self.paths.name);
    }
}

fn write_pid(mut lock: File) -> io::Result<File> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}

fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    local::read_locked(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Where the ostler of one settings file is found.
#[derive(Debug)]
struct InstancePaths {
    folder: PathBuf,
    /// Stands for the settings file, whatever way it is spelt.
    name: String,
}

impl InstancePaths {
    fn new(folder: PathBuf, settings_file: &Path) -> io::Result<Self> {
        let mut hash = Sha256::new();
        // The folder too: the names of pipes are common to all users.
        hash.update(folder.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(canonical(settings_file)?.as_os_str().as_encoded_bytes());
        let name = hash.finalize().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        Ok(Self { folder, name })
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join(format!("{}.lock", self.name))
    }
}

/// The path without links and dots, also of a file that is not there yet or in a folder that is not.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(path)
}

/// Takes the questions of other invocations.
#[derive(Debug)]
pub struct Listener(local::Acceptor);

impl Listener {
    /// Answers every question with what `handler` makes of it, several at a time, until dropped. A question that
    /// cannot be read, or that the handler does not answer within five seconds (its future is dropped then), gets
    /// `{"error": ".."}`. Needs no `Send`; is `Send` if the handler and its future are.
    pub async fn serve<H, F>(mut self, handler: H) -> Infallible
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
                    tracing::warn!(%error, "cannot take a question of another ostler");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Drives all of them until at least one has ended, and lets go of those that have.
async fn finish_some<F: Future<Output = ()>>(exchanges: &mut Vec<Pin<Box<F>>>) {
    poll_fn(|context| {
        let before = exchanges.len();
        exchanges.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if exchanges.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One question, one answer. Whoever asks in the wrong way only harms himself.
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
    // Whether it arrives is the business of the one who asked.
    let _ = timeout(EXCHANGE_STEP_TIMEOUT, stream.write_all(format!("{answer}\n").as_bytes())).await;
}

fn read_request(line: &[u8]) -> Result<Request, String> {
    if !line.ends_with(b"\n") {
        return Err("the question is too long, or its line end is missing".into());
    }
    serde_json::from_slice(line)
        .map_err(|error| format!("the running ostler does not understand the question: {error}"))
}

/// Asks the ostler that runs on this settings file, and waits for its answer. `None`: there is none. An answer may be
/// `{"error": ".."}`, for one from an ostler of another version that does not know the question.
pub fn ask(settings_file: &Path, request: &Request) -> io::Result<Option<Value>> {
    ask_at(InstancePaths::new(local::private_folder()?, settings_file)?, request, ANSWER_TIMEOUT)
}

/// Waits until the ostler that runs on this settings file has ended, for as long as `patience`; `false`: it has not.
/// `process` is its number, if it has said it.
pub fn wait_for_end(settings_file: &Path, process: Option<u32>, patience: Duration) -> io::Result<bool> {
    let lock_file = InstancePaths::new(local::private_folder()?, settings_file)?.lock_file();
    let until = Instant::now() + patience;
    // The lock goes last. Taking it for a moment harms nobody: it is there only when nobody has it.
    while lock_file.exists() && local::lock(&lock_file)?.is_none() {
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
    let left = until.saturating_duration_since(Instant::now());
    Ok(process.is_none_or(|process| os::wait_for_process(process, left)))
}

/// In a thread of its own, since a named pipe has no time limits.
fn ask_at(paths: InstancePaths, request: &Request, patience: Duration) -> io::Result<Option<Value>> {
    let question = serde_json::to_string(request)? + "\n";
    let (sender, answer) = mpsc::channel();
    std::thread::Builder::new().name("ask".into()).spawn(move || sender.send(exchange(&paths, &question)))?;
    answer.recv_timeout(patience).unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "an ostler runs on this settings file, but does not answer"))
    })
}

fn exchange(paths: &InstancePaths, question: &str) -> io::Result<Option<Value>> {
    let Some(mut stream) = local::connect(&paths.folder, &paths.name)? else { return Ok(None) };
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER_OCTETS)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the running ostler ended without an answer"));
    }
    Ok(Some(serde_json::from_slice(&answer)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A folder and two settings files.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let base = tempfile::tempdir().unwrap();
            std::fs::create_dir(base.path().join("run")).unwrap();
            Self(base)
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("run")
        }

        fn settings(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn claim(&self, name: &str) -> Result<Instance, ClaimError> {
            Instance::claim_in(self.folder(), &self.settings(name))
        }

        /// Asks from a thread, while the runtime of the test serves.
        async fn ask(&self, name: &str, request: Request) -> io::Result<Option<Value>> {
            let paths = InstancePaths::new(self.folder(), &self.settings(name)).unwrap();
            tokio::task::spawn_blocking(move || ask_at(paths, &request, ANSWER_TIMEOUT)).await.unwrap()
        }
    }

    /// See the comment in the test of the claims: a socket just closed may live on for a moment.
    async fn nobody_answers(world: &World) -> bool {
        for _ in 0..100 {
            if matches!(world.ask("a.toml", Request::Status).await, Ok(None)) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    fn pid_in(claimed: Result<Instance, ClaimError>) -> Option<u32> {
        match claimed {
            Err(ClaimError::AlreadyRuns { pid }) => pid,
            other => panic!("{other:?}"),
        }
    }

    async fn echo(request: Request) -> Value {
        json!({"heard": request})
    }

    /// Runs `client` while `handler` serves.
    async fn served<H, F, T>(listener: Listener, handler: H, client: impl Future<Output = T>) -> T
    where
        H: Fn(Request) -> F,
        F: Future<Output = Value>,
    {
        tokio::select! {
            never = listener.serve(handler) => match never {},
            result = client => result,
        }
    }

    #[test]
    fn a_second_claim_says_who_runs_and_after_the_first_it_succeeds() {
        let world = World::new();
        let first = world.claim("a.toml").unwrap();
        assert_eq!(pid_in(world.claim("a.toml")), Some(std::process::id()));
        let error = world.claim("a.toml").unwrap_err().to_string();
        assert_eq!(error, format!("ostler runs on this settings file already (process {})", std::process::id()));
        drop(first);
        // A child that a test beside this one starts has a copy of the lock until it becomes its own program.
        let start = Instant::now();
        while world.claim("a.toml").is_err() {
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn a_longer_number_of_an_earlier_process_leaves_nothing_behind() {
        let world = World::new();
        let path = InstancePaths::new(world.folder(), &world.settings("a.toml")).unwrap().lock_file();
        std::fs::write(path, "4294967295 and more\n").unwrap();
        let _first = world.claim("a.toml").unwrap();
        assert_eq!(pid_in(world.claim("a.toml")), Some(std::process::id()));
    }

    #[test]
    fn a_folder_in_place_of_the_lock_is_named() {
        let world = World::new();
        let path = InstancePaths::new(world.folder(), &world.settings("a.toml")).unwrap().lock_file();
        std::fs::create_dir(&path).unwrap();
        let error = world.claim("a.toml").unwrap_err();
        assert!(matches!(&error, ClaimError::Lock { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot lock {}", path.display()));
    }

    #[test]
    fn a_settings_file_is_known_by_any_path_and_before_it_exists() {
        let world = World::new();
        let name = |path: PathBuf| InstancePaths::new(world.folder(), &path).unwrap().name;
        let plain = name(world.settings("etc/a.toml"));
        std::fs::create_dir(world.settings("etc")).unwrap();
        assert_eq!(name(world.settings("etc/a.toml")), plain);
        std::fs::write(world.settings("etc/a.toml"), "").unwrap();
        assert_eq!(name(world.settings("etc/a.toml")), plain);
        assert_eq!(name(world.settings("etc/../run/../etc/./a.toml")), plain);
        assert_ne!(name(world.settings("etc/b.toml")), plain);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(world.settings("etc"), world.settings("link")).unwrap();
            assert_eq!(name(world.settings("link/a.toml")), plain);
            assert_eq!(name(world.settings("link/b.toml")), name(world.settings("etc/b.toml")));
        }
    }

    #[test]
    fn requests_are_written_as_agreed() {
        for (request, text) in [
            (Request::Status, r#"{"do":"status"}"#),
            (Request::Pause, r#"{"do":"pause"}"#),
            (Request::Resume, r#"{"do":"resume"}"#),
            (Request::Quit, r#"{"do":"quit"}"#),
            (Request::ForgetSecret { account: "work".into() }, r#"{"do":"forget-secret","account":"work"}"#),
            (Request::Page, r#"{"do":"page"}"#),
            (Request::Since { seq: Some(7) }, r#"{"do":"since","seq":7}"#),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        }
    }

    #[tokio::test]
    async fn a_question_is_answered_also_by_a_handler_that_is_not_send() {
        let world = World::new();
        let instance = world.claim("a.toml").unwrap();
        let asked = Cell::new(0);
        let handler = |request| {
            asked.set(asked.get() + 1);
            echo(request)
        };
        let request = Request::ForgetSecret { account: "w\u{f6}rk".into() };
        let answer = served(instance.listen().unwrap(), handler, world.ask("a.toml", request.clone())).await;
        assert_eq!(answer.unwrap(), Some(json!({"heard": request})));
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test]
    async fn nothing_running_is_no_answer_and_no_error() {
        let world = World::new();
        assert!(nobody_answers(&world).await);
        let instance = world.claim("a.toml").unwrap();
        drop(instance.listen().unwrap());
        assert!(nobody_answers(&world).await);
        drop(instance);
        assert!(nobody_answers(&world).await);
    }

    #[tokio::test]
    async fn two_settings_files_do_not_meet() {
        let world = World::new();
        let (a, b) = (world.claim("a.toml").unwrap(), world.claim("b.toml").unwrap());
        let _b = b.listen().unwrap();
        let answer = served(a.listen().unwrap(), |_| async { json!("a") }, world.ask("a.toml", Request::Status)).await;
        assert_eq!(answer.unwrap(), Some(json!("a")));
    }

    #[tokio::test]
    async fn a_handler_that_takes_its_time_holds_up_nobody() {
        let world = World::new();
        let instance = world.claim("a.toml").unwrap();
        let handler = |request| async move {
            if request == Request::Pause {
                sleep(Duration::from_secs(60)).await;
            }
            echo(request).await
        };
        let clients = async {
            let slow = world.ask("a.toml", Request::Pause);
            let quick = async {
                sleep(Duration::from_millis(50)).await;
                let start = Instant::now();
                let answer = world.ask("a.toml", Request::Status).await.unwrap();
                assert!(start.elapsed() < Duration::from_secs(2));
                answer
            };
            tokio::join!(slow, quick)
        };
        let (slow, quick) = served(instance.listen().unwrap(), handler, clients).await;
        assert_eq!(slow.unwrap(), Some(json!({"error": "ostler is busy"})));
        assert_eq!(quick, Some(json!({"heard": {"do": "status"}})));
    }

    #[cfg(unix)]
    mod on_unix {
        use super::*;
        use tokio::net::UnixStream;

        fn socket(world: &World) -> PathBuf {
            let paths = InstancePaths::new(world.folder(), &world.settings("a.toml")).unwrap();
            world.folder().join(format!("{}.sock", paths.name))
        }

        async fn raw(path: &Path, question: &[u8]) -> String {
            let mut stream = UnixStream::connect(path).await.unwrap();
            stream.write_all(question).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            // Bytes left unread may reset the connection after the answer.
            let _ = stream.read_to_string(&mut answer).await;
            answer
        }

        #[tokio::test]
        async fn a_socket_left_behind_is_replaced() {
            let world = World::new();
            drop(std::os::unix::net::UnixListener::bind(socket(&world)).unwrap());
            assert!(nobody_answers(&world).await);
            let instance = world.claim("a.toml").unwrap();
            let answer = served(instance.listen().unwrap(), echo, world.ask("a.toml", Request::Status)).await;
            assert!(answer.unwrap().is_some());
            drop(instance);
            assert!(!socket(&world).exists());
        }

        #[tokio::test]
        async fn a_file_in_the_way_is_named_and_kept() {
            let world = World::new();
            std::fs::write(socket(&world), "precious").unwrap();
            let instance = world.claim("a.toml").unwrap();
            let error = instance.listen().unwrap_err().to_string();
            assert_eq!(error, format!("{} is in the way: it is not a socket", socket(&world).display()));
            drop(instance);
            assert_eq!(std::fs::read_to_string(socket(&world)).unwrap(), "precious");
        }

        #[tokio::test]
        async fn silent_connections_do_not_hold_up_a_status() {
            let world = World::new();
            let instance = world.claim("a.toml").unwrap();
            let clients = async {
                let mut silent = Vec::new();
                for _ in 0..100 {
                    silent.push(UnixStream::connect(socket(&world)).await.unwrap());
                }
                let start = Instant::now();
                let answer = world.ask("a.toml", Request::Status).await.unwrap();
                assert!(start.elapsed() < Duration::from_secs(2));
                // More than are heard at once: those that say nothing are sent away in time.
                for _ in 0..100 {
                    silent.push(UnixStream::connect(socket(&world)).await.unwrap());
                }
                assert_eq!(world.ask("a.toml", Request::Status).await.unwrap(), answer);
                answer
            };
            assert!(served(instance.listen().unwrap(), echo, clients).await.is_some());
        }

        #[tokio::test]
        async fn who_waits_for_news_holds_up_nobody() {
            let world = World::new();
            let instance = world.claim("a.toml").unwrap();
            let handler = async |request: Request| match request {
                Request::Since { .. } => std::future::pending().await,
                other => json!({"heard": other}),
            };
            let clients = async {
                let waiting = world.ask("a.toml", Request::Since { seq: Some(0) });
                tokio::pin!(waiting);
                tokio::select! {
                    biased;
                    news = &mut waiting => panic!("answered first: {news:?}"),
                    status = world.ask("a.toml", Request::Status) => assert!(status.unwrap().is_some()),
                }
                // Whoever waits too long is told so.
                assert_eq!(waiting.await.unwrap(), Some(json!({"error": "ostler is busy"})));
            };
            served(instance.listen().unwrap(), handler, clients).await;
        }

        #[tokio::test]
        async fn what_is_no_question_gets_an_error() {
            let world = World::new();
            let instance = world.claim("a.toml").unwrap();
            let path = socket(&world);
            let clients = async {
                assert!(raw(&path, b"{\"do\":\"dance\"}\n").await.contains("unknown variant `dance`"));
                assert!(raw(&path, b"GET / HTTP/1.1\r\n\r\n").await.contains("does not understand"));
                assert!(raw(&path, b"{\"do\":\"status\"}").await.contains("line end is missing"));
                assert!(raw(&path, &[b' '; 64 * 1024]).await.contains("too long"));
                assert_eq!(raw(&path, b"").await, "");
                assert_eq!(raw(&path, b"{\"do\":\"status\"}\n").await, "{\"heard\":{\"do\":\"status\"}}\n");
            };
            served(instance.listen().unwrap(), echo, clients).await;
        }
    }
}
