//! A browser of the simplest kind: it keeps a cookie, follows redirects, and fills in forms. It says what browsers of ten
//! years ago said, and keeps everything it was shown, so that a test can look for what must never be in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::link;
use crate::support::ostler::Home;
use crate::support::wait_for;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Every form on the page.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let mut forms = Vec::new();
        for part in self.body.split("<form").skip(1) {
            let (head, rest) = part.split_once('>').unwrap();
            let inside = rest.split("</form>").next().unwrap();
            let mut fields = Vec::new();
            for input in inside.split("<input").skip(1) {
                let tag = input.split_once('>').unwrap().0;
                let kind = attribute(tag, "type").unwrap_or_default();
                let checked = kind != "checkbox" && kind != "radio" || tag.contains(" checked");
                if let (Some(name), true) = (attribute(tag, "name"), checked) {
                    fields.push((name, attribute(tag, "value").unwrap_or_default()));
                }
            }
            for select in inside.split("<select").skip(1) {
                let (tag, rest) = select.split_once('>').unwrap();
                let options = rest.split("</select>").next().unwrap();
                let chosen =
                    options.split("<option").skip(1).find(|o| o.split('>').next().unwrap().contains(" selected"));
                let chosen = chosen.or_else(|| options.split("<option").nth(1)).unwrap();
                fields.push((attribute(tag, "name").unwrap(), attribute(chosen, "value").unwrap()));
            }
            // What stands behind the # is the browser's own.
            let action = attribute(head, "action").unwrap().split('#').next().unwrap().to_owned();
            forms.push(Form { action, fields });
        }
        forms
    }

    /// The form that goes to an address that begins like this.
    pub(crate) fn form(&self, action: &str) -> Form {
        let found = self.forms().into_iter().find(|form| form.action.starts_with(action));
        found.unwrap_or_else(|| panic!("no form for {action} in {}", self.body))
    }

    /// Where links lead.
    pub(crate) fn links(&self) -> Vec<String> {
        self.body.split("<a").skip(1).filter_map(|a| attribute(a.split_once('>')?.0, "href")).collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescaped(rest.split('"').next()?))
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A form as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(given, _)| given != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn encoded(&self) -> String {
        let pairs: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.join("&")
    }
}

fn encoded(text: &str) -> String {
    let one = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

/// Sends octets to a port and reads the answer.
pub(crate) fn raw(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}

/// A browser in front of the page.
pub(crate) struct Browser {
    /// Where to connect.
    pub(crate) port: u16,
    /// What it thinks it is connected to.
    pub(crate) host: String,
    pub(crate) cookie: Option<String>,
    /// The page it is on.
    pub(crate) at: String,
    seen: Vec<Answer>,
}

impl Browser {
    /// One that has followed the link.
    pub(crate) fn new(home: &Home) -> Self {
        Self::inside(home, |port| port)
    }

    /// As [`new`](Self::new), where the page's port is reached by another one.
    pub(crate) fn inside(home: &Home, reach: impl Fn(u16) -> u16) -> Self {
        let link = link(home);
        let (place, _) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let port = reach(place.rsplit(':').next().unwrap().parse().unwrap());
        Self::following(&link, port)
    }

    /// One that has followed this link, where its host is reached by this port.
    pub(crate) fn following(link: &str, port: u16) -> Self {
        let (place, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut browser = Self { port, host: place.to_owned(), cookie: None, at: String::new(), seen: Vec::new() };
        let answer = browser.ask("GET", &format!("/{path}"), &[], "");
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
        browser
    }

    /// One request as it stands, with the cookie there is and these headers, none followed.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if headers.iter().all(|(name, _)| *name != "Host") {
            request += &format!("Host: {}\r\n", self.host);
        }
        if let Some(cookie) = &self.cookie {
            request += &format!("Cookie: other=1; {cookie}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            if headers.iter().all(|(name, _)| *name != "Content-Type") {
                request += "Content-Type: application/x-www-form-urlencoded\r\n";
            }
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let answer = raw(self.port, &format!("{request}\r\n{body}"));
        path.clone_into(&mut self.at);
        if let Some(cookie) = answer.header("set-cookie") {
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"));
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        self.seen.push(answer.clone());
        answer
    }

    /// A page; redirects are followed.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, &[], "");
        self.follow(answer)
    }

    /// A form; redirects are followed.
    pub(crate) fn send(&mut self, form: &Form) -> Answer {
        let answer = self.ask("POST", &form.action, &[], &form.encoded());
        self.follow(answer)
    }

    /// A form with a file in its field `file`.
    pub(crate) fn send_file(&mut self, form: &Form, content: &str) -> Answer {
        let mut body = String::new();
        for (name, value) in form.fields.iter().filter(|(name, _)| name != "file") {
            body += &format!("--mark\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        let head = "Content-Disposition: form-data; name=\"file\"; filename=\"cert.pem\"\r\nContent-Type: text/plain";
        body += &format!("--mark\r\n{head}\r\n\r\n{content}\r\n--mark--\r\n");
        let kind = [("Content-Type", "multipart/form-data; boundary=mark")];
        let answer = self.ask("POST", &form.action, &kind, &body);
        self.follow(answer)
    }

    fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..5 {
            let Some(place) = answer.header("location").map(str::to_owned) else { return answer };
            answer = self.ask("GET", &place, &[], "");
        }
        panic!("redirects without an end: {answer:?}");
    }

    /// Looks at the page it is on again and again until it has this text, as browsers without scripts do.
    pub(crate) fn stay_until(&mut self, text: &str) -> Answer {
        let at = self.at.clone();
        self.wait_for(&at, text)
    }

    /// Looks at a page again and again until it has this text.
    pub(crate) fn wait_for(&mut self, path: &str, text: &str) -> Answer {
        wait_for(text, || {
            let answer = self.get(path);
            answer.body.contains(text).then_some(answer)
        })
    }

    /// Nothing it has been shown holds this.
    pub(crate) fn never_saw(&self, secret: &str) {
        for answer in &self.seen {
            assert!(!answer.body.contains(secret), "a secret was shown: {}", answer.body);
            assert!(answer.headers.iter().all(|(_, value)| !value.contains(secret)), "a secret was in a header");
        }
    }
}
