//! The loop that passes octets, between two ends in memory: much at once both ways, ends that close, ends that stall.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ostler::proxy::net::conn::Conn;
use ostler::proxy::relay::{Ended, Limits, relay};
use ostler_mail::machine::{Clock, Filter, Party, Pass, ProtocolViolation, Replies};
use ostler_mail::pop3::filter::Pop3Filter;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const LIMITS: Limits = Limits { idle: seconds(60), reply: seconds(20), data: seconds(30), agreed: seconds(1500) };

/// Lets everything pass.
struct Verbatim;

impl Filter for Verbatim {
    fn server_said(&mut self, input: &[u8], _: &mut Replies) -> Result<Pass, ProtocolViolation> {
        Ok(Pass::Forward(input.len()))
    }

    fn client_said(&mut self, input: &[u8], _: &mut Replies) -> Result<Pass, ProtocolViolation> {
        Ok(Pass::Forward(input.len()))
    }

    fn wants_client(&self) -> bool {
        true
    }

    fn client_ended(&mut self, _: &[u8], _: &mut Replies) -> bool {
        true
    }

    fn clock(&self) -> (Clock, u64) {
        (Clock::Message, 0)
    }

    fn message_from(&self) -> Party {
        Party::Server
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// A relay between two far ends.
fn between(
    filter: impl Filter + 'static,
) -> (DuplexStream, DuplexStream, impl Future<Output = Ended>, watch::Sender<bool>) {
    let (client, near_client) = duplex(1000);
    let (server, near_server) = duplex(1000);
    let (stop, mut stopping) = watch::channel(false);
    let mut filter = filter;
    let relayed = async move {
        let (mut near_client, mut near_server) = (Conn::new(near_client), Conn::new(near_server));
        relay(&mut near_client, &mut near_server, &mut filter, LIMITS, &mut stopping).await
    };
    (client, server, relayed, stop)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
}

fn pattern(octets: usize, seed: u8) -> Vec<u8> {
    (0..octets).map(|n| (n.wrapping_mul(31) >> 3) as u8 ^ seed).collect()
}

#[test]
fn ten_mebibytes_pass_each_way_at_once() {
    block_on(async {
        let (client, server, relayed, _stop) = between(Verbatim);
        let (up, down) = (pattern(10 << 20, 1), pattern(10 << 20, 2));
        let end = |stream: DuplexStream, out: Vec<u8>, wanted: Vec<u8>| async move {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut came = vec![0; wanted.len()];
            // Both write all before either has read all.
            let (sent, got) = tokio::join!(write.write_all(&out), read.read_exact(&mut came));
            sent.unwrap();
            got.unwrap();
            assert!(came == wanted, "altered on the way");
        };
        let both = async { tokio::join!(end(client, up.clone(), down.clone()), end(server, down.clone(), up.clone())) };
        tokio::select! {
            _ = both => {}
            ended = relayed => panic!("{ended:?}"),
        }
    });
}

#[test]
fn what_the_server_sent_before_it_closed_reaches_the_client() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Verbatim);
        let sent = pattern(5000, 3);
        let last = async {
            server.write_all(&sent).await.unwrap();
            drop(server);
        };
        let mut came = vec![0; 5000];
        let (ended, (), got) = tokio::join!(relayed, last, client.read_exact(&mut came));
        got.unwrap();
        assert!(matches!(ended, Ended::ServerGone), "{ended:?}");
        assert!(came == sent);
    });
}

#[test]
fn a_server_that_owes_a_line_has_the_time_for_a_line() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Pop3Filter::default());
        let began = tokio::time::Instant::now();
        client.write_all(b"STAT\r\n").await.unwrap();
        let drip = async {
            // An octet now and then is no line.
            for octet in b"+OK 1 2" {
                tokio::time::sleep(Duration::from_secs(5)).await;
                if server.write_all(&[*octet]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = relayed => assert!(matches!(ended, Ended::TimedOut(Clock::Reply, Party::Server)), "{ended:?}"),
            () = drip => {}
        }
        assert_eq!(began.elapsed().as_secs(), LIMITS.reply.as_secs());
    });
}

#[test]
fn a_message_that_stops_is_the_fault_of_whoever_does_not_go_on() {
    // What is sent before it stops, and by whom the message is.
    let late = |up: usize, down: usize| {
        block_on(async {
            let (mut client, mut server, relayed, _stop) = between(Verbatim);
            let (up, down) = (pattern(up, 4), pattern(down, 5));
            let said = async {
                tokio::join!(async { client.write_all(&up).await.unwrap() }, async {
                    server.write_all(&down).await.unwrap();
                });
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = relayed => match ended {
                    Ended::TimedOut(Clock::Message, party) => party,
                    other => panic!("{other:?}"),
                },
                () = said => unreachable!(),
            }
        })
    };
    assert_eq!(late(0, 0), Party::Server, "the message is the server's, and nothing of it is on its way");
    assert_eq!(late(0, 5000), Party::Client, "it does not read what it was sent");
    assert_eq!(late(5000, 0), Party::Server, "it does not read either");
}

#[test]
fn a_client_that_does_not_read_its_message_is_the_one_that_is_late() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Pop3Filter::default());
        client.write_all(b"RETR 1\r\n").await.unwrap();
        let flood = async {
            server.read_exact(&mut [0; 8]).await.unwrap();
            server.write_all(b"+OK\r\n").await.unwrap();
            while server.write_all(&[b'x'; 500]).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = relayed => assert!(matches!(ended, Ended::TimedOut(Clock::Message, Party::Client)), "{ended:?}"),
            () = flood => {}
        }
    });
}

#[test]
fn an_idle_client_is_let_go_and_a_busy_one_is_not() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Pop3Filter::default());
        let began = tokio::time::Instant::now();
        let talk = async {
            let mut answer = [0; 5];
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(40)).await;
                client.write_all(b"NOOP\r\n").await.unwrap();
                let mut asked = [0; 6];
                server.read_exact(&mut asked).await.unwrap();
                server.write_all(b"+OK\r\n").await.unwrap();
                client.read_exact(&mut answer).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = relayed => assert!(matches!(ended, Ended::TimedOut(Clock::ClientIdle, Party::Client)), "{ended:?}"),
            () = talk => {}
        }
        assert_eq!(began.elapsed().as_secs(), 5 * 40 + LIMITS.idle.as_secs());
    });
}

/// Waits for news with its server, from the first octet on, and says how often it has renewed that.
#[derive(Default)]
struct Waits {
    renewals: u64,
    /// In the middle of news: the server has said `(`, and not `)`.
    is_in_news: bool,
}

impl Filter for Waits {
    fn server_said(&mut self, input: &[u8], _: &mut Replies) -> Result<Pass, ProtocolViolation> {
        self.is_in_news = input.ends_with(b"(");
        Ok(Pass::Forward(input.len()))
    }

    fn client_said(&mut self, input: &[u8], _: &mut Replies) -> Result<Pass, ProtocolViolation> {
        Ok(Pass::Forward(input.len()))
    }

    fn wants_client(&self) -> bool {
        true
    }

    fn client_ended(&mut self, _: &[u8], _: &mut Replies) -> bool {
        false
    }

    fn clock(&self) -> (Clock, u64) {
        if self.is_in_news { (Clock::Message, 0) } else { (Clock::Agreed, self.renewals) }
    }

    fn message_from(&self) -> Party {
        Party::Server
    }

    fn renew(&mut self, say: &mut Replies) {
        self.renewals += 1;
        say.server.extend_from_slice(b"again");
        say.client.extend_from_slice(b"still");
    }

    fn is_over(&self) -> bool {
        false
    }
}

#[test]
fn what_both_wait_for_is_renewed_in_time_and_as_often_as_it_takes() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Waits::default());
        let began = tokio::time::Instant::now();
        let talk = async {
            for round in 1..4 {
                let (mut asked, mut told) = ([0; 5], [0; 5]);
                server.read_exact(&mut asked).await.unwrap();
                client.read_exact(&mut told).await.unwrap();
                assert_eq!((&asked, &told), (b"again", b"still"));
                assert_eq!(began.elapsed().as_secs(), round * LIMITS.agreed.as_secs());
            }
            drop(client);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = relayed => assert!(matches!(ended, Ended::ClientGone), "{ended:?}"),
            () = talk => {}
        }
    });
}

/// Each piece began the time anew, and the server's own limit came first.
#[test]
fn news_in_two_pieces_do_not_put_off_what_is_renewed_in_time() {
    block_on(async {
        let (mut client, mut server, relayed, _stop) = between(Waits::default());
        let began = tokio::time::Instant::now();
        let talk = async {
            for _ in 0..2 {
                tokio::time::sleep(LIMITS.agreed / 3).await;
                server.write_all(b"(").await.unwrap();
                tokio::time::sleep(seconds(5)).await;
                server.write_all(b")").await.unwrap();
            }
            let mut asked = [0; 5];
            server.read_exact(&mut asked).await.unwrap();
            assert_eq!((&asked, began.elapsed().as_secs()), (b"again", LIMITS.agreed.as_secs()));
            client.read_exact(&mut [0; 9]).await.unwrap();
        };
        tokio::select! {
            ended = relayed => panic!("{ended:?}"),
            () = talk => {}
        }
    });
}

#[test]
fn asked_to_stop_it_finishes_the_message_first() {
    block_on(async {
        let (mut client, mut server, relayed, stop) = between(Pop3Filter::default());
        client.write_all(b"RETR 1\r\n").await.unwrap();
        let mut asked = [0; 8];
        let end = async {
            server.read_exact(&mut asked).await.unwrap();
            server.write_all(b"+OK\r\nhalf").await.unwrap();
            let mut came = [0; 9];
            client.read_exact(&mut came).await.unwrap();
            stop.send_replace(true);
            tokio::time::sleep(Duration::from_secs(3)).await;
            server.write_all(b" whole\r\n.\r\n").await.unwrap();
            let mut rest = [0; 11];
            client.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b" whole\r\n.\r\n");
        };
        let (ended, ()) = tokio::join!(relayed, end);
        assert!(matches!(ended, Ended::Stopping), "{ended:?}");
    });
}
