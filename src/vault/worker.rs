//! The one thread that does all keyring work, and the time limits around it. The work itself is in `keyring.rs`.
//!
//! Keyring calls block for as long as the user looks at a prompt, zbus may panic on a tokio thread, and Windows does
//! not keep the order of calls from several threads. So there is one plain thread, which does one request at a time.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// A thread that works on one request for longer than this is abandoned, and another one is started: if the keyring has
/// ended with its prompt on the screen, no answer ever comes. Longer than any request's time limit.
const STUCK_TIMEOUT: Duration = Duration::from_secs(180);

/// At most this many threads are abandoned at a time; each may have a prompt on the screen.
const MAX_STUCK_THREADS: usize = 4;

/// Carries out a request, on the thread.
pub(super) type Serve = Arc<dyn Fn(&Request) -> Result<Zeroizing<Vec<u8>>, Trouble> + Send + Sync>;

/// A request to the keyring. Repeating any of them does no harm.
#[cfg_attr(not(feature = "keyring"), allow(dead_code))]
pub(super) enum Request {
    /// The answer is the secret.
    Read { entry: String },
    /// The answer is empty, as for `Forget`.
    Write { entry: String, secret: Zeroizing<Vec<u8>> },
    /// Removes these entries and, if an account is named, all others of that account that can be found.
    Forget { account: Option<String>, entries: Vec<String> },
}

/// Why a request failed. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "keyring"), allow(dead_code))]
pub(super) enum Trouble {
    NoEntry,
    Locked(String),
    NoKeyring(String),
    TimedOut(Duration),
    Other(String),
}

/// The handle to the thread.
pub(super) struct Worker {
    serve: Serve,
    thread: Mutex<Option<Thread>>,
    /// Every living thread has a clone, so its count is the number of threads.
    threads: Arc<()>,
    stuck_timeout: Duration,
}

struct Thread {
    order_tx: mpsc::Sender<Order>,
    busy_since: BusySince,
}

/// When the thread began its present request; `None` if it has none.
type BusySince = Arc<Mutex<Option<Instant>>>;

struct Order {
    request: Request,
    since: Instant,
    answer: oneshot::Sender<Result<Zeroizing<Vec<u8>>, Trouble>>,
}

impl Worker {
    pub(super) fn new(serve: Serve) -> Self {
        Self { serve, thread: Mutex::new(None), threads: Arc::new(()), stuck_timeout: STUCK_TIMEOUT }
    }

    /// Has the thread carry out a request; waits at most `limit`, even if the thread is busy with another one.
    pub(super) async fn ask(&self, request: Request, limit: Duration) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let (answer, answered) = oneshot::channel();
        self.send(Order { request, since: Instant::now(), answer })?;
        match tokio::time::timeout(limit, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Trouble::Other("its thread ended".to_owned())),
            Err(_) => Err(Trouble::TimedOut(limit)),
        }
    }

    fn send(&self, order: Order) -> Result<(), Trouble> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match &*thread {
            Some(running) if !self.is_stuck(running) => match running.order_tx.send(order) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(order)) => order,
            },
            _ => order,
        };
        let started = self.start().map_err(|e| Trouble::Other(format!("no thread for it: {e}")))?;
        // Cannot fail: the new thread waits for its first order.
        let _ = started.order_tx.send(order);
        *thread = Some(started);
        Ok(())
    }

    fn is_stuck(&self, thread: &Thread) -> bool {
        let busy = *thread.busy_since.lock().unwrap_or_else(PoisonError::into_inner);
        busy.is_some_and(|since| since.elapsed() > self.stuck_timeout)
            // One count is the worker's own.
            && Arc::strong_count(&self.threads) - 1 <= MAX_STUCK_THREADS
    }

    fn start(&self) -> std::io::Result<Thread> {
        let (order_tx, queue) = mpsc::channel();
        let busy = BusySince::default();
        let serve = Arc::clone(&self.serve);
        let (at, threads) = (Arc::clone(&busy), Arc::clone(&self.threads));
        std::thread::Builder::new().name("keyring".to_owned()).spawn(move || {
            run(&queue, &serve, &at);
            drop(threads);
        })?;
        Ok(Thread { order_tx, busy_since: busy })
    }
}

fn run(queue: &mpsc::Receiver<Order>, serve: &Serve, busy: &BusySince) {
    let at = |since| *busy.lock().unwrap_or_else(PoisonError::into_inner) = since;
    let mut refused: Option<(Instant, Trouble)> = None;
    for order in queue {
        // The caller has given up. A write must not happen now: the caller has reported that it failed.
        if order.answer.is_closed() {
            continue;
        }
        // A user who dismissed the prompt should not see it again for every request that was waiting behind it.
        if let Some((_, trouble)) = refused.as_ref().filter(|(when, _)| order.since < *when) {
            let _ = order.answer.send(Err(trouble.clone()));
            continue;
        }
        at(Some(Instant::now()));
        let answer = serve(&order.request);
        at(None);
        if let Err(trouble @ Trouble::Locked(_)) = &answer {
            refused = Some((Instant::now(), trouble.clone()));
        }
        let _ = order.answer.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT_TIMEOUT: Duration = Duration::from_millis(50);
    const LONG_TIMEOUT: Duration = Duration::from_secs(20);

    fn read(entry: &str) -> Request {
        Request::Read { entry: entry.to_owned() }
    }

    /// Serves `slow` only when told to, `locked` likewise and with a refusal, anything else at once.
    fn worker() -> (Worker, mpsc::Sender<()>, Arc<Mutex<Vec<String>>>) {
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let served = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&served);
        let serve = move |request: &Request| {
            let Request::Read { entry } = request else { return Err(Trouble::NoEntry) };
            log.lock().unwrap().push(entry.clone());
            match entry.as_str() {
                "slow" => gate.lock().unwrap().recv().unwrap(),
                "locked" => {
                    gate.lock().unwrap().recv().unwrap();
                    return Err(Trouble::Locked("dismissed".into()));
                }
                "lost" => loop {
                    std::thread::park();
                },
                _ => {}
            }
            Ok(Zeroizing::new(entry.clone().into_bytes()))
        };
        (Worker::new(Arc::new(serve)), go, served)
    }

    #[tokio::test]
    async fn a_prompt_that_waits_costs_others_no_more_than_their_time_limit() {
        let (worker, go, served) = worker();
        let (first, second) =
            tokio::join!(worker.ask(read("slow"), SHORT_TIMEOUT), worker.ask(read("other"), SHORT_TIMEOUT));
        assert_eq!(first.err(), Some(Trouble::TimedOut(SHORT_TIMEOUT)));
        assert_eq!(second.err(), Some(Trouble::TimedOut(SHORT_TIMEOUT)));
        go.send(()).unwrap();
        assert_eq!(**worker.ask(read("third"), LONG_TIMEOUT).await.unwrap(), *b"third");
        assert_eq!(*served.lock().unwrap(), ["slow", "third"], "what nobody waits for is not served");
    }

    #[tokio::test]
    async fn turning_one_prompt_away_answers_all_that_waited_behind_it() {
        let (worker, go, served) = worker();
        let both =
            async { tokio::join!(worker.ask(read("locked"), LONG_TIMEOUT), worker.ask(read("other"), LONG_TIMEOUT)) };
        let open = async { go.send(()).unwrap() };
        let ((first, second), ()) = tokio::join!(both, open);
        assert_eq!(first.err(), Some(Trouble::Locked("dismissed".into())));
        assert_eq!(second.err(), Some(Trouble::Locked("dismissed".into())));
        assert!(worker.ask(read("later"), LONG_TIMEOUT).await.is_ok());
        assert_eq!(*served.lock().unwrap(), ["locked", "later"]);
    }

    #[tokio::test]
    async fn a_lost_thread_is_replaced_but_not_without_end() {
        let (mut worker, _go, _) = worker();
        worker.stuck_timeout = Duration::ZERO;
        for _ in 0..MAX_STUCK_THREADS + 1 {
            assert!(worker.ask(read("fine"), LONG_TIMEOUT).await.is_ok());
            assert!(worker.ask(read("lost"), SHORT_TIMEOUT).await.is_err());
        }
        assert_eq!(worker.ask(read("fine"), SHORT_TIMEOUT).await.err(), Some(Trouble::TimedOut(SHORT_TIMEOUT)));
    }
}
