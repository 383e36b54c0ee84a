//! A browser without scripts and with hardly any CSS, at a terminal: w3m takes the way from the first page to an account that
//! works, by forms and links alone.

use crate::support::process::command;
use crate::support::terminal::Terminal;
use crate::support::{mail, require, wait_for};
use crate::{ANN, Newcomer, link};

/// The key by which w3m loads the page again and draws the screen anew.
const REDRAW: &str = "R";
/// Stands in the last line that is drawn.
const MARK: &str = "Viewing";

/// A browser at a terminal.
struct TextBrowser {
    terminal: Terminal,
    _profile: tempfile::TempDir,
}

impl TextBrowser {
    fn start(program: &str, args: &[&str]) -> Self {
        let profile = crate::support::folder();
        let mut start = command(program, args);
        start.env("HOME", profile.path()).env("TERM", "xterm").env("LANG", "C.UTF-8");
        let terminal = Terminal::start(&start);
        Self { terminal, _profile: profile }
    }

    fn keys(&mut self, keys: &str) {
        self.terminal.keys(keys);
    }

    /// The screen, drawn anew, without what steers the terminal.
    fn screen(&mut self) -> String {
        let before = self.terminal.all().len();
        self.keys(REDRAW);
        wait_for(MARK, || Some(plain(&self.terminal.all()[before..])).filter(|screen| screen.contains(MARK)))
    }

    fn wait_until(&mut self, words: &str) -> String {
        wait_for(words, || Some(self.screen()).filter(|screen| screen.contains(words)))
    }
}

/// The words of a text for a terminal, one blank between them.
fn plain(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\u{1b}' => {
                words.push(' ');
                // `ESC [ 3 ; 1 H`, or ESC with one or two more.
                match rest.next() {
                    Some('[') => drop(rest.find(|end| ('@'..='~').contains(end))),
                    Some('(' | ')') => drop(rest.next()),
                    _ => {}
                }
            }
            letter if letter.is_control() => words.push(' '),
            letter => words.push(letter),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// w3m: a slash searches, the tabulator goes on to the next field, Enter asks for its text.
struct W3m(TextBrowser);

impl W3m {
    fn find(&mut self, words: &str) {
        self.0.keys(&format!("g/{words}\r"));
    }

    fn fill(&mut self, label: &str, text: &str) {
        self.find(label);
        self.0.keys(&format!("\t\r{text}\r"));
    }

    fn press(&mut self, words: &str) {
        self.find(words);
        self.0.keys("\r");
    }
}

#[test]
fn an_account_is_added_and_ostler_paused_in_w3m() {
    require!("dovecot", "postfix", "keyring", "setsid", "w3m");
    let newcomer = Newcomer::start();
    newcomer.dovecot.deliver(ANN, &mail::tricky("hello"));
    let link = link(&newcomer.ostler.home);
    let mut w3m = W3m(TextBrowser::start("w3m", &["-cookie", &link]));
    w3m.0.wait_until("Add your account");
    w3m.press("Add this account");
    w3m.0.terminal.wait_for("marked");
    w3m.fill("Your mail address", ANN);
    w3m.fill("Your password", &newcomer.password);
    w3m.fill("Server for fetching", &newcomer.pop3());
    w3m.fill("Server for sending", &newcomer.smtp());
    w3m.fill("File with a certificate", &newcomer.ca());
    w3m.press("Add this account");
    let done = w3m.0.wait_until("works and is saved");
    assert!(done.contains("Save the account done"), "{done}");
    // A second window, on the overview.
    let link = crate::link(&newcomer.ostler.home);
    let mut w3m = W3m(TextBrowser::start("w3m", &["-cookie", &link]));
    w3m.0.wait_until("ostler is working");
    // The heading comes first, the sentence next, then the button.
    w3m.press("While ostler is paused");
    w3m.0.keys("\t\r");
    w3m.0.wait_until("ostler is paused");
}
