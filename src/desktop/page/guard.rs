//! Who may see the page. Every web site the user visits can make the browser send requests to this computer, and every user
//! of this computer can reach its ports. So a request counts only if all of this holds: it names this computer as its host
//! (no DNS rebinding); it carries the cookie, which only a link made in this run of ostler hands out; and if it changes
//! anything, it comes from a form of this page, according to `Origin` and `Sec-Fetch-Site`, if the browser sends them, and
//! to a token in the form. This is a middleware around all pages, so that none can forget it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Query, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{Shared, layout, multipart, probes};

/// The largest form: an address, two passwords, some servers.
const MAX_FORM_OCTETS: usize = 64 * 1024;
/// The largest form with a file. The certificates of all authorities together take about a quarter of a megabyte.
const MAX_UPLOAD_OCTETS: usize = 512 * 1024;

/// The headers of every answer: load nothing from elsewhere, let no one frame the page, store nothing. `connect-src` is for
/// the script that refreshes parts of a page. The referrer policy is `same-origin` because under `no-referrer`, which hides
/// addresses from other sites as well, browsers send `Origin: null` with the page's own forms.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What browsers call this computer.
const NAMES_OF_LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// How long a link lets a browser in, if it is not used.
const LINK_LIFETIME: Duration = Duration::from_secs(600);
/// Unused links at once; with more, the oldest becomes void.
const MAX_OPEN_LINKS: usize = 16;

/// What a browser without the cookie reads.
const UNKNOWN_BROWSER: &str =
    "ostler does not know this browser. It forgets the browsers that it let in when it is started again.";

/// The tokens of one run of the program, 128 random bits each. A link works once only, because other users can see it: the
/// list of processes shows it as long as the browser runs that was started with it.
pub(super) struct Keys {
    tokens: Mutex<Vec<(String, Instant)>>,
    cookie: String,
    form: String,
}

impl Keys {
    /// `None`: the system provides no random numbers.
    pub(super) fn new() -> Option<Self> {
        Some(Self { tokens: Mutex::default(), cookie: random_hex()?, form: random_hex()? })
    }

    /// Makes the token of a link.
    pub(super) fn new_token(&self) -> Option<String> {
        let token = random_hex()?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(_, made)| made.elapsed() < LINK_LIFETIME);
        if tokens.len() >= MAX_OPEN_LINKS {
            tokens.remove(0);
        }
        tokens.push((token.clone(), Instant::now()));
        Some(token)
    }

    /// Whether this token is valid; afterwards it no longer is.
    fn use_token(&self, token: &str) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|(_, made)| made.elapsed() < LINK_LIFETIME);
        let before = tokens.len();
        tokens.retain(|(ours, _)| !equals_secretly(ours, token));
        tokens.len() < before
    }

    pub(super) fn form_token(&self) -> &str {
        &self.form
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn random_hex() -> Option<String> {
    let mut bits = [0u8; 16];
    crate::os::random(&mut bits).then(|| ostler_mail::wire::hex(&bits))
}

fn equals_secretly(ours: &str, given: &str) -> bool {
    ours.as_bytes().ct_eq(given.as_bytes()).into()
}

#[derive(Deserialize)]
struct LinkQuery {
    token: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
struct FormToken {
    form: String,
}

/// The middleware: lets a request through to its page or refuses it, and adds the headers.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request<Body>, next: Next) -> Response {
    let mut response = match admit(&shared, request).await {
        Ok(request) => next.run(request).await,
        Err(response) => *response,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The request, if it may go on to its page; else the answer to it.
type Admission = Result<Request<Body>, Box<Response>>;

fn refuse(status: StatusCode, why: &str) -> Admission {
    Err(Box::new(layout::refused(status, why)))
}

async fn admit(shared: &Shared, request: Request<Body>) -> Admission {
    // Before the host is looked at: load balancers name any, or none.
    if let Some(answer) = probes::answer(shared, &request) {
        return Err(Box::new(answer));
    }
    if shared.open_at().is_none() {
        return Err(Box::new(StatusCode::NOT_FOUND.into_response()));
    }
    let Some(host) = own_host(shared, request.uri(), request.headers()) else {
        return refuse(StatusCode::MISDIRECTED_REQUEST, &wrong_host_text(shared, request.headers()));
    };
    match *request.method() {
        Method::GET | Method::HEAD => admit_reader(shared, &host, request),
        Method::POST => admit_form(shared, &host, request).await,
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "ostler's settings page does not know this kind of request."),
    }
}

/// Lets in whoever reads a page: a browser with the cookie, or one that brings the link for it.
fn admit_reader(shared: &Shared, host: &str, request: Request<Body>) -> Admission {
    let path = request.uri().path();
    // Both are the same for everyone, and the page that refuses a browser needs the style.
    if matches!(path, "/style.css" | "/script.js") {
        return Ok(request);
    }
    let is_known = has_cookie(shared, host, request.headers());
    let query = Query::<LinkQuery>::try_from_uri(request.uri()).ok().map(|Query(query)| query);
    if let Some(LinkQuery { token: Some(token), to }) = query.filter(|_| path == "/") {
        // A browser that is in already may open its link again, although the token is void.
        if !is_known && !shared.keys.use_token(&token) {
            return refuse(StatusCode::FORBIDDEN, "This link has already been used, or is too old.");
        }
        return Err(Box::new(set_cookie(shared, host, to.as_deref())));
    }
    if !is_known {
        return refuse(StatusCode::FORBIDDEN, UNKNOWN_BROWSER);
    }
    if is_fetched_by_others(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "Another web page asked for this.");
    }
    Ok(request)
}

/// Lets in a form that this page gave to a browser with the cookie.
async fn admit_form(shared: &Shared, host: &str, request: Request<Body>) -> Admission {
    if !has_cookie(shared, host, request.headers()) {
        return refuse(StatusCode::FORBIDDEN, UNKNOWN_BROWSER);
    }
    if !is_own_form(host, request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "Another web page sent this form. Nothing was changed.");
    }
    let (parts, body) = request.into_parts();
    // The form is read only after the headers have shown that it is one of this page's.
    let is_upload = multipart::boundary(&parts.headers).is_some();
    let limit = if is_upload { MAX_UPLOAD_OCTETS } else { MAX_FORM_OCTETS };
    let Ok(body) = to_bytes(body, limit).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "This form is too large. Nothing was changed.");
    };
    // The form is read twice: here for its token, then by its page for the rest.
    match read_form_token(&parts, &body, is_upload).await {
        Some(form) if equals_secretly(&shared.keys.form, &form) => Ok(Request::from_parts(parts, Body::from(body))),
        _ => refuse(
            StatusCode::FORBIDDEN,
            "This form is from an earlier run of ostler, or from another page. Nothing was changed.",
        ),
    }
}

/// The token in a form.
async fn read_form_token(head: &Parts, body: &Bytes, is_upload: bool) -> Option<String> {
    if is_upload {
        return multipart::parts(&head.headers, body).iter().find(|part| part.name == "form")?.text();
    }
    let copy = Request::from_parts(head.clone(), Body::from(body.clone()));
    axum::Form::<FormToken>::from_request(copy, &()).await.ok().map(|axum::Form(FormToken { form })| form)
}

/// The host that the request names, if it is one of this page's.
fn own_host(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    // An absolute URI is a request to a proxy.
    if uri.authority().is_some() {
        return None;
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?.to_ascii_lowercase();
    // Two hosts must be refused (RFC 9112, 3.2): each side could believe another one.
    if hosts.next().is_some() {
        return None;
    }
    let address = shared.open_at()?;
    let mut known = vec![address.to_string()];
    known.extend(NAMES_OF_LOOPBACK.map(|name| format!("{name}:{}", address.port())));
    // Browsers leave out the usual port.
    if address.port() == 80 {
        known.extend(NAMES_OF_LOOPBACK.map(str::to_owned));
    }
    known.contains(&host).then_some(host)
}

/// What a browser is told that names another host. One that names this computer with another port comes through a tunnel whose
/// other end has that port.
fn wrong_host_text(shared: &Shared, headers: &HeaderMap) -> String {
    let wrong = "This is not the address of ostler's settings page.";
    let given = header(headers, "host").and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
    let name = given.rsplit_once(':').map_or(given, |(name, _)| name);
    match shared.open_at().map(|address| address.port()) {
        Some(port) if NAMES_OF_LOOPBACK.contains(&name) => format!(
            "{wrong} Through a tunnel of ssh it opens only under its own number, {port}: ssh -L {port}:127.0.0.1:{port}, then \
             the address that `ostler settings --print` prints."
        ),
        _ => wrong.to_owned(),
    }
}

/// Browsers send a cookie to every port of a host, so the port is part of the name: otherwise two ostlers would overwrite each
/// other's cookie.
fn cookie_name(host: &str) -> String {
    format!("ostler-{}", host.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("80"))
}

fn has_cookie(shared: &Shared, host: &str, headers: &HeaderMap) -> bool {
    let name = cookie_name(host);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(given, value)| given == name && equals_secretly(&shared.keys.cookie, value))
}

/// Hands out the cookie and redirects to an address without the token, so that the token does not stay in the history.
fn set_cookie(shared: &Shared, host: &str, to: Option<&str>) -> Response {
    let to = to.filter(|to| is_local_path(to)).unwrap_or("/");
    let mut response = Redirect::to(to).into_response();
    // Not `Secure`: the page is plain http, which never leaves this computer.
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", cookie_name(host), shared.keys.cookie);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether this is a path of this page, and nothing that a browser could take for another host.
fn is_local_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.?=&%#+".contains(&b))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// Whether another page loads this as an image, a script or a frame. Following a link is allowed. Browsers before 2020 do not
/// send these headers.
fn is_fetched_by_others(headers: &HeaderMap) -> bool {
    let foreign = header(headers, "sec-fetch-site").is_some_and(|site| site != b"same-origin" && site != b"none");
    let part = header(headers, "sec-fetch-mode").is_some_and(|mode| mode != b"navigate");
    let framed = header(headers, "sec-fetch-dest")
        .is_some_and(|place| [&b"iframe"[..], b"frame", b"object", b"embed", b"fencedframe"].contains(&place));
    foreign && part || framed
}

/// Whether a form comes from this page, as far as the browser says. For browsers that send none of these headers there is the
/// token in the form.
fn is_own_form(host: &str, headers: &HeaderMap) -> bool {
    let own = format!("http://{host}");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin_is_good = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin.as_bytes() == own.as_bytes(),
        (Some(_), Some(_)) => false,
    };
    let site_is_good = header(headers, "sec-fetch-site").is_none_or(|site| site == b"same-origin");
    let from_here = |referrer: &[u8]| referrer.strip_prefix(own.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    let referrer_is_good = header(headers, "referer").is_none_or(from_here);
    origin_is_good && site_is_good && referrer_is_good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_the_pages_own_forms_count() {
        let own = |pairs: &[_]| is_own_form("127.0.0.1:2080", &headers(pairs));
        assert!(own(&[]));
        assert!(own(&[("origin", "http://127.0.0.1:2080"), ("sec-fetch-site", "same-origin")]));
        assert!(own(&[("referer", "http://127.0.0.1:2080/add")]));
        for foreign in [
            &[("origin", "null")][..],
            &[("origin", "http://127.0.0.1:20800")],
            &[("origin", "https://127.0.0.1:2080")],
            &[("origin", "http://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("referer", "http://127.0.0.1:20801/")],
            &[("origin", "http://127.0.0.1:2080"), ("origin", "http://evil.example")],
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in foreign {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert!(!is_own_form("127.0.0.1:2080", &map), "{foreign:?}");
        }
    }

    #[test]
    fn a_link_leads_to_this_page_only() {
        for good in ["/", "/account?name=ann%40x.net", "/job/0a"] {
            assert!(is_local_path(good), "{good}");
        }
        for bad in ["", "//evil.example", "http://evil.example", "/\\evil.example", "/a\r\nb", "evil", "/:x@y"] {
            assert!(!is_local_path(bad), "{bad}");
        }
    }

    #[test]
    fn frames_and_parts_of_other_pages_are_known() {
        let others = |pairs: &[_]| is_fetched_by_others(&headers(pairs));
        assert!(others(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]));
        assert!(others(&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]));
        assert!(others(&[("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")]));
        assert!(!others(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]));
        assert!(!others(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]));
        assert!(!others(&[]));
    }

    #[test]
    fn a_link_counts_once_and_the_oldest_of_many_is_void() {
        let keys = Keys::new().unwrap();
        let first = keys.new_token().unwrap();
        assert!(!keys.use_token("x") && !keys.use_token(""));
        assert!(keys.use_token(&first) && !keys.use_token(&first));
        let old = keys.new_token().unwrap();
        let newer: Vec<String> = (0..MAX_OPEN_LINKS).map(|_| keys.new_token().unwrap()).collect();
        assert!(!keys.use_token(&old) && newer.iter().all(|token| keys.use_token(token)));
    }

    #[test]
    fn each_port_has_its_cookie() {
        assert_eq!(cookie_name("[::1]:2080"), "ostler-2080");
        assert_eq!(cookie_name("localhost"), "ostler-80");
    }
}
