//! The dialogues of old mail programs, line by line as they sent them, through ostler to Dovecot and Postfix. `readers/` has
//! those by IMAP. Each
//! message sent is compared with what arrived, each message fetched with what lay in the mailbox.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use support::ca::TestCa;
use support::dialogue::Dialogue;
use support::dovecot::Dovecot;
use support::ostler::{Account, Ostler, Server};
use support::postfix::Postfix;
use support::reader::Reader;
use support::{mail, require, unique, wait_for};

const ANN: &str = "ann@example.org";

macro_rules! clients {
    ($($name:ident: $file:literal,)+) => {
        $(
            #[test]
            fn $name() {
                require!("dovecot", "postfix");
                play(include_str!(concat!("transcripts/clients/", $file, ".txt")));
            }
        )+

        #[test]
        fn the_servers_themselves_understand_every_transcript() {
            require!("dovecot", "postfix");
            for text in [$(include_str!(concat!("transcripts/clients/", $file, ".txt"))),+] {
                play_without_ostler(text);
            }
        }

        #[test]
        fn every_transcript_is_played() {
            let played = [$($file),+];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/clients");
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(played.contains(&name), "{name} is not played");
            }
            // And each can be read, on machines with no servers too.
            for text in [$(include_str!(concat!("transcripts/clients/", $file, ".txt"))),+] {
                assert!(!Dialogue::all(text).is_empty());
            }
        }
    };
}

clients! {
    eudora_4_for_windows_is_understood: "eudora-win-4",
    eudora_7_for_windows_is_understood: "eudora-win-7",
    eudora_for_the_macintosh_is_understood: "eudora-mac",
    netscape_4_is_understood: "netscape-4",
    netscape_7_is_understood: "netscape-7",
    outlook_express_4_is_understood: "outlook-express-4",
    outlook_express_6_is_understood: "outlook-express-6",
    outlook_2007_is_understood: "outlook-2007",
    apple_mail_is_understood: "apple-mail",
    entourage_is_understood: "entourage",
    sylpheed_is_understood: "sylpheed",
    bad_days_are_understood: "oddities",
}

macro_rules! readers {
    ($($name:ident: $file:literal,)+) => {
        $(
            #[test]
            fn $name() {
                require!("dovecot");
                read(include_str!(concat!("transcripts/readers/", $file, ".txt")));
            }
        )+

        #[test]
        fn the_server_itself_understands_every_reader() {
            require!("dovecot");
            for text in [$(include_str!(concat!("transcripts/readers/", $file, ".txt"))),+] {
                let dovecot = Dovecot::builder()
                    .user(ANN, "old")
                    .mechanisms("login plain")
                    .line("auth_username_format = ann@example.org")
                    .start();
                // The password with a backslash in it is another one.
                read_at(&text.replace("ol\\d", "old"), dovecot.imap, &dovecot);
            }
        }

        #[test]
        fn every_reader_is_played() {
            let played = [$($file),+];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/readers");
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(played.contains(&name), "{name} is not played");
            }
            for text in [$(include_str!(concat!("transcripts/readers/", $file, ".txt"))),+] {
                assert!(!Reader::all(text).is_empty());
            }
        }
    };
}

readers! {
    eudora_for_windows_reads: "eudora-win",
    outlook_express_reads: "outlook-express",
    outlook_2003_reads: "outlook-2003",
    netscape_4_reads: "netscape-4",
    netscape_7_reads: "netscape-7",
    mac_os_x_mail_reads: "mac-os-x-mail",
    entourage_reads: "entourage",
    mulberry_reads: "mulberry",
}

fn read(text: &str) {
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
    let account = Account::new("home", ANN, &password).imap(Server::new("tls", dovecot.imaps));
    let ostler = Ostler::start(&ca, &[account]);
    read_at(text, ostler.imap, &dovecot);
}

/// Plays each dialogue at two messages; what was read of them is compared.
fn read_at(text: &str, port: u16, dovecot: &Dovecot) {
    for dialogue in Reader::all(text) {
        dovecot.empty(ANN);
        let messages = ["one", "two"].map(mail::tricky);
        messages.iter().for_each(|message| dovecot.deliver(ANN, message));
        for (number, message) in dialogue.play(port) {
            assert!(message == messages[number - 1], "{}: message {number} came changed", dialogue.name);
        }
    }
}

fn play(text: &str) {
    let (ca, password) = (TestCa::new(), unique("pw"));
    let cert = ca.localhost();
    let dovecot = Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
    let account = Account::new("home", ANN, &password)
        .pop3(Server::new("tls", dovecot.pop3s))
        .smtp(Server::new("starttls", postfix.submission));
    let ostler = Ostler::start(&ca, &[account]);
    play_at(text, ostler.pop3, ostler.smtp, &dovecot, &postfix);
    // The same mailbox at a provider without POP3.
    let account = Account::new("home", ANN, &password).imap(Server::new("tls", dovecot.imaps));
    let ostler = Ostler::start(&ca, &[account]);
    Dialogue::all(text).iter().filter(|dialogue| !dialogue.smtp).for_each(|d| play_fetch(d, ostler.pop3, &dovecot));
}

/// The transcripts are right: servers of the time and of today take them, where the client has a password they know.
fn play_without_ostler(text: &str) {
    let dovecot = Dovecot::builder()
        .user(ANN, "old")
        .mechanisms("login plain")
        .line("auth_username_format = ann@example.org")
        .start();
    let postfix = Postfix::builder()
        .sasl(&dovecot)
        .line("broken_sasl_auth_clients = yes")
        .plain_option("smtpd_sasl_auth_enable = yes")
        .start();
    play_at(text, dovecot.pop3, postfix.plain, &dovecot, &postfix);
}

fn play_at(text: &str, pop3: u16, smtp: u16, dovecot: &Dovecot, postfix: &Postfix) {
    let mut expected: BTreeMap<(String, String, Vec<u8>), usize> = BTreeMap::new();
    for dialogue in Dialogue::all(text) {
        let name = dialogue.name.as_str();
        if dialogue.smtp {
            let outcome = dialogue.play(smtp);
            assert!(!outcome.sent.is_empty(), "{name}: nothing was sent");
            for sent in outcome.sent {
                for to in sent.to {
                    let arrived = (sent.from.clone(), to, mail::stored(&sent.content));
                    *expected.entry(arrived).or_default() += 1;
                }
            }
            let mut arrived: BTreeMap<_, usize> = BTreeMap::new();
            for one in postfix.deliveries() {
                *arrived.entry((one.from, one.to, one.content)).or_default() += 1;
            }
            assert!(arrived == expected, "{name}: {} instead of {}", shown(&arrived), shown(&expected));
        } else {
            play_fetch(&dialogue, pop3, dovecot);
        }
    }
}

/// Plays a fetch from a mailbox with two messages, and compares what came and what is left.
fn play_fetch(dialogue: &Dialogue, pop3: u16, dovecot: &Dovecot) {
    let name = dialogue.name.as_str();
    let mut left: Vec<_> = ["one", "two"].map(mail::tricky).to_vec();
    dovecot.empty(ANN);
    left.iter().for_each(|message| dovecot.deliver(ANN, message));
    let outcome = dialogue.play(pop3);
    for (number, message) in &outcome.retrieved {
        assert!(*message == left[number - 1], "{name}: message {number} came changed");
    }
    for number in &outcome.deleted {
        left[number - 1].clear();
    }
    left.retain(|message| !message.is_empty());
    left.sort();
    // A client that does not wait for the answer to QUIT is gone before the deletions are done.
    wait_for(&format!("{name}: the mailbox as it should be"), || {
        let mut there = dovecot.mailbox(ANN);
        there.sort();
        (there == left).then_some(())
    });
}

fn shown(mail: &BTreeMap<(String, String, Vec<u8>), usize>) -> String {
    let one = |((from, to, content), count): (&(String, String, Vec<u8>), &usize)| {
        format!("{count} x {from} to {to}: {:?}\n", String::from_utf8_lossy(content))
    };
    mail.iter().map(one).collect()
}
