//! One request over https and its answer: verified certificates, no redirect followed, a bounded body, no cookies, one
//! connection for each. The one place that speaks HTTP as a client.
//!
//! Not here: what is asked for, and what the answer means.

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use crate::proxy::net::dial::{Dialer, Route};
use ostler_mail::account::issuer::HttpsUrl;
use ostler_mail::account::{Timeouts, Trust};
use ostler_mail::failure::Failure;

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) url: &'a HttpsUrl,
    /// What the server's certificate is verified against.
    pub(crate) trust: &'a Trust,
    /// The kinds of content that are of use.
    pub(crate) accept: &'static str,
    /// What a POST sends; `None`: a GET.
    pub(crate) form: Option<&'a str>,
    /// The longest body that is taken.
    pub(crate) max_octets: usize,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// It may hold secrets.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpsTrouble {
    /// There is no connection.
    NotReached(Failure),
    /// What answers is no web server.
    NotHttp,
    /// The body is longer than allowed.
    TooLong,
    /// The connection ended in the middle of the answer.
    BrokeOff,
}

/// Sends a request and waits for its answer. `connect_limit` is for the connection, and again for TLS; how long all of it may
/// take is the caller's to limit.
pub(crate) async fn ask(dialer: &Dialer, request: Request<'_>, connect_limit: Duration) -> Result<Reply, HttpsTrouble> {
    let Request { url, trust, accept, form, max_octets } = request;
    let timeouts = Timeouts { connect: connect_limit, tls: connect_limit, ..Timeouts::default() };
    let server = url.server(trust);
    let upstream = dialer.connect(&server, &timeouts, Route::default()).await.map_err(HttpsTrouble::NotReached)?;
    let io = TokioIo::new(upstream.conn.into_stream());
    let (mut sender, connection) = http1::handshake(io).await.map_err(|_| HttpsTrouble::NotHttp)?;
    let head = hyper::Request::builder()
        .method(if form.is_some() { Method::POST } else { Method::GET })
        .uri(url.path())
        .header(HOST, url.authority())
        .header(USER_AGENT, "ostler")
        .header(ACCEPT, accept);
    let head = if form.is_some() { head.header(CONTENT_TYPE, "application/x-www-form-urlencoded") } else { head };
    let body = Full::new(Bytes::copy_from_slice(form.unwrap_or_default().as_bytes()));
    let request = head.body(body).map_err(|_| HttpsTrouble::NotHttp)?;
    let work = async {
        let response = sender.send_request(request).await.map_err(|_| HttpsTrouble::NotHttp)?;
        read(response, max_octets).await
    };
    // hyper moves the octets in the connection's future. That may end before the whole body has been read.
    tokio::pin!(work, connection);
    let mut open = true;
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

async fn read(response: Response<Incoming>, max_octets: usize) -> Result<Reply, HttpsTrouble> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
    // Some servers neither say how long the body is nor end TLS properly. What is asked for is JSON or XML, which shows by itself
    // whether it is whole.
    let ends_with_connection =
        ![CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| response.headers().contains_key(name));
    let mut limited = Limited::new(response.into_body(), max_octets);
    let mut body = Zeroizing::new(Vec::new());
    while let Some(frame) = limited.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(error) if error.is::<LengthLimitError>() => return Err(HttpsTrouble::TooLong),
            Err(_) if ends_with_connection => break,
            Err(_) => return Err(HttpsTrouble::BrokeOff),
        }
    }
    Ok(Reply { status, location, body })
}
