//! A TCP connection that sends at once, and keeps little unsent in the system for a peer that takes its octets slowly.
//!
//! Not here: what is read and how it is buffered, which is `conn`'s.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection with a client or a provider.
pub struct Tcp {
    stream: TcpStream,
    unsent: unsent::Limit,
}

impl Tcp {
    /// Takes over a connection.
    pub fn new(stream: TcpStream) -> Self {
        // Nagle's algorithm and delayed acknowledgements together cost 40 ms a command.
        let _ = stream.set_nodelay(true);
        let unsent = unsent::Limit::new(&stream);
        Self { stream, unsent }
    }

    /// The connection itself, for what is asked of it and not sent on it.
    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.unsent.note(&this.stream, written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.unsent.note(&this.stream, written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod unsent {
    use std::time::{Duration, Instant};

    use socket2::SockRef;
    use tokio::net::TcpStream;

    /// How much may wait unsent in the system for a peer that is not known to be fast. Left alone, Linux takes some
    /// megabytes and asks for more when a third of them has left. A peer that reads slowly but steadily, such as a program
    /// behind a modem, then seems to read nothing for minutes, and each such peer costs these megabytes.
    const LIMIT_OCTETS: u32 = 128 * 1024;

    /// Means the system's own limit to the option `TCP_NOTSENT_LOWAT`.
    const SYSTEM_LIMIT: u32 = 0;

    /// A write that waits no longer than this meets a fast peer. Linux lets a writer go on when half of [`LIMIT_OCTETS`] is
    /// free, so this is 3 MB/s.
    const FAST_WAIT: Duration = Duration::from_millis(20);

    /// A peer is fast after so many fast waits in a row, which is 2 MiB. A relay with a slow line behind it, such as SSH,
    /// takes as much at once and little after it.
    const FAST_WAITS: u32 = 32;

    /// A write that waits longer than this meets a slow peer. Well above [`FAST_WAIT`], because without a limit a writer
    /// waits for a megabyte or so to leave, and because a busy computer may wake ostler late.
    const SLOW_WAIT: Duration = Duration::from_secs(1);

    /// Keeps the limit on for a peer that takes its octets slowly, and off for one that takes them as fast as they come. On,
    /// it wakes ostler for every 64 KiB, which costs a fast peer a seventh of the speed.
    pub(super) struct Limit {
        is_on: bool,
        /// When the first write found no room, while writes wait.
        waiting_since: Option<Instant>,
        /// How many fast waits there were since the last one that was not.
        fast_waits: u32,
    }

    impl Limit {
        pub(super) fn new(stream: &TcpStream) -> Self {
            Self { is_on: set(stream, LIMIT_OCTETS), waiting_since: None, fast_waits: 0 }
        }

        /// Takes notice of a write, and whether it found no room.
        pub(super) fn note(&mut self, stream: &TcpStream, found_no_room: bool) {
            match self.waiting_since {
                None if found_no_room => self.waiting_since = Some(Instant::now()),
                Some(since) if !found_no_room => {
                    self.waiting_since = None;
                    self.adapt(stream, since.elapsed());
                }
                _ => {}
            }
        }

        fn adapt(&mut self, stream: &TcpStream, waited: Duration) {
            self.fast_waits = if waited <= FAST_WAIT { self.fast_waits.saturating_add(1) } else { 0 };
            if self.is_on && self.fast_waits >= FAST_WAITS {
                self.is_on = !set(stream, SYSTEM_LIMIT);
            } else if !self.is_on && waited > SLOW_WAIT {
                self.is_on = set(stream, LIMIT_OCTETS);
            }
        }
    }

    /// Whether the system has taken the limit. Without it, all that is lost is memory and an early sign of progress.
    fn set(stream: &TcpStream, octets: u32) -> bool {
        SockRef::from(stream).set_tcp_notsent_lowat(octets).is_ok()
    }

    #[cfg(test)]
    mod tests {
        use tokio::net::TcpListener;

        use super::*;

        const FAST: Duration = Duration::from_millis(1);
        const MIDDLING: Duration = Duration::from_millis(300);
        const SLOW: Duration = Duration::from_secs(2);

        /// What the system's limit is after the first write, and after these waits.
        async fn limit_after(waits: &[Duration]) -> u32 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut limit = Limit::new(&stream);
            for &waited in waits {
                limit.adapt(&stream, waited);
            }
            SockRef::from(&stream).tcp_notsent_lowat().unwrap()
        }

        #[tokio::test]
        async fn a_peer_that_is_fast_for_two_megabytes_has_no_limit_until_it_is_slow() {
            let long_fast = [FAST; FAST_WAITS as usize];
            assert_eq!(limit_after(&[]).await, LIMIT_OCTETS);
            assert_eq!(limit_after(&long_fast[1..]).await, LIMIT_OCTETS);
            assert_eq!(limit_after(&long_fast).await, SYSTEM_LIMIT);
            assert_eq!(limit_after(&[&long_fast[..], &[MIDDLING]].concat()).await, SYSTEM_LIMIT);
            assert_eq!(limit_after(&[&long_fast[..], &[MIDDLING, SLOW]].concat()).await, LIMIT_OCTETS);
            assert_eq!(limit_after(&[&long_fast[..], &[SLOW], &long_fast[..]].concat()).await, SYSTEM_LIMIT);
            assert_eq!(limit_after(&[&long_fast[1..], &[MIDDLING, FAST]].concat()).await, LIMIT_OCTETS);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unsent {
    use tokio::net::TcpStream;

    /// These systems have no such limit.
    pub(super) struct Limit;

    impl Limit {
        pub(super) fn new(_: &TcpStream) -> Self {
            Self
        }

        pub(super) fn note(&mut self, _: &TcpStream, _found_no_room: bool) {}
    }
}
