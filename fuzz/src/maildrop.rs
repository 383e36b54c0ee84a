//! A POP3 session whose mail is in an IMAP mailbox: the folder is opened, then both sides' octets pass.

use std::collections::BTreeSet;

use ostler_mail::account::{Folder, Protocol, Security, SignIn};
use ostler_mail::imap::login::ImapLogin;
use ostler_mail::machine::{Login as _, Step};
use ostler_mail::maildrop::filter::MaildropFilter;
use ostler_mail::maildrop::login::{MaildropLogin, Opened, Ready};

use super::filter::{Passing, Schedule, assert_answers, commands, deliver, in_single_octets, joined, schedule};
use super::{lines, parts};

/// What an earlier session may have left marked.
const LEFT_MARKS: [u32; 3] = [1, 10, 11];

/// A choice, a schedule, what the client says, how the server opens the folder, and what it says then. The cuts do not matter;
/// the client gets whole answers to what it asked, in order; the server hears only commands that this takes, and nothing that
/// marks or removes a message that the client has not deleted, or before QUIT; marks are taken off only of what was left marked.
pub fn pop3_from_imap(data: &[u8]) {
    let [choice, order, client, folder, server] = parts(data);
    let has = |bit: u8| choice.first().is_some_and(|octet| octet & bit == bit);
    let (mark_read, left_marks) = (has(1), if has(2) { LEFT_MARKS.to_vec() } else { Vec::new() });
    let order = schedule(order);
    let play = |order: &Schedule| {
        let mut opened = open(folder, mark_read)?;
        opened.left_marks.clone_from(&left_marks);
        let mut passing = Passing::new(MaildropFilter::new(opened, Default::default()));
        deliver(order, client, server, |party, now| passing.deliver(party, now));
        Some(passing)
    };
    let Some(whole) = play(&order) else { return };
    let said = commands(client);
    assert_answers(&said, &whole.to_client);
    assert_commands(&said, &whole.to_server, folder, mark_read);
    for order in [in_single_octets(&order, client.len(), server.len()), joined(&order)] {
        let Some(other) = play(&order) else { panic!("the folder opens once only") };
        assert_eq!(String::from_utf8_lossy(&other.to_client), String::from_utf8_lossy(&whole.to_client));
        assert_eq!(String::from_utf8_lossy(&other.to_server), String::from_utf8_lossy(&whole.to_server));
        assert_eq!(other.ended.is_some(), whole.ended.is_some(), "{:?} {:?}", other.ended, whole.ended);
    }
}

/// Opens a folder by what the server says; `None` if that is trouble, or not enough.
fn open(folder: &[u8], mark_read: bool) -> Option<Opened> {
    let mut server = super::logins::server(Protocol::Imap, Security::Tls);
    server.sign_in = SignIn::None;
    let folder_of = Folder { mark_read, ..Folder::default() };
    let mut login = MaildropLogin::at_imap(ImapLogin::new(&server), folder_of);
    for line in lines(folder) {
        match login.on_line(&line) {
            Ok(Step::Done(Ready::Imap(opened, _))) => return Some(*opened),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}

fn assert_commands(said: &[Vec<u8>], to_server: &[u8], folder: &[u8], mark_read: bool) {
    let text = String::from_utf8_lossy(to_server);
    let has_said =
        |verb: &str| said.iter().any(|line| line.trim_ascii().to_ascii_uppercase().starts_with(verb.as_bytes()));
    let folder = String::from_utf8_lossy(folder);
    let known: BTreeSet<u32> = folder.split(|c: char| !c.is_ascii_digit()).filter_map(|uid| uid.parse().ok()).collect();
    for (at, line) in text.split_terminator("\r\n").enumerate() {
        let command = line.strip_prefix(&format!("p{} ", at + 1)).unwrap_or_else(|| panic!("{line:?}"));
        let words: Vec<&str> = command.split(' ').collect();
        let is_known = |set: &str| set.split([',', ':']).all(|uid| uid.parse().is_ok_and(|uid| known.contains(&uid)));
        let removes = match words[..] {
            ["NOOP" | "LOGOUT"] => false,
            ["UID", "FETCH", uid, "(UID", what] => {
                assert!(is_known(uid) && what.starts_with("BODY.PEEK[]"), "{line:?}");
                false
            }
            ["UID", "STORE", uid, "+FLAGS.SILENT", "(\\Seen)"] => {
                assert!(is_known(uid) && mark_read && has_said("RETR"), "{line:?}");
                false
            }
            ["SELECT", "\"INBOX\""] | ["UID", "SEARCH", "DELETED"] | ["EXPUNGE"] => true,
            ["UID", "STORE", set, "-FLAGS.SILENT", "(\\Deleted)"] => {
                let was_left = |uid: &str| uid.parse().is_ok_and(|uid| LEFT_MARKS.contains(&uid));
                assert!(set.split([',', ':']).all(was_left), "{line:?}");
                true
            }
            ["UID", "STORE", set, "+FLAGS.SILENT", "(\\Deleted)"] | ["UID", "EXPUNGE", set] => {
                assert!(is_known(set), "{line:?} with {known:?}");
                true
            }
            _ => panic!("{line:?}"),
        };
        assert!(!removes || (has_said("DELE") && has_said("QUIT")), "{line:?}");
    }
}
