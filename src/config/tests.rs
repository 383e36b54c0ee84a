//! The settings file as a person writes it: what each mistake says, what the keys come to, and that no secret
//! gets into a message.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::account::*;

const FILE: &str = "/etc/ostler.toml";

fn settings(text: &str) -> Settings {
    parse(text, Path::new(FILE)).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings
}

fn warnings(text: &str) -> Vec<String> {
    let parsed = parse(text, Path::new("o.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    parsed.warnings.iter().map(Remark::to_string).collect()
}

fn mistakes(text: &str) -> String {
    parse(text, Path::new("o.toml")).map_or_else(|mistakes| mistakes.to_string(), |_| "no mistake".to_owned())
}

/// A minimal account with more lines behind `address`.
fn account(more: &str) -> String {
    format!("[[account]]\naddress = \"ann@example.net\"\n{more}\n[account.imap]\nhost = \"i.example.net\"\n")
}

#[test]
fn show() {
    for text in [
        "[local]\npop3 = 99999",
        "[local]\npop3 = \"127.0.0.1\"",
        "[local]\npop3 = \"2110\"",
        "[local]\npop3 = true",
        "[local]\npop3 = [2110, 1.5, \"x:1\"]",
        "[local]\npop3 = 2025",
        "[local]\npop3 = \"0.0.0.0:2110\"",
        "[local]\npage = \"0.0.0.0:2110\"",
        "[local]\npage = [2080]",
        "[local]\naccess = \"everyone\"\nallow = \"10.0.0.0/8\"",
        "[local]\nallow = [\"10.0.0.0/33\", 5]",
        "[lokal]\nx = 1",
        "pop3 = 1",
        "[account]\nname = \"x\"",
        "[[account]]",
        "[[account]]\naddress = \"ann\"\nprovider = \"optonline\"",
        &account("password = \"hunter2\""),
        &account("passwort = \"hunter2\""),
        &account("pop3 = { password = \"hunter2\" }"),
        &account("password = { value = \"hunter2\", command = \"x\" }"),
        &account("password = { command = \"a\", env = \"b\" }"),
        &account("password = {}"),
        &account("password = { command = [] }"),
        &account("password = { command = [\"a\\u0000\", 1] }"),
        &account("password = { env = \"A=B\" }"),
        &account("password = { file = \"\" }"),
        &account("password = 5"),
        &account("local_password = \"client\""),
        &account("password = hunter2"),
        &account("password = \"hunter2"),
        &account("hunter2"),
        &account("hunter2-SECRET = 1"),
        &account("username = \"a\\r\\nb\""),
        &account("name = \" a\""),
        &account("default = \"yes\"\noffer_auth = true"),
        &account("address = \"twice@example.net\""),
        "[[account]\naddress = 1",
        "[local]\npop3 = = 1\nsmtp = x\n[[account]]\nname=''",
        &account(
            "smtp = { host = \"a:25\", port = 0, security = \"ssl\", auth = \"pop-before-smtp\", fresh = 60, pin = \"x\" }",
        ),
        &account("smtp = { host = \"a\", auth = \"pop-before-smtp\", fresh = \"60\" }"),
        &account("smtp = { host = \"a\", auth = \"none\", fresh = \"60s\", login = {} }"),
        &account("smtp = []"),
        &account("pop3 = [{}]"),
        "[timeouts]\nidle = \"1ms\"\nfinal = \"25h\"\nlogin = 10\ndata = \"soon\"",
    ] {
        eprintln!("--- {text}\n{}", mistakes(text));
    }
}
