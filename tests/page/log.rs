//! The log with a provider that talks a lot: on stderr in both forms, on its page, in the report.

use serde_json::Value;

use crate::http::Browser;
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::running::Run;
use crate::support::unique;
use crate::{ANN, home};

/// What is promised (`src/log.rs`).
const LONGEST: usize = 512;

/// Refuses the password in 4000 octets of which some would steer a terminal, some would begin a line, and many are somebody's
/// name and letters of two octets.
fn talkative() -> Part {
    let mut refusal = b"-ERR [AUTH] \x1b[2J\x1b]0;mine\x07 \xc2\x9b31m no\rway ".to_vec();
    refusal.extend(format!("{ANN} \u{e4}\u{e4}\u{e4}").repeat(170).bytes());
    refusal.extend_from_slice(b"\r\n");
    vec![say("+OK"), expect("USER"), say("+OK"), expect("PASS"), Step::Send(refusal), Step::Stall]
}

/// Two clients that are refused, and a user name that would steer a terminal.
fn refused(home: &Home) {
    for user in ["home", "home", "h\x1b[31mo\u{9b}me\u{202e}"] {
        let mut client = Client::greeted(home.pop3, "+OK");
        client.ask(&format!("USER {user}"), if user == "home" { "+OK" } else { "-ERR" });
        if user == "home" {
            client.ask("PASS x", "-ERR");
        }
    }
}

fn assert_a_line_of_the_log(line: &str) {
    assert!(line.chars().count() <= LONGEST, "{} characters: {line}", line.chars().count());
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
}

#[test]
fn no_line_of_it_is_long_or_steers_a_terminal_whoever_reads_it() {
    let provider = Provider::always(talkative());
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", provider.port));
    let home = home(&TestCa::new(), &[account]);
    let mut run = Run::start(&home, &["-v"]).ready();
    let mut browser = Browser::new(&home);
    refused(&home);
    run.err.wait("has no control characters");
    let page = browser.wait_for("/log", "has no control characters").body;
    let report = browser.get("/report").body;
    run.end_well();
    let said = run.err.text();
    let cut: Vec<&str> = said.lines().filter(|line| line.ends_with('\u{2026}')).collect();
    assert!(cut.len() >= 2 && cut.iter().all(|line| line.chars().count() == LONGEST), "{said}");
    assert!(cut.iter().any(|line| line.contains("S: -ERR [AUTH] ")), "what the provider said: {said}");
    // What to do about it is not what is left out.
    let hint = "the right one belongs in the file that the settings name";
    let told = said.lines().find(|line| line.contains("refused the sign-in")).unwrap();
    assert!(told.contains('\u{2026}') && told.ends_with(hint), "{told}");
    said.lines().for_each(assert_a_line_of_the_log);
    let shown: Vec<&str> = page.split("<li>").skip(1).map(|item| item.split("</li>").next().unwrap()).collect();
    assert!(shown.iter().any(|line| line.ends_with('\u{2026}')), "{page}");
    for line in shown {
        assert_a_line_of_the_log(&line.replace("&quot;", "\"").replace("&lt;", "<").replace("&amp;", "&"));
    }
    let log = report.split_once("\nThe log\n").unwrap().1;
    assert!(log.lines().any(|line| line.ends_with('\u{2026}')), "{log}");
    // What stands there in the place of a name is longer than the name.
    let lines = log.lines().filter_map(|line| line.strip_prefix("  "));
    lines.for_each(|line| assert_a_line_of_the_log(&line.replace("(account 1)", "home")));
    let halves = (1..ANN.len()).map(|end| &ANN[..end]).find(|half| log.contains(&format!("{half}\u{2026}")));
    assert_eq!((halves, log.contains(ANN)), (None, false), "{log}");
}

#[test]
fn a_line_for_programs_is_whole_json_with_a_cut_message() {
    let provider = Provider::always(talkative());
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", provider.port));
    let home = home(&TestCa::new(), &[account]);
    let mut run = Run::start(&home, &["-v", "--log", "json"]).ready();
    refused(&home);
    run.err.wait("has no control characters");
    run.end_well();
    let mut cut = 0;
    for line in run.err.text().lines() {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let message = document["fields"]["message"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert!(document["timestamp"].is_string() && document["level"].is_string(), "{line}");
        assert_a_line_of_the_log(message);
        cut += usize::from(message.ends_with('\u{2026}'));
    }
    assert!(cut >= 2, "{}", run.err.text());
}
