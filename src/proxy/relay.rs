//! Passes octets between a client and a server, both ways at once, through a [`Filter`]. One loop for every protocol;
//! it knows nothing of what passes.
//!
//! Octets that a filter lets pass unchanged go straight from the thread's read buffer to the other socket. A side whose
//! other side does not take what it has is not read until it does, so memory does not grow with a message.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::proxy::net::conn::{Alarm, Conn, with_scratch};
use ostler_mail::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};

/// The time limits of a pass-through.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A client that may speak and does not.
    pub idle: Duration,
    /// A server that owes a line.
    pub reply: Duration,
    /// A message that does not move.
    pub data: Duration,
}

/// Why a pass-through ended.
#[derive(Debug)]
pub enum Ended {
    /// The filter says that nothing more will pass, and everything has left.
    Over,
    /// The client closed or broke its connection.
    ClientGone,
    /// The server did.
    ServerGone,
    /// Time is up; who kept everybody waiting.
    TimedOut(Clock, Party),
    /// Somebody broke the rules.
    Breach(ProtocolViolation),
    /// ostler is about to end and no message is under way.
    Stopping,
}

/// Passes octets until something ends it. What neither side has used stays in the connections.
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
    let mut sides = Sides { client: Side::new(client), server: Side::new(server), waits_for_answers: false };
    let mut stop = Box::pin(async move {
        // An error means that whoever could say it is gone: never.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let mut is_stopping = false;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = sides.poll(cx, filter) {
            return Poll::Ready(ended);
        }
        is_stopping = is_stopping || stop.as_mut().poll(cx).is_ready();
        if is_stopping && filter.clock().0 != Clock::Message {
            return Poll::Ready(Ended::Stopping);
        }
        timer.poll(cx, filter.clock(), &mut sides.client.conn.alarm).map(|clock| {
            let late = match clock {
                Clock::ClientIdle => Party::Client,
                Clock::Reply => Party::Server,
                Clock::Message if !sides.client.pending.is_empty() => Party::Client,
                Clock::Message if !sides.server.pending.is_empty() => Party::Server,
                Clock::Message => filter.message_from(),
            };
            Ended::TimedOut(clock, late)
        })
    })
    .await
}

/// One connection, what is on its way to it, and how far its input has been looked at.
struct Side<'a, S> {
    conn: &'a mut Conn<S>,
    pending: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// The filter has seen all of the unused input and wants more of it.
    starved: bool,
}

struct Sides<'a, C, S> {
    client: Side<'a, C>,
    server: Side<'a, S>,
    /// The client has ended; what the server still says goes to it all the same.
    waits_for_answers: bool,
}

/// What one direction has to report.
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

    /// Sends what is pending; ready when nothing is.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.pending.len() {
            match Pin::new(&mut self.conn.stream).poll_write(cx, &self.pending[self.sent..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(n) => {
                    self.sent += n;
                    self.unflushed = true;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.pending.is_empty() {
            self.pending = Vec::new();
            self.sent = 0;
        }
        if self.unflushed {
            match Pin::new(&mut self.conn.stream).poll_flush(cx)? {
                Poll::Ready(()) => self.unflushed = false,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends octets as they are, behind whatever is pending.
    fn pass(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while self.pending.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut self.conn.stream).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    self.unflushed = true;
                    bytes = &bytes[n..];
                }
                Poll::Pending => break,
            }
        }
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
            // The server first: what it says unasked must be seen before a command makes it an answer.
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
        }
    }

    /// The client gets what has come for it before the end, as far as it takes it at once.
    fn after_the_rest(&mut self, cx: &mut Context<'_>, ended: Ended) -> Poll<Ended> {
        let _ = self.client.poll_send(cx);
        Poll::Ready(ended)
    }

    fn server_said<F: Filter>(&mut self, cx: &mut Context<'_>, filter: &mut F) -> Moved {
        // TLS may have more of it than one read gives, so the end is only the end when nothing is left before it.
        let Self { client, server, .. } = self;
        if !client.is_done() {
            return Moved::No;
        }
        match pump(cx, server, client, |input, say| filter.server_said(input, say), Direction::ToClient) {
            Pumped::Moved => Moved::Yes,
            Pumped::Waiting => Moved::No,
            Pumped::Breach(breach) => Moved::Ended(Ended::Breach(breach)),
            Pumped::Ended | Pumped::SourceFailed => Moved::Ended(Ended::ServerGone),
            Pumped::TargetFailed => Moved::Ended(Ended::ClientGone),
        }
    }

    fn client_said<F: Filter>(&mut self, cx: &mut Context<'_>, filter: &mut F) -> Moved {
        let Self { client, server, waits_for_answers } = self;
        if *waits_for_answers || !server.is_done() || !filter.wants_client() {
            return Moved::No;
        }
        match pump(cx, client, server, |input, say| filter.client_said(input, say), Direction::ToServer) {
            Pumped::Moved => Moved::Yes,
            Pumped::Waiting => Moved::No,
            Pumped::Breach(breach) => Moved::Ended(Ended::Breach(breach)),
            Pumped::SourceFailed => Moved::Ended(Ended::ClientGone),
            Pumped::TargetFailed => Moved::Ended(Ended::ServerGone),
            Pumped::Ended => {
                let mut say = Replies::default();
                let rest = std::mem::take(&mut client.conn.input);
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

#[derive(Clone, Copy)]
enum Direction {
    ToClient,
    ToServer,
}

enum Pumped {
    Moved,
    Waiting,
    Breach(ProtocolViolation),
    Ended,
    SourceFailed,
    TargetFailed,
}

/// Moves what can be moved from one side to the other.
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
    let mut handle =
        |cx: &mut Context<'_>, from_pending: &mut Vec<u8>, input: &[u8]| -> Result<(usize, bool, bool), Pumped> {
            let (mut at, mut starved, mut failed) = (0, false, false);
            let mut say = Replies::default();
            while at < input.len() && to.pending.is_empty() {
                match look(&input[at..], &mut say).map_err(Pumped::Breach)? {
                    Pass::Forward(n) => {
                        failed = to.pass(cx, &input[at..at + n]).is_err();
                        at += n;
                        if failed {
                            // The rest has not been looked at and stays: the end of a message may be in it.
                            break;
                        }
                    }
                    Pass::Replaced(n) => at += n,
                    Pass::NeedMore | Pass::Stop => {
                        starved = true;
                        break;
                    }
                }
                let (target, source) = match direction {
                    Direction::ToClient => (&mut say.client, &mut say.server),
                    Direction::ToServer => (&mut say.server, &mut say.client),
                };
                to.pending.append(target);
                from_pending.append(source);
            }
            Ok((at, starved, failed))
        };
    if !from.conn.input.is_empty() && !from.starved {
        let input = std::mem::take(&mut from.conn.input);
        let handled = handle(cx, &mut from.pending, &input);
        let (used, starved, failed) = match handled {
            Ok(result) => result,
            Err(ended) => return ended,
        };
        from.starved = starved;
        from.conn.input = if used == 0 { input } else { input[used..].to_vec() };
        return if failed { Pumped::TargetFailed } else { Pumped::Moved };
    }
    if from.conn.ended {
        return Pumped::Ended;
    }
    with_scratch(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        // As much as is there: one record of TLS is one read, and one write of four records is cheaper than four.
        while buffer.remaining() >= 16 * 1024 + 512 {
            let before = buffer.filled().len();
            match Pin::new(&mut from.conn.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                // TLS cut off without its goodbye comes as an error; whether that matters, the filter's state tells.
                Poll::Ready(Err(_)) if before > 0 => {
                    from.conn.ended = true;
                    break;
                }
                Poll::Ready(Err(_)) => {
                    from.conn.ended = true;
                    return Pumped::SourceFailed;
                }
                Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                    from.conn.ended = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
        }
        let read = buffer.filled();
        if read.is_empty() {
            return if from.conn.ended { Pumped::Moved } else { Pumped::Waiting };
        }
        from.starved = false;
        if !from.conn.input.is_empty() {
            from.conn.input.extend_from_slice(read);
            return Pumped::Moved;
        }
        match handle(cx, &mut from.pending, read) {
            Err(ended) => ended,
            Ok((used, starved, failed)) => {
                from.starved = starved;
                from.conn.input.extend_from_slice(&read[used..]);
                if failed { Pumped::TargetFailed } else { Pumped::Moved }
            }
        }
    })
}

/// The running time limit.
struct Timer {
    limits: Limits,
    running: (Clock, u64),
    ends: Instant,
}

impl Timer {
    fn new(running: (Clock, u64), limits: Limits) -> Self {
        Self { limits, running, ends: Instant::now() + limits.of(running.0) }
    }

    fn poll(&mut self, cx: &mut Context<'_>, clock: (Clock, u64), alarm: &mut Alarm) -> Poll<Clock> {
        if clock != self.running {
            self.running = clock;
            self.ends = Instant::now() + self.limits.of(clock.0);
        }
        alarm.poll(cx, self.ends).map(|()| self.running.0)
    }
}

impl Limits {
    fn of(self, clock: Clock) -> Duration {
        match clock {
            Clock::ClientIdle => self.idle,
            Clock::Reply => self.reply,
            Clock::Message => self.data,
        }
    }
}

/// A server that takes everything and says nothing: what is left of a message nobody wants any more goes there.
pub struct Nowhere;

impl AsyncRead for Nowhere {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Nowhere {
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
