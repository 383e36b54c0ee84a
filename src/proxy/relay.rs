//! Passes octets between a client and a server, both ways at once, through a [`Filter`]. One loop for every protocol;
//! it knows no word of any.
//!
//! Octets that a filter lets pass unchanged go straight from the thread's read buffer to the other socket. While one side
//! does not take what is pending for it, the other is not read, so memory does not grow with a message.
//!
//! Not here: what may pass, which is the filter's to say.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::proxy::net::conn::{Conn, with_scratch};
use ostler_mail::clock::Moment;
use ostler_mail::failure::{Failure, ServerAddr, Waiting};
use ostler_mail::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};

/// The time limits of a pass-through.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may stay silent between commands.
    pub idle: Duration,
    /// How long a server may take for a line.
    pub reply: Duration,
    /// How long a message may stand still.
    pub data: Duration,
    /// How long both sides may wait for news before the filter renews what they have agreed on.
    pub agreed: Duration,
}

/// Why a pass-through ended.
#[derive(Debug)]
pub enum Ended {
    /// The filter says that nothing more will pass, and everything has left.
    Over,
    /// The client closed or broke its connection.
    ClientGone,
    /// The server closed or broke its connection.
    ServerGone,
    /// A time limit has passed; the party that was late.
    TimedOut(Clock, Party),
    /// One side violated the protocol.
    Violation(ProtocolViolation),
    /// ostler is shutting down, and nothing is under way that has to pass to its end.
    Stopping,
}

impl Ended {
    /// What the server did wrong, if it did. `waiting` is what it owed when it closed.
    pub fn server_failure(&self, at: &ServerAddr, waiting: Waiting, limits: Limits) -> Option<Failure> {
        let timed_out = |waiting, after| Failure::TimedOut { at: at.clone(), waiting, after };
        match self {
            Self::ServerGone => Some(Failure::Lost { at: at.clone(), waiting }),
            Self::TimedOut(Clock::Reply, _) => Some(timed_out(Waiting::Answer, limits.reply)),
            Self::TimedOut(_, Party::Server) => Some(timed_out(Waiting::Message, limits.data)),
            Self::Violation(ProtocolViolation::Server(what)) => Some(at.violation(what)),
            Self::Over
            | Self::ClientGone
            | Self::Stopping
            | Self::TimedOut(_, Party::Client)
            | Self::Violation(ProtocolViolation::Client(_)) => None,
        }
    }
}

/// Passes octets until something ends it. Input that has not been used stays in the connections.
pub async fn relay<C, S, F>(
    client: &mut Conn<C>,
    server: &mut Conn<S>,
    filter: &mut F,
    limits: Limits,
    stopping: &mut watch::Receiver<bool>,
) -> Ended
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
    F: Filter,
{
    let mut timer = Timer::new(filter.clock(), limits);
    let (client, server) = (Side::new(client), Side::new(server));
    let mut sides = Sides { client, server, waits_for_answers: false, began: Instant::now() };
    let mut stop = Box::pin(async move {
        // An error means that the sender is gone: no stop will ever come.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let mut is_stopping = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = sides.poll(cx, filter) {
                return Poll::Ready(ended);
            }
            is_stopping = is_stopping || stop.as_mut().poll(cx).is_ready();
            if is_stopping && filter.end_early() {
                return Poll::Ready(Ended::Stopping);
            }
            let clock = ready!(timer.poll(cx, filter.clock(), sides.client.conn));
            let late = match clock {
                Clock::Agreed => {
                    sides.renew(filter);
                    timer.restart();
                    continue;
                }
                Clock::ClientIdle => Party::Client,
                Clock::Reply => Party::Server,
                // A message stands still because of the side that does not take what is pending for it.
                Clock::Message if !sides.client.pending.is_empty() => Party::Client,
                Clock::Message if !sides.server.pending.is_empty() => Party::Server,
                Clock::Message => filter.message_from(),
            };
            return Poll::Ready(Ended::TimedOut(clock, late));
        }
    })
    .await
}

/// One connection with what is pending for it.
struct Side<'a, S> {
    conn: &'a mut Conn<S>,
    pending: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// The filter has seen the unused input and can do nothing before more arrives.
    starved: bool,
}

struct Sides<'a, C, S> {
    client: Side<'a, C>,
    server: Side<'a, S>,
    /// The client has closed its sending half; the server's answers still go to it.
    waits_for_answers: bool,
    /// The zero of the filter's time.
    began: Instant,
}

/// What one round in one direction achieved.
enum Moved {
    /// Something moved; look again.
    Yes,
    /// Nothing can move now.
    No,
    /// The pass-through ends.
    Ended(Ended),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Side<'a, S> {
    fn new(conn: &'a mut Conn<S>) -> Self {
        Self { conn, pending: Vec::new(), sent: 0, unflushed: false, starved: false }
    }

    /// Sends what is pending. Ready once everything has left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.pending.len() {
            self.sent += ready!(self.conn.poll_write(cx, &self.pending[self.sent..]))?;
            self.unflushed = true;
        }
        if !self.pending.is_empty() {
            // Given back, not cleared: an idle connection holds no buffer.
            self.pending = Vec::new();
            self.sent = 0;
        }
        if self.unflushed {
            ready!(self.conn.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends octets unchanged, after whatever is pending and what announces them. What the socket does not take becomes
    /// pending.
    fn pass(&mut self, cx: &mut Context<'_>, mut announced: &[u8], mut bytes: &[u8]) -> io::Result<()> {
        while self.pending.is_empty() && !(announced.is_empty() && bytes.is_empty()) {
            let written = match announced {
                [] => self.conn.poll_write(cx, bytes)?,
                // Together: TLS makes a record of each write.
                _ => self.conn.poll_write_vectored(cx, &[IoSlice::new(announced), IoSlice::new(bytes)])?,
            };
            let Poll::Ready(written) = written else { break };
            self.unflushed = true;
            let of_announced = written.min(announced.len());
            (announced, bytes) = (&announced[of_announced..], &bytes[written - of_announced..]);
        }
        self.pending.extend_from_slice(announced);
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

impl<C, S> Sides<'_, C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll<F: Filter>(&mut self, cx: &mut Context<'_>, filter: &mut F) -> Poll<Ended> {
        filter.note_time(Moment::at(self.began.elapsed()));
        loop {
            if let Poll::Ready(Err(_)) = self.client.poll_send(cx) {
                return Poll::Ready(Ended::ClientGone);
            }
            if let Poll::Ready(Err(_)) = self.server.poll_send(cx) {
                return Poll::Ready(Ended::ServerGone);
            }
            let all_left = self.client.is_done() && self.server.is_done();
            if filter.is_over() {
                return if all_left { Poll::Ready(Ended::Over) } else { Poll::Pending };
            }
            if all_left {
                match self.say_more(filter) {
                    Moved::Yes => continue,
                    Moved::No => {}
                    Moved::Ended(ended) => return Poll::Ready(ended),
                }
            }
            // The server first: what it says unasked must be recognised before a command makes it look like an answer.
            let server_moved = self.server_said(cx, filter);
            if let Moved::Ended(ended) = server_moved {
                return self.after_the_rest(cx, ended);
            }
            let client_moved = self.client_said(cx, filter);
            if let Moved::Ended(ended) = client_moved {
                return Poll::Ready(ended);
            }
            if !matches!(server_moved, Moved::Yes) && !matches!(client_moved, Moved::Yes) {
                return Poll::Pending;
            }
            // What the server said may be what the filter waited for.
            self.client.starved &= !matches!(server_moved, Moved::Yes);
        }
    }

    /// Lets the filter go on with an answer of its own.
    fn say_more<F: Filter>(&mut self, filter: &mut F) -> Moved {
        let mut say = Replies::default();
        if let Err(breach) = filter.say_more(&mut say) {
            return Moved::Ended(Ended::Violation(breach));
        }
        if say.client.is_empty() && say.server.is_empty() {
            return Moved::No;
        }
        self.client.pending.append(&mut say.client);
        self.server.pending.append(&mut say.server);
        self.client.starved = false;
        Moved::Yes
    }

    /// Says what the filter says to go on waiting for news.
    fn renew<F: Filter>(&mut self, filter: &mut F) {
        let mut say = Replies::default();
        filter.renew(&mut say);
        self.server.pending.append(&mut say.server);
        self.client.pending.append(&mut say.client);
    }

    /// Gives the client what arrived for it before the end, as far as its socket takes it at once.
    fn after_the_rest(&mut self, cx: &mut Context<'_>, ended: Ended) -> Poll<Ended> {
        let _ = self.client.poll_send(cx);
        Poll::Ready(ended)
    }

    fn server_said<F: Filter>(&mut self, cx: &mut Context<'_>, filter: &mut F) -> Moved {
        let Self { client, server, .. } = self;
        if !client.is_done() {
            return Moved::No;
        }
        match pump(cx, server, client, |input, say| filter.server_said(input, say), Direction::ToClient) {
            Pumped::Moved => Moved::Yes,
            Pumped::Waiting => Moved::No,
            Pumped::Violation(breach) => Moved::Ended(Ended::Violation(breach)),
            Pumped::SourceEnded | Pumped::SourceFailed if filter.server_ended() => Moved::No,
            Pumped::SourceEnded | Pumped::SourceFailed => Moved::Ended(Ended::ServerGone),
            Pumped::TargetFailed => Moved::Ended(Ended::ClientGone),
        }
    }

    fn client_said<F: Filter>(&mut self, cx: &mut Context<'_>, filter: &mut F) -> Moved {
        let Self { client, server, waits_for_answers, .. } = self;
        if *waits_for_answers || !server.is_done() || !filter.wants_client() {
            return Moved::No;
        }
        match pump(cx, client, server, |input, say| filter.client_said(input, say), Direction::ToServer) {
            Pumped::Moved => Moved::Yes,
            Pumped::Waiting => Moved::No,
            Pumped::Violation(breach) => Moved::Ended(Ended::Violation(breach)),
            Pumped::SourceFailed => Moved::Ended(Ended::ClientGone),
            Pumped::TargetFailed => Moved::Ended(Ended::ServerGone),
            Pumped::SourceEnded => {
                let mut say = Replies::default();
                let rest = client.conn.take_unused();
                *waits_for_answers = filter.client_ended(&rest, &mut say);
                server.pending.append(&mut say.server);
                if *waits_for_answers { Moved::Yes } else { Moved::Ended(Ended::ClientGone) }
            }
        }
    }
}

impl<S> Side<'_, S> {
    fn is_done(&self) -> bool {
        self.pending.is_empty() && !self.unflushed
    }
}

/// Which way octets flow.
#[derive(Clone, Copy)]
enum Direction {
    ToClient,
    ToServer,
}

/// What one attempt to move octets in one direction achieved.
enum Pumped {
    /// Octets moved, or the filter has new work.
    Moved,
    /// The source has nothing to read now.
    Waiting,
    /// The filter found a violation of the protocol.
    Violation(ProtocolViolation),
    /// The source has closed, and all its input has been shown to the filter.
    SourceEnded,
    SourceFailed,
    TargetFailed,
}

/// How much of some input the filter has used.
struct Handled {
    octets: usize,
    target_failed: bool,
}

impl From<Handled> for Pumped {
    fn from(handled: Handled) -> Self {
        if handled.target_failed { Self::TargetFailed } else { Self::Moved }
    }
}

/// Moves what can be moved from one side to the other: first input that was left over, then what the source has to read.
fn pump<A, B>(
    cx: &mut Context<'_>,
    from: &mut Side<'_, A>,
    to: &mut Side<'_, B>,
    mut look: impl FnMut(&[u8], &mut Replies) -> Result<Pass, ProtocolViolation>,
    direction: Direction,
) -> Pumped
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    if !from.conn.unused().is_empty() && !from.starved {
        let input = from.conn.take_unused();
        let handled = match show_to_filter(cx, from, to, &input, &mut look, direction) {
            Ok(handled) => handled,
            Err(breach) => return Pumped::Violation(breach),
        };
        from.conn.put_back(input, handled.octets);
        return handled.into();
    }
    if from.conn.has_ended() {
        return Pumped::SourceEnded;
    }
    with_scratch(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        if from.conn.poll_read_available(cx, &mut buffer).is_err() {
            return Pumped::SourceFailed;
        }
        let read = buffer.filled();
        if read.is_empty() {
            // The end is told in the next round, when the filter has seen all that came before it.
            return if from.conn.has_ended() { Pumped::Moved } else { Pumped::Waiting };
        }
        if !from.conn.unused().is_empty() {
            // The filter waits for the rest of something: show it both parts together, in the next round.
            from.starved = false;
            from.conn.add_unused(read);
            return Pumped::Moved;
        }
        match show_to_filter(cx, from, to, read, &mut look, direction) {
            Err(breach) => Pumped::Violation(breach),
            Ok(handled) => {
                from.conn.add_unused(&read[handled.octets..]);
                handled.into()
            }
        }
    })
}

/// Shows input to the filter and does what it says, until all is used, the filter wants more, or the target takes no more.
/// What stays unused is the caller's to keep.
fn show_to_filter<A, B>(
    cx: &mut Context<'_>,
    from: &mut Side<'_, A>,
    to: &mut Side<'_, B>,
    input: &[u8],
    look: &mut impl FnMut(&[u8], &mut Replies) -> Result<Pass, ProtocolViolation>,
    direction: Direction,
) -> Result<Handled, ProtocolViolation>
where
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut handled = Handled { octets: 0, target_failed: false };
    let mut say = Replies::default();
    from.starved = false;
    while handled.octets < input.len() && to.pending.is_empty() {
        let rest = &input[handled.octets..];
        let (forwarded, used, is_announced) = match look(rest, &mut say)? {
            Pass::Forward(octets) => (octets, octets, false),
            Pass::Announced { forwarded, used } => (forwarded, used, true),
            Pass::Replaced(used) => (0, used, false),
            Pass::NeedMore | Pass::Stop => {
                from.starved = true;
                break;
            }
        };
        let (for_target, for_source) = match direction {
            Direction::ToClient => (&mut say.client, &mut say.server),
            Direction::ToServer => (&mut say.server, &mut say.client),
        };
        let announced = if is_announced { std::mem::take(for_target) } else { Vec::new() };
        let passed = to.pass(cx, &announced, &rest[..forwarded]);
        handled.octets += used;
        if passed.is_err() {
            // The rest stays unseen: it may hold the end of a message, which decides what the failure means.
            handled.target_failed = true;
            break;
        }
        to.pending.append(for_target);
        from.pending.append(for_source);
    }
    Ok(handled)
}

/// The running time limit.
struct Timer {
    limits: Limits,
    running: (Clock, u64),
    ends: Instant,
    /// When the agreed time is over that data interrupt (news in an IDLE), and its number: the provider counts on meanwhile.
    agreed: Option<(u64, Instant)>,
}

impl Timer {
    fn new(running: (Clock, u64), limits: Limits) -> Self {
        let mut timer = Self { limits, running, ends: Instant::now(), agreed: None };
        timer.restart();
        timer
    }

    /// `conn` lends its alarm: either connection would do.
    fn poll<S>(&mut self, cx: &mut Context<'_>, clock: (Clock, u64), conn: &mut Conn<S>) -> Poll<Clock>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if clock != self.running {
            self.running = clock;
            match (clock, self.agreed) {
                ((Clock::Agreed, number), Some((same, ends))) if number == same => self.ends = ends,
                _ => self.restart(),
            }
        }
        conn.poll_deadline(cx, self.ends).map(|()| self.running.0)
    }

    fn restart(&mut self) {
        let (clock, number) = self.running;
        self.ends = Instant::now() + self.limits.of(clock);
        match clock {
            Clock::Agreed => self.agreed = Some((number, self.ends)),
            Clock::Message => {}
            Clock::ClientIdle | Clock::Reply => self.agreed = None,
        }
    }
}

impl Limits {
    fn of(self, clock: Clock) -> Duration {
        match clock {
            Clock::ClientIdle => self.idle,
            Clock::Reply => self.reply,
            Clock::Message => self.data,
            Clock::Agreed => self.agreed,
        }
    }
}

/// A sink: `relay` drains the rest of a refused message body into it.
pub struct Sink;

impl AsyncRead for Sink {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
