//! The page in a real browser, driven over WebDriver as a person would: by what is written on buttons, by the keyboard,
//! on a narrow screen, in light and dark. `OSTLER_TEST_SCREENS=FOLDER` keeps pictures of every page.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::process::{Process, command};
use crate::support::{client, free_port, mail, read_some, require, wait_for};
use crate::{ANN, Newcomer, link};

/// A browser with an empty profile, and the program that drives it.
pub(crate) struct Chromium {
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
    _driver: Process,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        Self::started(&["--headless=new"], |_| {})
    }

    /// One that takes every certificate, those of the test's own servers too.
    pub(crate) fn trusting_anybody() -> Self {
        Self::started(&["--headless=new", "--ignore-certificate-errors"], |_| {})
    }

    /// One for which a port of this computer leads to another one.
    pub(crate) fn with_detour(port: u16, to: u16) -> Self {
        Self::started(&["--headless=new", &detour(port, to)], |_| {})
    }

    /// One with a window, in the place where `change` puts its command.
    pub(crate) fn in_window(port: u16, to: u16, change: impl FnOnce(&mut Command)) -> Self {
        Self::started(&["--app=about:blank", "--test-type", &detour(port, to)], change)
    }

    fn started(more: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let (port, profile) = (free_port(), crate::support::folder());
        let mut driver = command("chromedriver", [format!("--port={port}")]);
        change(&mut driver);
        driver.env("HOME", profile.path());
        let driver = Process::start("chromedriver", &mut driver);
        wait_for("chromedriver", || TcpStream::connect(("127.0.0.1", port)).ok());
        let mut args = vec![
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            // They would cover a part of the page in the pictures.
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,900",
        ];
        let folder = format!("--user-data-dir={}", profile.path().join("profile").display());
        args.extend([folder.as_str()].iter().chain(more));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium", "args": args, "excludeSwitches": ["enable-automation"],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = wire(port, "POST", "/session", &wanted);
        let session = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Self { port, session, _profile: profile, _driver: driver }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = wire(self.port, method, &format!("/session/{}{path}", self.session), body);
        answer["value"].clone()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let value = self.ask("POST", path, body);
        assert!(value["error"].is_null(), "{path} {body}: {value}");
        value
    }

    pub(crate) fn go(&self, address: &str) {
        self.post("/url", &json!({"url": address}));
    }

    /// A script that says itself when it is done: it calls its last argument with the result.
    pub(crate) fn run_until_done(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }

    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn title(&self) -> String {
        self.ask("GET", "/title", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// The element an XPath finds; waits for it.
    pub(crate) fn find(&self, path: &str) -> String {
        wait_for(path, || {
            let found = self.ask("POST", "/element", &json!({"using": "xpath", "value": path}));
            found.as_object()?.values().next()?.as_str().filter(|id| id.len() > 20).map(str::to_owned)
        })
    }

    /// Clicks what has these words on it; the page may just be putting a new one in its place.
    pub(crate) fn click(&self, kind: &str, words: &str) {
        wait_for(words, || {
            let element = self.find(&format!("//{kind}[contains(normalize-space(.), \"{words}\")]"));
            let clicked = self.ask("POST", &format!("/element/{element}/click"), &json!({}));
            clicked.is_null().then_some(())
        });
    }

    pub(crate) fn type_into(&self, name: &str, text: &str) {
        let element = self.find(&format!("//input[@name='{name}']"));
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Keys for whatever has the focus.
    pub(crate) fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    pub(crate) fn wait_for_text(&self, text: &str) -> String {
        wait_for(text, || Some(self.text()).filter(|all| all.contains(text)))
    }

    /// Looks at the page on a narrow and a wide screen, in light and dark, and as large as with a zoom of 200 %: nothing is cut
    /// off, and pictures are kept where somebody wants to look at them.
    pub(crate) fn look(&self, name: &str) {
        for (width, scheme, zoom) in [
            (320, "light", 1),
            (320, "dark", 1),
            // What a window of 1200 pixels has room for at 200 %.
            (600, "light", 2),
            (1200, "light", 1),
            (1200, "dark", 1),
        ] {
            let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": zoom, "mobile": false});
            self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
            let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            self.cdp("Emulation.setEmulatedMedia", &media);
            let too_wide = self.run(
                "if (document.documentElement.scrollWidth <= window.innerWidth) { return []; }
                 return ['the page'].concat(Array.from(document.querySelectorAll('main *')).filter(function (node) {
                     return node.getBoundingClientRect().right > window.innerWidth;
                 }).map(function (node) { return node.outerHTML.slice(0, 100); }));",
            );
            assert_eq!(too_wide, json!([]), "{name} is too wide for {width}");
            let found = crate::accessible::violations(self);
            assert_eq!(found, json!([]), "{name}, {scheme}, {width} wide");
            let Some(folder) = std::env::var_os("OSTLER_TEST_SCREENS") else { continue };
            let shot = self.cdp("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
            let picture = BASE64.decode(shot["data"].as_str().unwrap()).unwrap();
            std::fs::create_dir_all(&folder).unwrap();
            let file = std::path::Path::new(&folder).join(format!("{name}-{width}-{scheme}.png"));
            std::fs::write(file, picture).unwrap();
        }
    }

    pub(crate) fn cdp(&self, cmd: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": cmd, "params": params}))
    }

    pub(crate) fn forget_cookies(&self) {
        self.ask("DELETE", "/cookie", &Value::Null);
    }

    /// The browser had nothing to complain about: no part that was refused, no error in the script.
    pub(crate) fn was_content(&self) {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        // Its advice about forms (DEBUG) is no complaint.
        let complaints: Vec<&Value> = log.as_array().unwrap().iter().filter(|line| line["level"] != "DEBUG").collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ =
            std::panic::catch_unwind(|| wire(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null));
    }
}

fn detour(port: u16, to: u16) -> String {
    format!("--host-resolver-rules=MAP 127.0.0.1:{port} 127.0.0.1:{to}")
}

/// One question to the driver.
fn wire(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut bytes, mut block) = (Vec::new(), [0; 65536]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if length.is_some_and(|length: usize| bytes.len() >= head.len() + 4 + length) {
                return serde_json::from_str(rest).unwrap();
            }
        }
        match read_some(&mut stream, &mut block) {
            Ok(count @ 1..) => bytes.extend_from_slice(&block[..count]),
            other => panic!("the driver broke off: {other:?} {}", String::from_utf8_lossy(&bytes)),
        }
    }
}

pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const TAB: &str = "\u{e004}";

#[test]
fn first_run_to_the_first_fetched_message() {
    require!("dovecot", "postfix", "keyring", "chromium", "chromedriver");
    let newcomer = Newcomer::start();
    let chromium = Chromium::start();
    chromium.go(&link(&newcomer.ostler.home));
    assert_eq!(chromium.title(), "Add your account - ostler");
    assert_eq!(chromium.run("return location.search"), "", "the token is gone from the address");
    chromium.look("1-first");
    let place = "return document.activeElement.name || document.activeElement.className";
    assert_eq!(chromium.run(place), "address", "the keyboard is in the first field");
    chromium.type_into("address", "ann");
    chromium.keys(ENTER);
    chromium.wait_for_text("This has no @");
    chromium.look("2-mistake");
    chromium.run("document.getElementById('address').value = ''");
    chromium.type_into("address", ANN);
    chromium.type_into("password", "not-the-password");
    chromium.click("summary", "I know my servers");
    chromium.type_into("pop3", &newcomer.pop3());
    chromium.type_into("smtp", &newcomer.smtp());
    chromium.type_into("ca", &newcomer.ca());
    chromium.keys(ENTER);
    // Steps come by themselves, without the page being loaded again.
    chromium.wait_for_text("refused the password");
    assert!(!chromium.text().contains("page of the account"), "it has none yet: {}", chromium.text());
    wait_for("the keyboard in the field to be filled", || (chromium.run(place) == "password").then_some(()));
    chromium.look("3-refused");
    chromium.type_into("password", &newcomer.password);
    chromium.keys(ENTER);
    chromium.wait_for_text("works and is saved");
    chromium.look("4-kept");
    chromium.click("a", "Which mail program do you use?");
    chromium.wait_for_text("Eudora");
    chromium.look("5-programs");
    chromium.click("a", "Outlook Express");
    chromium.wait_for_text("Waiting for your mail program");
    chromium.look("6-guide");
    assert!(chromium.run("return document.querySelectorAll('.guide button').length").as_u64().unwrap() > 3);
    chromium.run("window.same = true");
    newcomer.dovecot.deliver(ANN, &mail::tricky("hello"));
    assert_eq!(client::fetch(newcomer.ostler.pop3, ANN, "x").len(), 1);
    chromium.wait_for_text("has fetched its mail");
    client::send(newcomer.ostler.smtp, ANN, &["bob@example.com"], &mail::tricky("back"));
    chromium.wait_for_text("There is nothing more to do");
    assert_eq!(chromium.run("return window.same"), true, "the page was not loaded again");
    chromium.run("document.querySelectorAll('details').forEach(function (part) { part.open = true; })");
    chromium.look("7-works");
    for (page, name) in
        [("/", "8-overview"), ("/account", "9-account"), ("/history", "10-history"), ("/about", "11-about")]
    {
        chromium.run(&format!("location.href = '{page}'"));
        wait_for(page, || {
            (chromium.run("return location.pathname + document.readyState") == format!("{page}complete")).then_some(())
        });
        chromium.look(name);
    }
    // The keyboard alone: on a page without a form the first stop leads past the navigation.
    chromium.keys(TAB);
    assert_eq!(chromium.run(place), "skip");
    let seen = chromium.run("return document.documentElement.outerHTML").to_string();
    assert!(!seen.contains(&newcomer.password));
    chromium.was_content();
}

#[test]
fn a_web_site_cannot_use_the_page() {
    require!("chromium", "chromedriver");
    let ostler = crate::home(&crate::support::ca::TestCa::new(), &[]).run();
    let chromium = Chromium::start();
    let link = link(&ostler.home);
    let page = link.split('?').next().unwrap().to_owned();
    chromium.go(&link);
    let word = chromium.run("return document.querySelector('input[name=form]').value");
    // Another program's web page on this computer: the same site for the browser, so the cookie goes along.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let evil = listener.local_addr().unwrap();
    let html = format!(
        "<title>evil</title><iframe src='{page}'></iframe><img src='{page}style.css' id=i><form method=post action='{page}pause'>\
         <input name=form value={word}><button>x</button></form>"
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let html = html.clone();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    html.len()
                );
                let _ = stream.write_all((head + &html).as_bytes());
            });
        }
    });
    chromium.go(&format!("http://{evil}/"));
    assert_eq!(chromium.title(), "evil");
    assert_eq!(chromium.run("return document.querySelector('iframe').contentDocument"), Value::Null);
    let read = chromium.run(&format!(
        "var r = new XMLHttpRequest(); r.open('GET', '{page}', false); r.withCredentials = true; \
         try {{ r.send(); return r.responseText; }} catch (e) {{ return 'refused'; }}"
    ));
    assert_eq!(read, "refused");
    chromium.click("button", "x");
    wait_for("the refusal", || (chromium.title() == "This page is closed - ostler").then_some(()));
    chromium.wait_for_text("Another web page sent this form");
    let status = ostler.home.ostler(&["status", "--json"], "");
    assert!(String::from_utf8_lossy(&status.stdout).contains("\"paused\": false"));
}
