//! Fetches one small file over https, through few redirects. What the file contains is not known here, nor is HTTP
//! (`proxy/net/https.rs`).

use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use tokio::time::timeout;

use super::{Domain, Missing};
use crate::proxy::net::dial::Dialer;
use crate::proxy::net::https::{self, HttpsTrouble, Reply, Request};
use ostler_mail::account::Trust;
use ostler_mail::account::issuer::HttpsUrl;
use ostler_mail::failure::Failure;

/// For the name, all connections and redirects, and the file. A person is waiting, and there are other sources to ask.
const FETCH_TIMEOUT: Duration = Duration::from_secs(12);
/// For one connection, and again for its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest file; Mozilla's longest one has about 10 KiB.
const MAX_FILE_OCTETS: usize = 256 * 1024;
/// Enough for the domain to its `www`, from there to the hoster, and one more.
const MAX_REDIRECTS: usize = 3;
const HTTPS_PORT: u16 = 443;

/// The answer to a request.
enum Answer {
    File(Vec<u8>),
    Moved(String),
}

/// Fetches `url`, which must be https. A redirect may lead to any other host, because the first host vouches for it,
/// but only by https on the usual port and to a full domain name. An IP address or a name without a dot could be this
/// computer or another one in its network.
pub(super) async fn get(dialer: &Dialer, trust: &Trust, url: &str) -> Result<Vec<u8>, Missing> {
    let fetched = timeout(FETCH_TIMEOUT, follow(dialer, trust, url)).await;
    fetched.unwrap_or_else(|_| Err(Missing::NotAsked(format!("no answer within {} s", FETCH_TIMEOUT.as_secs()))))
}

async fn follow(dialer: &Dialer, trust: &Trust, url: &str) -> Result<Vec<u8>, Missing> {
    let mut target = parse_target(url).ok_or_else(|| Missing::NotAsked("its address is not valid".into()))?;
    for _ in 0..=MAX_REDIRECTS {
        match ask(dialer, trust, &target).await? {
            Answer::File(file) => return Ok(file),
            Answer::Moved(to) => {
                let next = resolve_redirect(&target, &to).as_deref().and_then(parse_target);
                target = next.ok_or_else(|| {
                    Missing::Unusable("it redirects to an address that ostler does not follow".into())
                })?;
            }
        }
    }
    Err(Missing::Unusable("it redirects too many times".into()))
}

/// A host and the path to ask it for.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: Domain,
    path: String,
}

/// Parses an absolute address; `None` if it may not be followed.
fn parse_target(url: &str) -> Option<Target> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let is_ours = uri.scheme_str() == Some("https")
        && authority.port_u16().is_none_or(|port| port == HTTPS_PORT)
        // `https://good.example@evil.example/` leads to the second host.
        && !authority.as_str().contains('@')
        && authority.host().parse::<IpAddr>().is_err();
    if !is_ours {
        return None;
    }
    let host = Domain::parse(authority.host()).ok()?;
    Some(Target { host, path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned() })
}

/// A redirect as an absolute address (RFC 9110, section 10.2.2). Paths relative to anything but the root are too rare
/// to support.
fn resolve_redirect(from: &Target, to: &str) -> Option<String> {
    if to.starts_with("//") {
        Some(format!("https:{to}"))
    } else if to.starts_with('/') {
        Some(format!("https://{}{to}", from.host))
    } else {
        to.contains("://").then(|| to.to_owned())
    }
}

async fn ask(dialer: &Dialer, trust: &Trust, target: &Target) -> Result<Answer, Missing> {
    let url = HttpsUrl::parse(&format!("https://{}{}", target.host, target.path));
    let url = url.ok_or_else(|| Missing::NotAsked("its address is not valid".into()))?;
    let request =
        Request { url: &url, trust, accept: "text/xml, application/xml", form: None, max_octets: MAX_FILE_OCTETS };
    let Reply { status, location, body } =
        https::ask(dialer, request, CONNECT_TIMEOUT).await.map_err(|trouble| match trouble {
            HttpsTrouble::NotReached(failure) => connect_trouble(failure),
            HttpsTrouble::TooLong => {
                Missing::Unusable(format!("its answer is longer than {} KB", MAX_FILE_OCTETS / 1024))
            }
            HttpsTrouble::NotHttp => Missing::NotAsked("it does not answer as a web server does".into()),
            HttpsTrouble::BrokeOff => Missing::NotAsked("it broke off in the middle of its answer".into()),
        })?;
    match status {
        200 => Ok(Answer::File(body.to_vec())),
        301 | 302 | 303 | 307 | 308 => Ok(Answer::Moved(location.unwrap_or_default())),
        400..=499 => Err(Missing::Nothing),
        _ => Err(Missing::NotAsked(format!("it answers with error {status}"))),
    }
}

/// Most domains have no such host or no web server there, so these failures mean that nothing was found.
fn connect_trouble(failure: Failure) -> Missing {
    match failure {
        Failure::NameNotFound { .. } | Failure::NobodyListens { .. } => Missing::Nothing,
        Failure::NoNameService { .. } | Failure::NetworkGone { .. } => Missing::OutOfReach(failure.sentence()),
        other => Missing::NotAsked(other.sentence()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_to_a_name_is_followed() {
        let from = parse_target("https://example.net/a?b").unwrap();
        assert_eq!((from.host.as_str(), from.path.as_str()), ("example.net", "/a?b"));
        let moved = |to: &str| resolve_redirect(&from, to).as_deref().and_then(parse_target);
        assert_eq!(moved("https://Hoster.example:443/x").unwrap().host.as_str(), "hoster.example");
        assert_eq!(moved("/there").unwrap().path, "/there");
        assert_eq!(moved("//www.example.net").unwrap(), parse_target("https://www.example.net/").unwrap());
        for bad in [
            "http://example.net/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://127.1/",
            "https://localhost/",
            "https://router/",
            "https://user:pw@example.net/",
            "https://example.net:8443/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "there",
            "",
            "https://",
            "https:///x",
        ] {
            assert_eq!(moved(bad), None, "{bad}");
        }
    }
}
