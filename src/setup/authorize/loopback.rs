//! The port of this computer to which the browser brings the answer: open for one sign-in, heard only by the user's own
//! programs where the system can tell, and answered with a page that says how it went.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::os::markup::escaped_with_quotes;
use crate::os::peer::{PeerOwner, owner_of};
use crate::proxy::net::conn::{ClientConn, Read};
use crate::proxy::net::listen::Listener;
use ostler_mail::account::issuer::Redirect;
use ostler_mail::oauth2::MAX_FORM_OCTETS;

/// How long a browser may take over a request. It opens more connections than it uses.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to read the page.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections at once. Browsers open two or three; more is somebody else.
const MAX_CONNECTIONS: usize = 16;
/// The most header lines of a request.
const MAX_HEADER_LINES: usize = 100;
/// How often to look for a port that is free for both families.
const MAX_TRIES: usize = 10;

/// The open port.
pub(super) struct Loopback {
    listeners: Vec<Listener>,
    /// Connections that have not said what they want yet.
    hearing: JoinSet<Option<Visit>>,
}

impl Loopback {
    /// Opens a port that the system picks. Where the address says `localhost`, the browser may come by IPv6 too.
    pub(super) fn open(redirect: Redirect) -> std::io::Result<Self> {
        let v4 = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut first = Listener::bind(v4(0))?;
        if redirect == Redirect::Loopback {
            return Ok(Self { listeners: vec![first], hearing: JoinSet::new() });
        }
        for _ in 0..MAX_TRIES {
            let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), first.address().port());
            match Listener::bind(v6) {
                Ok(second) => return Ok(Self { listeners: vec![first, second], hearing: JoinSet::new() }),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => first = Listener::bind(v4(0))?,
                // This computer has no IPv6.
                Err(_) => break,
            }
        }
        Ok(Self { listeners: vec![first], hearing: JoinSet::new() })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.listeners.first().map_or(0, |listener| listener.address().port())
    }

    /// The next request, of whatever kind; `None` at the deadline.
    pub(super) async fn visit(&mut self, deadline: Instant) -> Option<Visit> {
        loop {
            let is_full = self.hearing.len() >= MAX_CONNECTIONS;
            let accepted = async {
                match self.listeners.as_slice() {
                    [one, other] => tokio::select! {
                        accepted = one.accept(|_| {}) => accepted,
                        accepted = other.accept(|_| {}) => accepted,
                    },
                    [one, ..] => one.accept(|_| {}).await,
                    [] => std::future::pending().await,
                }
            };
            let (stream, from) = tokio::select! {
                heard = self.hearing.join_next(), if !self.hearing.is_empty() => match heard {
                    Some(Ok(Some(visit))) => return Some(visit),
                    _ => continue,
                },
                accepted = accepted, if !is_full => accepted,
                () = tokio::time::sleep_until(deadline) => return None,
            };
            self.hearing.spawn(hear(ClientConn::accepted(stream), from));
        }
    }
}

/// Hears a request, unless it comes from another user.
async fn hear(mut conn: ClientConn, from: SocketAddr) -> Option<Visit> {
    let local = conn.local_addr().ok()?;
    match owner_of(from, local).await {
        Ok(PeerOwner::Me | PeerOwner::Unknown(_)) => {}
        Ok(owner @ (PeerOwner::Other(_) | PeerOwner::NotMe | PeerOwner::Gone)) => {
            debug!(
                "a program that is not the user's own came to the port of the sign-in ({owner:?}) and was not heard"
            );
            return None;
        }
        Err(_) => return None,
    }
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut line = async || match conn.read_line_until(MAX_FORM_OCTETS, deadline).await {
        Some(Ok(Read::Line(line))) => Some(line.bytes().to_vec()),
        _ => None,
    };
    let request_line = line().await?;
    for _ in 0..MAX_HEADER_LINES {
        if line().await?.is_empty() {
            return Some(Visit { conn, request_line });
        }
    }
    None
}

/// A browser that waits for a page.
pub(super) struct Visit {
    conn: ClientConn,
    request_line: Vec<u8>,
}

impl Visit {
    /// The first line of its request.
    pub(super) fn request_line(&self) -> &[u8] {
        &self.request_line
    }

    /// The sign-in is done.
    pub(super) async fn answer_done(self, title: &str) {
        let text = format!("You are signed in at {title}. ostler goes on by itself.");
        self.answer("200 OK", "You can close this page", &text).await;
    }

    /// The sign-in has failed.
    pub(super) async fn answer_failed(self, why: &str) {
        self.answer("200 OK", "The sign-in did not work", &format!("{why}. You can close this page.")).await;
    }

    /// An answer to another sign-in.
    pub(super) async fn answer_foreign(self) {
        let text = "This is not the answer that ostler is waiting for, perhaps of an earlier try. Nothing has changed. You can \
                    close this page, and go on where you signed in last.";
        self.answer("400 Bad Request", "This page belongs to another sign-in", text).await;
    }

    /// Anything else a browser asks for.
    pub(super) async fn answer_not_here(self) {
        self.answer("404 Not Found", "There is nothing here", "You can close this page.").await;
    }

    async fn answer(mut self, status: &str, heading: &str, text: &str) {
        let (heading, text) = (escaped_with_quotes(heading), escaped_with_quotes(text));
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{heading} - ostler</title>\
             <style>body{{font:1.25rem/1.5 sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}}</style></head>\
             <body><h1>{heading}</h1><p>{text}</p></body></html>\n"
        );
        // Nothing of the answer's address goes anywhere else, and nothing is kept of the page.
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n",
            page.len()
        );
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let sent = timeout_at(deadline, self.conn.send((head + &page).as_bytes())).await;
        if sent.is_ok() {
            let _ = timeout(ANSWER_TIMEOUT, self.conn.close()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn connections_that_say_nothing_do_not_hold_up_the_one_that_does() {
        block_on(async {
            let mut loopback = Loopback::open(Redirect::Loopback).unwrap();
            let address = (Ipv4Addr::LOCALHOST, loopback.port());
            let mut silent = Vec::new();
            for _ in 0..3 {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            let mut browser = TcpStream::connect(address).await.unwrap();
            browser.write_all(b"GET /?code=c HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let visit = loopback.visit(Instant::now() + Duration::from_secs(20)).await.unwrap();
            assert_eq!(visit.request_line(), b"GET /?code=c HTTP/1.1");
            let read = async {
                let mut page = String::new();
                browser.read_to_string(&mut page).await.unwrap();
                page
            };
            let ((), page) = tokio::join!(visit.answer_failed("no <b> & 'c'"), read);
            assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("Cache-Control: no-store"), "{page}");
            assert!(page.contains("no &lt;b&gt; &amp; &#39;c&#39;"), "{page}");
        });
    }

    #[test]
    fn a_request_without_end_is_dropped_and_the_deadline_holds() {
        block_on(async {
            let mut loopback = Loopback::open(Redirect::Localhost).unwrap();
            let mut flood = TcpStream::connect((Ipv4Addr::LOCALHOST, loopback.port())).await.unwrap();
            flood.write_all(&[b'x'; 2 * MAX_FORM_OCTETS]).await.unwrap();
            assert!(loopback.visit(Instant::now() + Duration::from_millis(200)).await.is_none());
        });
    }
}
