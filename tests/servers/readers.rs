//! Programs that people use today, reading by IMAP through ostler, and a second server behind it: every octet is compared.

use std::path::Path;
use std::process::Command;

use crate::ANN;
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::courier::Courier;
use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Ostler, Server};
use crate::support::process::{command, run_well};
use crate::support::terminal::Terminal;
use crate::support::{folder, mail, private_file, require, unique, wait_for};

/// A Dovecot with one message, and the port of an ostler before it.
struct Desk {
    dovecot: Dovecot,
    ostler: Ostler,
    message: Vec<u8>,
}

impl Desk {
    fn start() -> Self {
        let (ca, secret) = (TestCa::new(), unique("pw"));
        let dovecot = Dovecot::builder().user(ANN, &secret).cert(ca.localhost()).start();
        let account = Account::new("home", ANN, &secret).imap(Server::new("tls", dovecot.imaps));
        let message = mail::tricky("hello");
        dovecot.deliver(ANN, &message);
        Self { ostler: Ostler::start(&ca, &[account]), dovecot, message }
    }
}

fn at_home(program: &str, args: &[&str], home: &Path) -> Command {
    let mut command = command(program, args);
    command.env("HOME", home).env("FETCHMAILHOME", home).env("TERM", "xterm").current_dir(home);
    command
}

/// The one message in a Maildir.
fn only_message(maildir: &Path) -> Vec<u8> {
    let all: Vec<_> = ["new", "cur"]
        .iter()
        .flat_map(|part| std::fs::read_dir(maildir.join(part)).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(all.len(), 1, "{all:?}");
    std::fs::read(&all[0]).unwrap()
}

/// The stored message has LF for CR LF.
fn with_crlf(stored: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(stored).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

#[test]
fn isync_copies_a_mailbox_both_ways() {
    require!("dovecot", "mbsync");
    let (desk, home) = (Desk::start(), folder());
    let at = home.path().display();
    let rc = format!(
        "IMAPAccount ostler\nHost 127.0.0.1\nPort {}\nUser home\nPass typed\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount ostler\n\nMaildirStore near\nPath {at}/mail/\nInbox {at}/mail/inbox\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nExpunge Both\nSyncState *\n",
        desk.ostler.imap
    );
    private_file(&home.path().join("mbsyncrc"), &rc);
    std::fs::create_dir(home.path().join("mail")).unwrap();
    let sync = || run_well(&mut at_home("mbsync", &["-c", "mbsyncrc", "-a"], home.path()), "");
    sync();
    let inbox = home.path().join("mail/inbox");
    // It adds a field of its own while it works.
    let got = String::from_utf8_lossy(&with_crlf(&only_message(&inbox))).into_owned();
    let got: Vec<&str> = got.split_inclusive("\r\n").filter(|line| !line.starts_with("X-TUID: ")).collect();
    assert!(got.concat().into_bytes() == with_crlf(&desk.message), "{}", got.concat());
    // What is deleted here is deleted there.
    for part in ["new", "cur"] {
        for entry in std::fs::read_dir(inbox.join(part)).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    sync();
    assert!(desk.dovecot.mailbox(ANN).is_empty());
}

#[test]
fn fetchmail_reads_by_imap_and_deletes() {
    require!("dovecot", "fetchmail");
    let (desk, home) = (Desk::start(), folder());
    let file = home.path().join("got");
    let rc = format!(
        "poll 127.0.0.1 protocol imap port {}\n  user \"home\" password \"typed\" sslproto \"\" fetchall no keep no rewrite \
         mda \"cat >> {}\"\n",
        desk.ostler.imap,
        file.display()
    );
    private_file(&home.path().join("rc"), &rc);
    run_well(&mut at_home("fetchmail", &["-f", "rc", "--nosyslog", "--norewrite", "--invisible"], home.path()), "");
    let got = std::fs::read(&file).unwrap();
    let body = |message: &[u8]| {
        let text = String::from_utf8_lossy(&with_crlf(message)).into_owned();
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    };
    assert_eq!(body(&got).trim_end(), body(&desk.message).trim_end());
    assert!(desk.dovecot.mailbox(ANN).is_empty());
}

#[test]
fn mutt_opens_reads_and_saves_a_message() {
    require!("dovecot", "mutt");
    let (desk, home) = (Desk::start(), folder());
    let saved = home.path().join("saved");
    let rc = "set imap_user=home\nset imap_pass=typed\nset ssl_starttls=no\nset ssl_force_tls=no\nset imap_authenticators=login\n\
              set quit=yes\nset confirmcreate=no\nset confirmappend=no\nset mbox_type=mbox\nset imap_check_subscribed=no\n\
              set sleep_time=0\nset wait_key=no\n";
    std::fs::write(home.path().join("rc"), rc).unwrap();
    std::fs::create_dir(home.path().join("Mail")).unwrap();
    let folder = format!("imap://home@127.0.0.1:{}/INBOX", desk.ostler.imap);
    let push = format!("push \"<copy-message><kill-line>{}<enter><quit>\"", saved.display());
    let rc = home.path().join("rc");
    let mutt = at_home("mutt", &["-n", "-F", rc.to_str().unwrap(), "-f", &folder, "-e", &push], home.path());
    let mut terminal = Terminal::start(&mutt);
    let has_message = |got: &Vec<u8>| String::from_utf8_lossy(got).contains("Subject: hello");
    wait_for("mutt to save the message", || std::fs::read(&saved).ok().filter(has_message));
    terminal.end();
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 1, "it was copied");
}

#[test]
fn alpine_opens_a_mailbox() {
    require!("dovecot", "alpine");
    let (desk, home) = (Desk::start(), folder());
    let pinerc = home.path().join("pinerc");
    std::fs::write(&pinerc, "personal-name=Ann\nuser-domain=example.org\nlast-version-used=9.99\n").unwrap();
    let folder = format!("{{127.0.0.1:{}/imap/notls/user=home}}INBOX", desk.ostler.imap);
    let alpine = at_home("alpine", &["-p", pinerc.to_str().unwrap(), "-f", &folder], home.path());
    let mut terminal = Terminal::start(&alpine);
    terminal.wait_for("PASSWORD");
    terminal.keys("typed\r");
    terminal.wait_for("Preserve");
    terminal.keys("n");
    terminal.wait_for("opened with 1 message");
    terminal.keys("I");
    terminal.wait_for("hello");
}

#[test]
fn a_mailbox_at_courier_is_read_stored_and_expunged() {
    require!("courier", "openssl");
    let (ca, secret) = (TestCa::new(), unique("pw"));
    let courier = Courier::start(ANN, &secret, &ca.localhost());
    courier.deliver(b"Subject: one\n\nhello\n.\n");
    for security in ["none", "starttls"] {
        let account = Account::new("home", ANN, &secret).imap(Server::new(security, courier.imap));
        let ostler = Ostler::start(&ca, &[account]);
        let mut client = Client::greeted(ostler.imap, "* OK ostler");
        let told = signed_in_at_courier(&mut client);
        assert!(told.starts_with("* CAPABILITY IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD="), "{told}");
        assert!(
            !told.contains("ACL2") && !told.contains("STARTTLS") && !told.contains("ENABLE"),
            "{told}\n{}",
            courier.log()
        );
        client.say("2 SELECT INBOX");
        until(&mut client, "2 OK");
        client.ask("3 FETCH 1 BODY.PEEK[]", "* 1 FETCH (BODY[] {");
        until(&mut client, "3 OK");
        client.ask("4 IDLE", "+ ");
        client.say("DONE");
        until(&mut client, "4 OK");
        client.ask("5 APPEND INBOX {20}", "+ ");
        client.send("Subject: two\r\n\r\nbody\r\n");
        until(&mut client, "5 OK");
        client.ask("6 LOGOUT", "* BYE");
        client.expect("6 OK");
    }
    let account = Account::new("home", ANN, &secret).imap(Server::new("starttls", courier.imap));
    let ostler = Ostler::start(&ca, &[account]);
    let mut client = Client::greeted(ostler.imap, "* OK ostler");
    signed_in_at_courier(&mut client);
    client.say("2 SELECT INBOX");
    assert!(until(&mut client, "2 OK").contains("* 3 EXISTS"));
    client.say("3 STORE 1:2 +FLAGS (\\Deleted)");
    until(&mut client, "3 OK");
    client.say("4 EXPUNGE");
    until(&mut client, "4 OK");
    assert_eq!(only_message(&courier.maildir()), b"Subject: two\n\nbody\n");
}

/// What the client is told it can do. Courier has an alert for it where the system lets it watch no files.
fn signed_in_at_courier(client: &mut Client) -> String {
    client.say("1 LOGIN home typed");
    let told = until(client, "1 OK");
    let is_known = |line: &&str| !line.starts_with("* OK [ALERT] Filesystem notification initialization error");
    told.lines().filter(is_known).collect()
}

/// Everything up to the line that begins like this.
fn until(client: &mut Client, start: &str) -> String {
    let mut all = String::new();
    loop {
        let line = client.line().unwrap_or_else(|| panic!("closed before {start:?}:\n{}", client.log()));
        if line.starts_with(start) {
            return all;
        }
        all += &(line + "\n");
    }
}
