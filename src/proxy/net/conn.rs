//! A connection and what has been read from it but not used: the one place that reads and writes sockets, for clients
//! and providers alike. No protocol words, no policy.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::client::TlsStream;

use crate::proxy::net::tcp::Tcp;
use ostler_mail::wire::{Line, TooLong, take_line};

/// How much is read at once. One buffer serves all connections of a thread, so an idle connection owns none. 64 KiB need
/// half the system calls of 16 KiB.
const SCRATCH_OCTETS: usize = 64 * 1024;

/// How long closing a connection may take. A peer that reads nothing takes no close_notify either.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The room that one more read needs: a TLS record's 16 KiB (RFC 8446, 5.1) and a little.
const READ_ROOM_OCTETS: usize = 16 * 1024 + 512;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_OCTETS].into_boxed_slice());
    /// A second one: TLS reads into the first while its records come through this one, which is lent to the connection
    /// that is being read.
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `with` with the thread's read buffer; never across an await.
pub(crate) fn with_scratch<T>(with: impl FnOnce(&mut [u8]) -> T) -> T {
    READ.with_borrow_mut(|buffer| with(buffer))
}

/// What reading a line can give.
#[derive(Debug)]
pub enum Read {
    /// A whole line.
    Line(Line),
    /// The other side has closed; what it left unfinished.
    End(Vec<u8>),
    /// More than the limit without a line end.
    TooLong(TooLong),
}

/// A stream and its unused input.
pub struct Conn<S> {
    stream: S,
    input: Vec<u8>,
    /// The other side has closed or broken the connection.
    ended: bool,
    alarm: Alarm,
}

/// A client's connection. What stands between its socket and its protocol, such as TLS or a header that names the real
/// client, goes in here.
pub type ClientConn = Conn<Tcp>;

impl ClientConn {
    /// Takes a client in.
    pub fn accepted(stream: TcpStream) -> Self {
        Self::new(Tcp::new(stream))
    }

    /// The address the client came to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Whether the client has sent anything. Asks the system itself, for the runtime has not looked yet.
    pub fn has_spoken(&self) -> bool {
        let mut one = [MaybeUninit::uninit()];
        matches!(SockRef::from(self.stream.get_ref()).peek(&mut one), Ok(1..))
    }
}

impl Conn<Stream> {
    /// The TLS session with a provider, if there is one.
    pub fn tls(&self) -> Option<&rustls::ClientConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(stream.get_ref().1),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Takes over a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, input: Vec::new(), ended: false, alarm: Alarm::default() }
    }

    /// What has been read and not used.
    pub fn unused(&self) -> &[u8] {
        &self.input
    }

    /// Takes what has been read and not used.
    pub fn take_unused(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Gives back input that was taken, without its first `used` octets. The rest is copied into a buffer of its own size,
    /// so that an idle connection does not hold on to a large one.
    pub(in crate::proxy) fn put_back(&mut self, input: Vec<u8>, used: usize) {
        self.input = if used == 0 { input } else { input[used..].to_vec() };
    }

    /// Adds octets that were read and not used.
    pub(in crate::proxy) fn add_unused(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// Takes the first `octets` of the unused input.
    pub fn take_front(&mut self, octets: usize) -> Vec<u8> {
        let rest = self.input.split_off(octets.min(self.input.len()));
        std::mem::replace(&mut self.input, rest)
    }

    /// Takes the first whole line of the unused input, if there is one.
    pub fn take_line(&mut self, limit: usize) -> Result<Option<Line>, TooLong> {
        take_line(&mut self.input, limit)
    }

    /// The stream alone. Anything read and not used is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Reads more; `false` at the end of the stream. Nothing is lost when the future is dropped.
    pub async fn fill(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Reads more, as [`fill`](Self::fill), until `deadline`; `None` when it has passed.
    pub async fn fill_until(&mut self, deadline: Instant) -> Option<io::Result<bool>> {
        // Taken out, because the read borrows the whole connection. If it is dropped halfway, the next one sets a new
        // alarm.
        let mut alarm = std::mem::take(&mut self.alarm);
        let filled = alarm.within(deadline, self.fill()).await;
        self.alarm = alarm;
        filled
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            self.input.extend_from_slice(buffer.filled());
            self.ended = buffer.filled().is_empty();
            Poll::Ready(Ok(!self.ended))
        })
    }

    /// The next line. Nothing is lost when the future is dropped.
    pub async fn read_line(&mut self, limit: usize) -> io::Result<Read> {
        loop {
            match self.take_line(limit) {
                Ok(Some(line)) => return Ok(Read::Line(line)),
                Err(too_long) => return Ok(Read::TooLong(too_long)),
                Ok(None) => {}
            }
            if !self.fill().await? {
                return Ok(Read::End(self.take_unused()));
            }
        }
    }

    /// The next line, as [`read_line`](Self::read_line), until `deadline`; `None` when it has passed.
    pub async fn read_line_until(&mut self, limit: usize, deadline: Instant) -> Option<io::Result<Read>> {
        let mut alarm = std::mem::take(&mut self.alarm);
        let read = alarm.within(deadline, self.read_line(limit)).await;
        self.alarm = alarm;
        read
    }

    /// Sends all the octets, now.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Whether the other side has said something, or closed, without being asked. Does not wait.
    pub async fn has_news(&mut self) -> bool {
        if !self.input.is_empty() || self.ended {
            return true;
        }
        // An error is news as well: the connection is broken.
        poll_fn(|cx| Poll::Ready(!matches!(self.poll_fill(cx), Poll::Pending))).await
    }

    /// Says goodbye on the transport: TLS close_notify and FIN. Best effort, for at most [`CLOSE_TIMEOUT`].
    pub async fn close(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.stream.shutdown()).await;
    }
}

/// What `relay` needs, which drives two connections in one poll.
impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Whether the other side has closed or broken the connection. Some of its input may still be unused.
    pub(in crate::proxy) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads into `buffer` as much as is there: one read brings one TLS record, and one write of four records is cheaper
    /// than four writes. An error after some octets counts as the end: TLS that was cut off without its close_notify comes
    /// as an error, and the filter knows whether that matters.
    pub(in crate::proxy) fn poll_read_available(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> io::Result<()> {
        while !self.ended && buffer.remaining() >= READ_ROOM_OCTETS {
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => self.ended = buffer.filled().len() == before,
                Poll::Ready(Err(error)) => {
                    self.ended = true;
                    if before == 0 {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes some of the octets, at least one.
    pub(in crate::proxy) fn poll_write(&mut self, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        taken(ready!(Pin::new(&mut self.stream).poll_write(cx, octets)))
    }

    /// The same, of several octet strings as if they were one.
    pub(in crate::proxy) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        taken(ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, octets)))
    }

    /// Sends what TLS still holds back.
    pub(in crate::proxy) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ready when `deadline` has passed.
    pub(in crate::proxy) fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.alarm.poll(cx, deadline)
    }

    /// The stream itself, for tests that look at what was written to it.
    #[cfg(test)]
    pub(in crate::proxy) fn stream(&self) -> &S {
        &self.stream
    }
}

/// What a write has come to. A stream that takes nothing and is not pending would make `relay` spin.
fn taken(written: io::Result<usize>) -> Poll<io::Result<usize>> {
    Poll::Ready(match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    })
}

/// The time limit of whatever a connection waits for. The runtime's timer is only touched when a limit begins that ends
/// before the one that is set, for that costs a system call, and most limits end later than the last one.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// What the future gives, until `deadline`; `None` when it has passed.
    async fn within<T>(&mut self, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        // The future is polled before the alarm: what has arrived counts, even if this computer slept through the
        // deadline.
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll(cx, deadline).map(|()| None),
        })
        .await
    }

    /// Ready when `deadline` has passed.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            // It rang for an earlier limit.
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The stream to a provider.
pub enum Stream {
    /// Without TLS: before STARTTLS, or because the settings say so.
    Plain(ReadAhead),
    /// Inside verified TLS.
    Tls(Box<TlsStream<ReadAhead>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A TCP connection that is read in large pieces even by a reader that asks for small ones, as rustls does (4 KiB at a
/// time: five system calls for one record). It holds a buffer only while some of its octets are unread.
pub struct ReadAhead {
    tcp: Tcp,
    ahead: Vec<u8>,
    unread: Range<usize>,
}

impl ReadAhead {
    /// Takes over a connection.
    pub fn new(tcp: Tcp) -> Self {
        Self { tcp, ahead: Vec::new(), unread: 0..0 }
    }

    /// Whether octets have come in that are still unread.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_unread() {
            // A reader with room of its own, such as `relay`, needs no second buffer.
            if buffer.remaining() >= SCRATCH_OCTETS / 2 {
                return Pin::new(&mut this.tcp).poll_read(cx, buffer);
            }
            let mut lent = RECORDS.take();
            lent.resize(SCRATCH_OCTETS, 0);
            let mut read = ReadBuf::new(&mut lent);
            let polled = Pin::new(&mut this.tcp).poll_read(cx, &mut read);
            this.unread = 0..read.filled().len();
            if !this.has_unread() {
                // Nothing came. The buffer goes back at once, because the next wait may be long.
                RECORDS.set(lent);
                return polled;
            }
            this.ahead = lent;
        }
        let now = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.ahead[this.unread.start..][..now]);
        this.unread.start += now;
        if !this.has_unread() {
            RECORDS.set(std::mem::take(&mut this.ahead));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
