//! The loop between two ends that do what they are told: read so much, fail then, take nothing until later. What two
//! honest ends make of it is in `tests/relay.rs`.

use std::collections::VecDeque;

use super::*;
use ostler_mail::pop3::filter::Pop3Filter;
use ostler_mail::smtp::data::{Chunking, DataFilter};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const LIMITS: Limits = Limits { idle: seconds(60), reply: seconds(20), data: seconds(30), agreed: seconds(1500) };

/// What an end does next when it is read; nothing more when there is nothing more.
enum Reads {
    Gives(Vec<u8>),
    /// Nothing, and asks to be read again.
    Later,
    Ends,
    Fails,
}

/// What it does next when it is written to; it takes all of it when there is nothing more.
#[derive(Clone, Copy)]
enum Writes {
    Takes(usize),
    /// Nothing, and asks to be written to again.
    Later,
    /// Nothing, ever.
    Never,
    Fails,
}

#[derive(Default)]
struct End {
    reads: VecDeque<Reads>,
    writes: VecDeque<Writes>,
    /// So many times it cannot be flushed yet.
    unflushable: usize,
    came: Vec<u8>,
    /// In pieces of this size.
    pieces: Vec<usize>,
    flushed: usize,
    /// How many times it gave something.
    read: usize,
}

impl End {
    fn giving(reads: impl IntoIterator<Item = Reads>) -> Self {
        Self { reads: reads.into_iter().collect(), ..Self::default() }
    }

    fn taking(self, writes: impl IntoIterator<Item = Writes>) -> Self {
        Self { writes: writes.into_iter().collect(), ..self }
    }

    fn came(&self) -> &str {
        std::str::from_utf8(&self.came).unwrap()
    }
}

fn gives(text: &str) -> Reads {
    Reads::Gives(text.into())
}

fn later<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.reads.pop_front() {
            Some(Reads::Gives(bytes)) => {
                self.read += 1;
                let (now, rest) = bytes.split_at(bytes.len().min(buffer.remaining()));
                buffer.put_slice(now);
                if !rest.is_empty() {
                    self.reads.push_front(Reads::Gives(rest.to_vec()));
                }
                Poll::Ready(Ok(()))
            }
            Some(Reads::Later) => later(cx),
            Some(Reads::Ends) => Poll::Ready(Ok(())),
            Some(Reads::Fails) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!bytes.is_empty(), "nothing is written");
        let taken = match self.writes.pop_front() {
            Some(Writes::Later) => return later(cx),
            Some(Writes::Never) => {
                self.writes.push_front(Writes::Never);
                return Poll::Pending;
            }
            Some(Writes::Fails) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(Writes::Takes(octets)) => octets.min(bytes.len()),
            None => bytes.len(),
        };
        self.came.extend_from_slice(&bytes[..taken]);
        self.pieces.push(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let octets: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushable > 0 {
            self.unflushable -= 1;
            return later(cx);
        }
        self.flushed = self.came.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What became of it, and of the two ends.
struct Outcome<S = End> {
    ended: Ended,
    client: End,
    server: S,
    /// Of the client and of the server.
    unused: (Vec<u8>, Vec<u8>),
}

fn pass<S: AsyncRead + AsyncWrite + Unpin>(filter: &mut impl Filter, client: End, server: S) -> Outcome<S> {
    let work = async {
        let (mut client, mut server) = (Conn::new(client), Conn::new(server));
        let (_stop, mut stopping) = watch::channel(false);
        let ended = relay(&mut client, &mut server, filter, LIMITS, &mut stopping).await;
        let unused = (client.take_unused(), server.take_unused());
        Outcome { ended, client: client.into_stream(), server: server.into_stream(), unused }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
}

#[test]
fn a_whole_session_however_the_ends_drip() {
    for drip in [1, 2, 7, 1000] {
        let dripping = |text: &str| {
            let mut reads = Vec::new();
            for piece in text.as_bytes().chunks(drip) {
                reads.extend([Reads::Later, Reads::Gives(piece.to_vec())]);
            }
            reads
        };
        let answers = "+OK 1 3\r\n+OK\r\nabc\r\n.\r\n+OK\r\n+OK bye\r\n";
        let asked = "STAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n";
        let slow = || [Writes::Later, Writes::Takes(1), Writes::Later, Writes::Takes(2)].into_iter().cycle().take(40);
        let client = End { unflushable: 2, ..End::giving(dripping(asked)).taking(slow()) };
        // The server says nothing before it has been asked.
        let wait = (0..400).map(|_| Reads::Later);
        let server = End { unflushable: 2, ..End::giving(wait.chain(dripping(answers))).taking(slow()) };
        let out = pass(&mut Pop3Filter::default(), client, server);
        assert!(matches!(out.ended, Ended::Over), "{:?}", out.ended);
        assert_eq!((out.client.came(), out.server.came()), (answers, asked));
        assert_eq!(out.client.flushed, answers.len());
        assert_eq!(out.server.flushed, asked.len());
    }
}

#[test]
fn the_goodbye_leaves_before_it_is_over() {
    for unflushable in [0, 1, 5] {
        let client = End {
            unflushable,
            ..End::giving([gives("QUIT\r\n")]).taking([Writes::Later, Writes::Takes(2), Writes::Later])
        };
        let out = pass(&mut Pop3Filter::default(), client, End::giving([Reads::Later, gives("+OK bye\r\nmore")]));
        assert!(matches!(out.ended, Ended::Over), "{:?}", out.ended);
        assert_eq!((out.client.came(), out.client.flushed), ("+OK bye\r\n", 9));
        assert_eq!(out.unused.1, b"more", "what follows is for nobody");
    }
}

#[test]
fn what_came_before_a_connection_broke_is_passed_on() {
    for end in [Reads::Ends, Reads::Fails] {
        let server = End::giving([Reads::Later, gives("+OK 1 2\r\n"), end]);
        let out = pass(&mut Pop3Filter::default(), End::giving([gives("STAT\r\n")]), server);
        assert!(matches!(out.ended, Ended::ServerGone), "{:?}", out.ended);
        assert_eq!((out.client.came(), out.server.came()), ("+OK 1 2\r\n", "STAT\r\n"));
    }
    for end in [Reads::Ends, Reads::Fails] {
        let out = pass(&mut Pop3Filter::default(), End::giving([gives("DELE 1\r\nNO"), end]), End::default());
        assert!(matches!(out.ended, Ended::ClientGone), "{:?}", out.ended);
        assert_eq!(out.server.came(), "DELE 1\r\n");
    }
    let out = pass(&mut Pop3Filter::default(), End::giving([Reads::Fails]), End::default());
    assert!(matches!(out.ended, Ended::ClientGone), "{:?}", out.ended);
    let out = pass(&mut Pop3Filter::default(), End::default(), End::giving([Reads::Fails]));
    assert!(matches!(out.ended, Ended::ServerGone), "{:?}", out.ended);
}

#[test]
fn a_quit_without_its_line_end_is_said_and_answered() {
    let out = pass(
        &mut Pop3Filter::default(),
        End::giving([gives("QUIT"), Reads::Ends]),
        End::giving([Reads::Later, Reads::Later, Reads::Later, gives("+OK bye\r\n")]),
    );
    assert!(matches!(out.ended, Ended::Over), "{:?}", out.ended);
    assert_eq!((out.server.came(), out.client.came()), ("QUIT\r\n", "+OK bye\r\n"));
}

#[test]
fn whoever_cannot_be_written_to_is_gone() {
    for fails in [Writes::Fails, Writes::Takes(0)] {
        let out = pass(&mut Pop3Filter::default(), End::giving([gives("STAT\r\n")]), End::default().taking([fails]));
        assert!(matches!(out.ended, Ended::ServerGone), "{:?}", out.ended);
        for writes in [vec![fails], vec![Writes::Later, fails], vec![Writes::Takes(1), Writes::Later, fails]] {
            let client = End::giving([gives("STAT\r\n")]).taking(writes);
            let out = pass(&mut Pop3Filter::default(), client, End::giving([Reads::Later, gives("+OK 1 2\r\n")]));
            assert!(matches!(out.ended, Ended::ClientGone), "{:?}", out.ended);
        }
    }
}

#[test]
fn what_a_lost_provider_was_not_shown_stays() {
    // The end of the message is still in it.
    let body = "one\r\ntwo\r\n";
    let out = pass(&mut DataFilter::default(), End::giving([gives(body)]), End::default().taking([Writes::Fails]));
    assert!(matches!(out.ended, Ended::ServerGone), "{:?}", out.ended);
    let mut data = DataFilter::default();
    let out = pass(
        &mut data,
        End::giving([gives("one\r\n"), Reads::Later, gives("two\r\n.\r\n")]),
        End::default().taking([Writes::Takes(2), Writes::Later, Writes::Fails]),
    );
    assert!(matches!(out.ended, Ended::ServerGone), "{:?}", out.ended);
    assert_eq!((out.server.came(), data.is_complete()), ("on", false));
}

#[test]
fn nothing_is_read_for_an_end_that_takes_nothing() {
    let flood = (0..50).map(|_| Reads::Gives(vec![b'x'; 64 * 1024]));
    let server = End::giving([Reads::Later, gives("+OK\r\n")].into_iter().chain(flood));
    let client = End::giving([gives("RETR 1\r\n")]).taking([Writes::Takes(5), Writes::Takes(10), Writes::Never]);
    let out = pass(&mut Pop3Filter::default(), client, server);
    assert!(matches!(out.ended, Ended::TimedOut(Clock::Message, Party::Client)), "{:?}", out.ended);
    assert!(out.server.read <= 4, "{} times", out.server.read);
    let flood = (0..50).map(|_| Reads::Gives(vec![b'x'; 64 * 1024]));
    let out =
        pass(&mut DataFilter::default(), End::giving(flood), End::default().taking([Writes::Takes(10), Writes::Never]));
    assert!(matches!(out.ended, Ended::TimedOut(Clock::Message, Party::Server)), "{:?}", out.ended);
    assert!(out.client.read <= 4, "{} times", out.client.read);
    let out = pass(&mut DataFilter::default(), End::giving([gives("x")]), End::default());
    assert!(matches!(out.ended, Ended::TimedOut(Clock::Message, Party::Client)), "{:?}", out.ended);
}

#[test]
fn records_that_are_there_leave_in_one_piece() {
    // As many as surely fit into the buffer of the thread, and none in part.
    for (octets, at_once) in [(15_000, 4), (16_384, 3)] {
        let records = (0..12).map(|_| Reads::Gives(vec![b'x'; octets]));
        let server = End::giving([Reads::Later, gives("+OK\r\n"), Reads::Later].into_iter().chain(records));
        let out = pass(&mut Pop3Filter::default(), End::giving([gives("RETR 1\r\n")]), server);
        assert!(matches!(out.ended, Ended::TimedOut(Clock::Message, Party::Server)), "{:?}", out.ended);
        assert_eq!(out.client.pieces, [vec![5], vec![octets * at_once; 12 / at_once]].concat());
    }
}

#[test]
fn a_client_whose_connection_breaks_waits_for_no_answer() {
    let client = End::giving([gives("QUIT\r\n"), Reads::Later, Reads::Fails]);
    let out = pass(&mut Pop3Filter::default(), client, End::default());
    assert!(matches!(out.ended, Ended::ClientGone), "{:?}", out.ended);
    // One that has only ended still hears.
    let client = End::giving([gives("QUIT\r\n"), Reads::Later, Reads::Ends]);
    let out = pass(&mut Pop3Filter::default(), client, End::default());
    assert!(matches!(out.ended, Ended::TimedOut(Clock::Reply, Party::Server)), "{:?}", out.ended);
}

#[test]
fn what_one_says_out_of_turn_is_a_breach() {
    let out = pass(&mut Pop3Filter::default(), End::giving([gives("GET / HTTP/1.1\r\n")]), End::default());
    assert!(matches!(out.ended, Ended::Violation(ProtocolViolation::Client(_))), "{:?}", out.ended);
    assert_eq!(out.server.came(), "");
    // The server's unasked word is seen before a command makes it an answer.
    let out = pass(&mut Pop3Filter::default(), End::giving([gives("NOOP\r\n")]), End::giving([gives("+OK\r\n")]));
    assert!(matches!(out.ended, Ended::Violation(ProtocolViolation::Server(_))), "{:?}", out.ended);
    assert_eq!((out.server.came(), out.client.came()), ("", ""));
}

#[test]
fn nowhere_takes_all_of_it_at_once() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut nowhere = Sink;
    assert!(matches!(Pin::new(&mut nowhere).poll_write(&mut cx, b"three"), Poll::Ready(Ok(5))));
    assert!(matches!(Pin::new(&mut nowhere).poll_flush(&mut cx), Poll::Ready(Ok(()))));
    assert!(matches!(Pin::new(&mut nowhere).poll_shutdown(&mut cx), Poll::Ready(Ok(()))));
    assert!(Pin::new(&mut nowhere).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 8])).is_pending());
    let out = pass(&mut DataFilter::default().swallow(), End::giving([gives("one\r\n.\r\nQUIT\r\n")]), Sink);
    assert!(matches!(out.ended, Ended::Over), "{:?}", out.ended);
    assert_eq!(out.unused.0, b"QUIT\r\n");
}

#[test]
fn only_what_is_not_taken_at_once_is_kept() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut conn = Conn::new(End::default().taking([Writes::Takes(2), Writes::Takes(1), Writes::Later]));
    let mut side = Side::new(&mut conn);
    side.pass(&mut cx, b"", b"three").unwrap();
    assert_eq!((side.conn.stream().came(), side.pending.as_slice()), ("thr", &b"ee"[..]));
    side.pass(&mut cx, b"", b" more").unwrap();
    assert_eq!((side.conn.stream().came(), side.pending.as_slice()), ("thr", &b"ee more"[..]), "in their order");
    assert!(!side.is_done());
    assert!(matches!(side.poll_send(&mut cx), Poll::Ready(Ok(()))));
    assert!(side.is_done() && side.conn.stream().came() == "three more");
}

#[test]
fn what_is_announced_leaves_with_its_announcement_however_little_is_taken() {
    let lines = "twelve more\r\n".repeat(3000);
    let announced = format!("BDAT {}\r\n", lines.len() - 13);
    for takes in [vec![], vec![3], vec![announced.len()], vec![1, announced.len() + 4, 100, 30_000]] {
        let writes = takes.iter().flat_map(|octets| [Writes::Takes(*octets), Writes::Later]);
        let mut data = DataFilter::default().in_pieces(Chunking::Works, true);
        let client = End::giving([gives(&lines), Reads::Later, gives(".\r\n")]);
        let out = pass(&mut data, client, End::default().taking(writes));
        assert!(out.server.came() == announced.clone() + &lines[13..], "{takes:?}: {:?}", out.server.pieces);
        assert!(takes.is_empty() == (out.server.pieces == [out.server.came.len()]), "{:?}", out.server.pieces);
        assert!(!data.has_ended(), "the provider has not answered");
    }
}
