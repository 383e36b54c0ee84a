//! Who owns the client's end of a loopback connection, asked of the system for that very connection. What follows from the
//! answer is the caller's business.

use std::net::SocketAddr;

use tokio::sync::Semaphore;

/// The most slow questions asked at once, each on a thread of its own. Several, because those that wait together share an
/// answer of the system (`SharedReading`).
const MAX_SLOW_QUESTIONS: usize = 8;
/// The most clients that wait for the answer to a slow question: as many as are served at once.
const MAX_WAITING_CLIENTS: usize = 6000;
static SLOW_QUESTIONS: Turns = Turns::new(MAX_SLOW_QUESTIONS, MAX_WAITING_CLIENTS);

/// So many clients wait for such an answer that no more are taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyWait;

/// Who runs the program at the client's end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerOwner {
    /// The user who runs ostler.
    Me,
    /// Another user, by number. 0 is root; 65534 may be a user of another user namespace. On Windows, where users have no
    /// numbers, the number of the process.
    #[cfg_attr(target_os = "macos", allow(dead_code))]
    Other(u32),
    /// Another user, or the program is gone. macOS cannot tell which: it shows users only their own programs' sockets.
    #[cfg_attr(not(target_os = "macos"), allow(dead_code))]
    NotMe,
    /// No program holds the other end any more.
    #[cfg_attr(target_os = "macos", allow(dead_code))]
    Gone,
    /// The system did not say, for this reason.
    Unknown(&'static str),
}

/// Asks who owns the socket that is bound to `client` and connected to `door`: the `peer_addr()` and `local_addr()` of the
/// accepted stream, not the address of the listener, which may be `0.0.0.0`. Keep that stream open until the answer: then no
/// other connection has these two addresses, unless the client has broken this one off and is gone. So an answer that comes
/// late is still about this client.
///
/// On Linux the kernel answers through netlink in about 20 microseconds, which is less than another thread would cost, so the
/// caller's thread asks. Where netlink is forbidden, and on macOS, the answer takes tens of milliseconds; on Windows it grows
/// with the connections of the whole computer: 7 s with 20,000 of them under Wine. There another thread asks, and only
/// the caller waits.
pub(crate) async fn owner_of(client: SocketAddr, door: SocketAddr) -> Result<PeerOwner, TooManyWait> {
    match super::system::quick_owner_of(client, door) {
        Some(owner) => Ok(owner),
        None => SLOW_QUESTIONS.ask(move || super::system::owner_of(client, door)).await,
    }
}

/// Who may ask a slow question, and who may wait for that.
struct Turns {
    asking: Semaphore,
    waiting: Semaphore,
}

impl Turns {
    const fn new(asking: usize, waiting: usize) -> Self {
        Self { asking: Semaphore::const_new(asking), waiting: Semaphore::const_new(waiting) }
    }

    /// Asks on another thread, when it is this question's turn.
    async fn ask(&self, question: impl FnOnce() -> PeerOwner + Send + 'static) -> Result<PeerOwner, TooManyWait> {
        let _place = self.waiting.try_acquire().map_err(|_| TooManyWait)?;
        let _turn = self.asking.acquire().await.map_err(|_| TooManyWait)?;
        let answer = tokio::task::spawn_blocking(question).await;
        Ok(answer.unwrap_or(PeerOwner::Unknown("the question to the system broke off")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    /// As in ostler: one thread for all sessions.
    fn on_one_thread(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    #[test]
    fn a_slow_question_holds_up_no_other_session() {
        on_one_thread(async {
            let turns = Turns::new(1, 1);
            let (answer, waits) = mpsc::channel();
            let slow = turns.ask(move || waits.recv().unwrap());
            // The other session is what lets the first one go on: on one thread that could never happen.
            let other = async { answer.send(PeerOwner::Me).unwrap() };
            assert_eq!(tokio::join!(slow, other).0, Ok(PeerOwner::Me));
        });
    }

    #[test]
    fn no_more_are_asked_at_once_than_there_are_turns() {
        on_one_thread(async {
            let turns = Arc::new(Turns::new(2, 50));
            let running = Arc::new(AtomicUsize::new(0));
            let mut questions = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let (turns, running) = (Arc::clone(&turns), Arc::clone(&running));
                let question = move || {
                    let others = running.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    if others < 2 { PeerOwner::Me } else { PeerOwner::NotMe }
                };
                questions.spawn(async move { turns.ask(question).await });
            }
            assert!(questions.join_all().await.iter().all(|owner| *owner == Ok(PeerOwner::Me)));
        });
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        on_one_thread(async {
            let turns = Turns::new(1, 2);
            let (answer, waits) = mpsc::channel();
            let first = turns.ask(move || waits.recv().unwrap());
            let second = turns.ask(|| PeerOwner::Me);
            // Polled in this order, so both places are taken when the third one comes.
            let third = async {
                let refused = turns.ask(|| PeerOwner::Me).await;
                answer.send(PeerOwner::Me).unwrap();
                refused
            };
            let owners = tokio::join!(biased; first, second, third);
            assert_eq!(owners, (Ok(PeerOwner::Me), Ok(PeerOwner::Me), Err(TooManyWait)));
        });
    }

    #[test]
    fn a_question_that_panics_lets_no_client_in() {
        on_one_thread(async {
            let turns = Turns::new(1, 1);
            let answer = turns.ask(|| panic!("as in a defect")).await;
            assert!(matches!(answer, Ok(PeerOwner::Unknown(_))));
            assert_eq!(turns.ask(|| PeerOwner::Me).await, Ok(PeerOwner::Me), "its turn is free again");
        });
    }
}
