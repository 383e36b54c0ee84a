//! Whoever is not the person in front of this computer: web sites that make the browser ask, other users of the computer,
//! and names that lead here by a trick.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::http::{Browser, raw};
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::running::Run;
use crate::support::{free_port, unique, wait_for};
use crate::{ANN, home, link};

struct Scene {
    ostler: Ostler,
    browser: Browser,
}

fn scene() -> Scene {
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", 1));
    let ostler = home(&TestCa::new(), &[account]).run();
    let browser = Browser::new(&ostler.home);
    Scene { ostler, browser }
}

fn is_paused(ostler: &Ostler) -> bool {
    let output = ostler.home.ostler(&["status", "--json"], "");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["paused"] == true
}

#[test]
fn the_link_lets_one_browser_in_once_and_status_does_not_have_it() {
    let Scene { ostler, mut browser } = scene();
    assert_eq!(browser.get("/").status, 200);
    let link = link(&ostler.home);
    let (address, token) = link.split_once("?token=").unwrap();
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()), "{token}");
    let status = String::from_utf8(ostler.home.ostler(&["status", "--json"], "").stdout).unwrap();
    assert!(status.contains(&format!("\"page\": \"{address}\"")) && !status.contains(token), "{status}");
    // The browser that is in already may follow any link; another one needs one that nobody has used.
    let known = browser.cookie.take();
    assert_eq!(browser.ask("GET", &format!("/?token={token}"), &[], "").status, 303);
    browser.cookie = None;
    assert_eq!(browser.ask("GET", &format!("/?token={token}"), &[], "").status, 403);
    assert_eq!(browser.ask("GET", &format!("/?token={}", "0".repeat(32)), &[], "").status, 403);
    browser.cookie = known;
    assert_eq!(
        browser.ask("GET", &format!("/?token={token}&to=//evil.example/"), &[], "").header("location"),
        Some("/")
    );
}

#[test]
fn without_the_cookie_of_this_start_nothing_is_shown() {
    let Scene { ostler, mut browser } = scene();
    let other = scene();
    // The cookie's name has the port, so the value of another start is put into it.
    let (name, _) = browser.cookie.as_ref().unwrap().split_once('=').unwrap();
    let theirs = other.browser.cookie.as_ref().unwrap().split_once('=').unwrap().1;
    let stolen = format!("{name}={theirs}");
    for cookie in [None, Some(stolen), Some(format!("{name}="))] {
        browser.cookie = cookie;
        for path in ["/", "/?token=", "/nothing", "/pause"] {
            let answer = browser.ask("GET", path, &[], "");
            assert_eq!(answer.status, 403, "{path}");
            assert!(answer.body.contains("ostler settings"), "{}", answer.body);
        }
        assert_eq!(browser.ask("POST", "/pause", &[], "form=x").status, 403);
    }
    assert!(!is_paused(&ostler));
}

/// A port alone stands for both loopback addresses; an address for itself.
#[test]
fn the_page_is_at_the_address_that_is_written_and_at_no_other() {
    let has_second = TcpListener::bind(("::1", 0)).is_ok();
    let home = Home::new(&TestCa::new(), &[]);
    let port = free_port();
    for (page, is_on_both) in [(format!("\"127.0.0.1:{port}\""), false), (port.to_string(), true)] {
        let before = home.settings().lines().find(|line| line.starts_with("page = ")).unwrap().to_owned();
        home.write_settings(&home.settings().replace(&before, &format!("page = {page}")));
        let mut run = Run::start(&home, &[]).ready();
        wait_for("the page", || TcpStream::connect(("127.0.0.1", port)).ok());
        // The second address is opened right behind the first.
        if is_on_both && has_second {
            wait_for("the page at ::1", || TcpStream::connect(("::1", port)).ok());
        } else if !is_on_both {
            raw(port, "GET /health HTTP/1.0\r\n\r\n");
            assert!(TcpStream::connect(("::1", port)).is_err(), "the page is at ::1, too");
        }
        run.end_well();
    }
}

#[test]
fn other_names_for_this_computer_are_refused() {
    let Scene { ostler: _ostler, mut browser } = scene();
    let port = browser.port;
    let good = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("[::1]:{port}"),
    ];
    for host in &good {
        assert_eq!(browser.ask("GET", "/", &[("Host", host)], "").status, 200, "{host}");
    }
    let bad = [
        format!("evil.example:{port}"),
        "127.0.0.1".into(),
        format!("127.0.0.1:{}", port.wrapping_add(1)),
        format!("127.0.0.1.evil.example:{port}"),
        format!("127.0.0.2:{port}"),
        format!("localhost:{port}@evil.example"),
        String::new(),
    ];
    for host in &bad {
        let answer = browser.ask("GET", "/", &[("Host", host)], "");
        assert!([421, 400].contains(&answer.status), "{host}: {answer:?}");
    }
    let cookie = browser.cookie.clone().unwrap();
    for request in [
        format!("GET / HTTP/1.0\r\nCookie: {cookie}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {0}\r\nHost: {0}\r\nCookie: {cookie}\r\n\r\n", good[0]),
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", good[0]),
    ] {
        let answer = raw(port, &request);
        assert!([421, 400].contains(&answer.status), "{request}: {answer:?}");
    }
}

#[test]
fn forms_of_other_pages_change_nothing() {
    let Scene { ostler, mut browser } = scene();
    let form = browser.get("/").form("/pause");
    let (own, body) = (format!("http://{}", browser.host), form.encoded());
    let other_port = format!("http://127.0.0.1:{}", browser.port.wrapping_add(1));
    for headers in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Origin", other_port.as_str())],
        &[("Origin", ""), ("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-site")],
        &[("Referer", "http://evil.example/")],
    ] {
        assert_eq!(browser.ask("POST", "/pause", headers, &body).status, 403, "{headers:?}");
    }
    // The right place, but not the word of the form.
    for wrong in ["", "form=", "form=0123456789abcdef0123456789abcdef"] {
        assert_eq!(browser.ask("POST", "/pause", &[("Origin", &own)], wrong).status, 403, "{wrong}");
    }
    let huge = format!("{body}&x={}", "x".repeat(70_000));
    assert_eq!(browser.ask("POST", "/pause", &[("Origin", &own)], &huge).status, 413);
    assert!(!is_paused(&ostler));
    // And the page's own, as browsers of today and of ten years ago send it.
    assert_eq!(
        browser.ask("POST", "/pause", &[("Origin", &own), ("Sec-Fetch-Site", "same-origin")], &body).status,
        303
    );
    assert!(is_paused(&ostler));
    let form = browser.get("/").form("/resume");
    assert_eq!(browser.send(&form).status, 200);
    assert!(!is_paused(&ostler));
}

#[test]
fn reading_changes_nothing_and_parts_of_the_page_are_nobodys() {
    let Scene { ostler, mut browser } = scene();
    let form = browser.get("/").form("/pause");
    assert_eq!(browser.ask("GET", &format!("/pause?{}", form.encoded()), &[], "").status, 405);
    assert!(!is_paused(&ostler));
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(browser.ask(method, "/pause", &[], "").status, 405, "{method}");
    }
    let part = [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    assert_eq!(browser.ask("GET", "/", &part, "").status, 403);
    let frame = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
    assert_eq!(browser.ask("GET", "/", &frame, "").status, 403);
    let own = [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    assert_eq!(browser.ask("GET", "/", &own, "").status, 200);
}

#[test]
fn every_answer_forbids_frames_foreign_parts_and_keeping() {
    let Scene { ostler: _ostler, mut browser } = scene();
    let mut answers =
        vec![browser.get("/"), browser.get("/style.css"), browser.get("/script.js"), browser.get("/nothing")];
    browser.cookie = None;
    answers.push(browser.get("/"));
    answers.push(browser.ask("GET", "/", &[("Host", "evil.example")], ""));
    for answer in answers {
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            for foreign in ["://", "style=\"", " on"].iter().zip(["an address", "a style", "a script"]) {
                let tags: String = answer.body.split('<').map(|tag| tag.split('>').next().unwrap_or("")).collect();
                assert!(!tags.contains(foreign.0), "{}: {}", foreign.1, answer.body);
            }
        }
    }
}

#[test]
fn connections_that_ask_nothing_keep_nobody_out() {
    let Scene { ostler: _ostler, mut browser } = scene();
    let begun = ["", "GET / HT", "POST /pause HTTP/1.1\r\nContent-Length: 9\r\n\r\n"];
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", browser.port)).unwrap();
        stream.write_all(begun[number % begun.len()].as_bytes()).unwrap();
        idle.push(stream);
    }
    let asked = Instant::now();
    assert_eq!(browser.get("/").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(idle);
}
