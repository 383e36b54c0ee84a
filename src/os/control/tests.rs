//! The instance lock and the exchange between invocations, over real sockets.

use super::*;
use crate::os::instance::{ClaimError, Instance};
use crate::os::lock::Lock;
use std::cell::Cell;
use std::path::PathBuf;

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
        Instance::claim_in(vec![self.folder()], &self.settings(name))
    }

    /// Asks from a thread, while the runtime of the test serves.
    async fn ask(&self, name: &str, request: Request) -> io::Result<Option<Value>> {
        let paths = InstancePaths::new(self.folder(), &self.settings(name)).unwrap();
        tokio::task::spawn_blocking(move || ask_at(vec![paths], &request, ANSWER_TIMEOUT)).await.unwrap()
    }
}

/// A socket just closed may live on for a moment, in a child process that a test beside this one has just started.
async fn is_unanswered(world: &World) -> bool {
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
    assert_eq!(error, format!("ostler is already running on this settings file (process {})", std::process::id()));
    drop(first);
    world.claim("a.toml").unwrap();
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
    let name = |path: PathBuf| InstancePaths::new(world.folder(), &path).unwrap().name().to_owned();
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

/// A start at the moment in which `ostler quit` looked whether the one before had ended said that it was still there.
#[test]
fn who_only_looks_whether_an_ostler_runs_keeps_none_from_starting() {
    let world = World::new();
    let paths = InstancePaths::new(world.folder(), &world.settings("a.toml")).unwrap();
    let look = Lock::take(&paths.lock_file()).unwrap().unwrap();
    std::thread::scope(|scope| {
        let claiming = scope.spawn(|| world.claim("a.toml"));
        std::thread::sleep(Duration::from_millis(30));
        drop(look);
        claiming.join().unwrap().unwrap();
    });
}

/// `ostler quit` right after a start said that none runs, and the start went on.
#[tokio::test]
async fn an_ostler_that_is_just_starting_is_waited_for() {
    let world = World::new();
    let instance = world.claim("a.toml").unwrap();
    let asking = world.ask("a.toml", Request::Quit);
    let starting = async {
        sleep(Duration::from_millis(30)).await;
        instance.listen().unwrap()
    };
    tokio::pin!(asking);
    let listener = tokio::select! {
        biased;
        answer = &mut asking => panic!("{answer:?}"),
        listener = starting => listener,
    };
    assert_eq!(served(listener, echo, asking).await.unwrap(), Some(json!({"heard": {"do": "quit"}})));
}

#[test]
fn requests_are_written_as_agreed() {
    for (request, text) in [
        (Request::Status, r#"{"do":"status"}"#),
        (Request::Pause, r#"{"do":"pause"}"#),
        (Request::Resume, r#"{"do":"resume"}"#),
        (Request::Quit, r#"{"do":"quit"}"#),
        (Request::ForgetSecret { account: "work".into() }, r#"{"do":"forget-secret","account":"work"}"#),
        (Request::Removed { account: "work".into() }, r#"{"do":"removed","account":"work"}"#),
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
    assert!(is_unanswered(&world).await);
    let instance = world.claim("a.toml").unwrap();
    drop(instance.listen().unwrap());
    assert!(is_unanswered(&world).await);
    drop(instance);
    assert!(is_unanswered(&world).await);
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
            assert!(start.elapsed() < Duration::from_secs(20));
            answer
        };
        tokio::join!(slow, quick)
    };
    let (slow, quick) = served(instance.listen().unwrap(), handler, clients).await;
    assert_eq!(slow.unwrap(), Some(json!({"error": "ostler is busy"})));
    assert_eq!(quick, Some(json!({"heard": {"do": "status"}})));
}

#[tokio::test]
async fn an_ostler_is_found_by_whoever_shares_one_of_its_folders() {
    let world = World::new();
    let (home, session) = (world.0.path().join("home"), world.0.path().join("session"));
    std::fs::create_dir(&home).unwrap();
    std::fs::create_dir(&session).unwrap();
    let settings = world.settings("a.toml");
    let claim = |folders: &[&PathBuf]| Instance::claim_in(folders.iter().map(|f| (*f).clone()).collect(), &settings);
    // A service has no session; an ostler of the session knows both folders.
    for (of_first, of_second) in [(vec![&home], vec![&home, &session]), (vec![&home, &session], vec![&session])] {
        let first = claim(&of_first).unwrap();
        let asked = async {
            assert_eq!(pid_in(claim(&of_second)), Some(std::process::id()));
            let paths = |folder: &&PathBuf| InstancePaths::new((*folder).clone(), &settings).unwrap();
            let paths = [&session, &home].iter().map(paths).collect();
            tokio::task::spawn_blocking(move || ask_at(paths, &Request::Status, ANSWER_TIMEOUT)).await.unwrap()
        };
        let answer = served(first.listen().unwrap(), echo, asked).await;
        assert!(answer.unwrap().is_some());
    }
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use tokio::net::UnixStream;

    fn socket(world: &World) -> PathBuf {
        let paths = InstancePaths::new(world.folder(), &world.settings("a.toml")).unwrap();
        world.folder().join(format!("{}.sock", paths.name()))
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
        let left = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        left.bind(&socket2::SockAddr::unix(socket(&world)).unwrap()).unwrap();
        drop(left);
        assert!(is_unanswered(&world).await);
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
            assert!(start.elapsed() < EXCHANGE_STEP_TIMEOUT);
            // More than are served at once: those that send nothing are dropped in time.
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
            // A request that takes too long gets an error.
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
