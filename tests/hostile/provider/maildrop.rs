//! IMAP providers whose mail is fetched by POP3.

use std::time::Duration;

use super::super::honest::{cut, fetch_answer, maildrop_part};
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::TestCa;
use crate::support::provider::{Part, Step, expect, say};
use Ends::{Cut, Told, Well};

/// Where [`maildrop_part`] says the answer to what; the greeting answers nothing.
const GREETING: usize = 0;
const LOGIN: usize = 2;
const EXAMINE: usize = 4;
const LIST: usize = 6;
const FETCH: usize = 8;
const SELECT: usize = 10;
const STORE: usize = 12;
const EXPUNGE: usize = 14;

const TROUBLE: &[&str] = &["-ERR [SYS/TEMP] "];
const REFUSED: &[&str] = &["-ERR [AUTH] "];
/// What a provider may never hear from a client that has not said QUIT.
const CHANGES: &[&str] = &["STORE", "EXPUNGE", "SELECT"];

/// Honest up to here; then this, and silence.
fn at(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = cut(maildrop_part(), place, said);
    part.push(Step::Stall);
    case(&format!("imap-{name}"), part, ends)
}

/// As [`at`], with a line.
fn line(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    at(name, place, say(said), ends)
}

/// Honest up to here; then the end.
fn drops(name: &str, place: usize, how: Step, ends: Ends) -> Case {
    case(&format!("imap-{name}"), cut(maildrop_part(), place, how), ends)
}

/// Honest but for one thing it says.
fn with(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = maildrop_part();
    part[place] = said;
    case(&format!("imap-{name}"), part, ends)
}

fn octets(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

fn drip(text: &str) -> Step {
    Step::Drip(format!("{text}{}\r\n", "x".repeat(300)).into_bytes(), Duration::from_millis(50))
}

#[test]
fn before_the_mail() {
    let pass = |starts| Told("PASS x", starts);
    let chatter = |tag: &str| format!("{}{tag} OK done", "* 1 RECENT\r\n".repeat(5000));
    let cases = [
        at("greeting-never", GREETING, Step::Stall, pass(TROUBLE)).never(&["LOGIN"]),
        line("greeting-pop3", GREETING, "+OK ready", pass(TROUBLE)).words(&["does not speak IMAP"]).never(&["LOGIN"]),
        line("greeting-preauth", GREETING, "* PREAUTH you are in", pass(TROUBLE)).never(&["LOGIN", "EXAMINE"]),
        line("greeting-bye", GREETING, "* BYE too many", pass(TROUBLE)).words(&["too many"]).never(&["LOGIN"]),
        with("greeting-twice", GREETING, say("* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n* OK [ALERT] b"), Well)
            .whole()
            .once(),
        // Nothing was asked of it yet, so another connection serves.
        line("greeting-and-goodbye", GREETING, "* OK [CAPABILITY IMAP4rev1] a\r\n* BYE idle", Well).whole(),
        with("login-and-an-alert", LOGIN, say("o1 OK [CAPABILITY IMAP4rev1 UIDPLUS] in\r\n* OK [ALERT] b"), Well)
            .whole()
            .once(),
        line("login-and-goodbye", LOGIN, "o1 OK [CAPABILITY IMAP4rev1] in\r\n* BYE too many", pass(TROUBLE))
            .words(&["too many"])
            .whole()
            .never(&["EXAMINE"]),
        line("login-refused", LOGIN, "o1 NO [AUTHENTICATIONFAILED] wrong", pass(REFUSED))
            .words(&["wrong", "in the file that the settings name"])
            .never(&["EXAMINE"]),
        drops("login-drop", LOGIN, Step::Close, pass(TROUBLE)).never(&["EXAMINE"]),
        line("login-and-more", LOGIN, "o1 OK [CAPABILITY IMAP4rev1] in\r\nf1 OK done\r\nf2 OK done", pass(TROUBLE)),
        line("folder-refused", EXAMINE, "f1 NO [NONEXISTENT] no such folder", pass(TROUBLE))
            .words(&["does not open the folder", "no such folder", "check folder in the settings"])
            .never(CHANGES),
        at("folder-never", EXAMINE, Step::Stall, pass(TROUBLE)).words(&["did not answer in time"]),
        drops("folder-reset", EXAMINE, Step::Reset, pass(TROUBLE)),
        line("folder-bye", EXAMINE, "* BYE shutting down", pass(TROUBLE)).words(&["shutting down"]),
        line("folder-without-uidvalidity", EXAMINE, "* 1 EXISTS\r\nf1 OK done", pass(TROUBLE))
            .words(&["UIDVALIDITY"])
            .never(&["FETCH"]),
        line(
            "folder-of-four-billion",
            EXAMINE,
            "* OK [UIDVALIDITY 7] ok\r\n* 4294967295 EXISTS\r\nf1 OK done",
            pass(TROUBLE),
        )
        .words(&["4294967295 messages"])
        .never(&["FETCH"]),
        line("folder-chatter", EXAMINE, &chatter("f1"), pass(TROUBLE)),
        at("list-never", LIST, Step::Stall, pass(TROUBLE)).words(&["did not answer in time"]),
        drops("list-drop", LIST, octets("* 1 FETCH (UID 10 RFC82"), pass(TROUBLE)),
        line("list-refused", LIST, "f2 NO not now", pass(TROUBLE)).words(&["not now"]),
        line("list-chatter", LIST, &chatter("f2"), pass(TROUBLE)),
        line("list-with-a-literal", LIST, "* 1 FETCH (BODY[] {30}\r\nf2 OK done", pass(TROUBLE)),
        line("list-endless", LIST, &"* 1 FETCH (UID 10 RFC822.SIZE 30)\r\n".repeat(6000), pass(TROUBLE)),
        at("list-line-128k", LIST, octets(&format!("* 1 FETCH ({}", "x".repeat(131_072))), pass(TROUBLE))
            .words(&["a line longer than"]),
        at("list-drip-forever", LIST, drip("* 1 FETCH (UID 10 "), pass(TROUBLE)),
        line("folder-not-connected", EXAMINE, "f1 BAD User is authenticated but not connected.", pass(TROUBLE))
            .words(&["cannot sign you in just now"])
            .never(CHANGES),
        line("folder-name-without-end", EXAMINE, "* LIST () \"/\" {999999999}\r\nf1 OK done", pass(TROUBLE)),
        with(
            "folder-among-names-as-literals",
            EXAMINE,
            say("* LIST () \"/\" {8}\r\nf1 OK xx\r\n* LSUB () {1}\r\n/ {7}\r\nf1 NO b\r\n* 1 EXISTS\r\n\
                 * OK [UIDVALIDITY 7] ok\r\nf1 OK done"),
            Well,
        ),
        with(
            "list-among-names-as-literals",
            LIST,
            say("* LIST () \"/\" {8}\r\nf2 OK xx\r\n* 1 FETCH (UID 10 RFC822.SIZE 30)\r\nf2 OK done"),
            Well,
        ),
    ];
    play(Speaks::Pop3OverImap, &TestCa::new(), &cases);
}

#[test]
fn in_a_message() {
    let retr = |starts| Told("RETR 1", starts);
    let gone = || retr(&["-ERR message 1 is no longer there"]);
    let whole = String::from_utf8(fetch_answer("UID 10 ", "")).unwrap();
    let broken = |name: &str, text: &str, how: Step| {
        let mut part = cut(maildrop_part(), FETCH, octets(text));
        part.push(how);
        case(&format!("imap-{name}"), part, Cut).never(CHANGES)
    };
    let other = String::from_utf8(fetch_answer("", " UID 11")).unwrap();
    let none = String::from_utf8(fetch_answer("", "")).unwrap();
    let cases = [
        at("fetch-never", FETCH, Step::Stall, retr(TROUBLE)).words(&["did not answer in time"]).never(CHANGES),
        drops("fetch-drop", FETCH, Step::Close, retr(TROUBLE)).never(CHANGES),
        line(
            "fetch-refused",
            FETCH,
            "p1 NO [EXPUNGEISSUED] it is gone",
            retr(&["-ERR localhost does not give message 1: it is gone"]),
        ),
        line("fetch-bad", FETCH, "p1 BAD what", retr(&["-ERR localhost does not give message 1: what"])),
        line("fetch-nothing", FETCH, "p1 OK done", gone()).never(CHANGES),
        line(
            "fetch-nil",
            FETCH,
            "* 1 FETCH (UID 10 BODY[] NIL)\r\np1 OK done",
            retr(&["-ERR localhost says that there is nothing"]),
        ),
        line("fetch-of-another", FETCH, "* 1 FETCH (UID 11 BODY[] {5}\r\nwrong)\r\np1 OK done", gone()).never(CHANGES),
        line("fetch-of-a-part", FETCH, "* 1 FETCH (UID 10 BODY[HEADER] {5}\r\nwrong)\r\np1 OK done", gone()),
        line("fetch-size-without-end", FETCH, "* 1 FETCH (UID 10 BODY[] {99999999999999999999}\r\np1 OK done", gone()),
        line("fetch-negative-size", FETCH, "* 1 FETCH (UID 10 BODY[] {-1}\r\np1 OK done", gone()),
        at("fetch-line-128k", FETCH, octets(&format!("* 1 FETCH ({}", "x".repeat(131_072))), retr(TROUBLE))
            .words(&["a line of more than"]),
        line(
            "fetch-from-another-folder",
            FETCH,
            "* OK [UIDVALIDITY 8] new\r\n* 1 FETCH (UID 10 BODY[] {5}\r\nwrong)\r\np1 OK done",
            retr(TROUBLE),
        )
        .words(&["another folder"])
        .never(CHANGES),
        at("fetch-drip-forever", FETCH, drip("* 1 FETCH (UID 10 "), retr(TROUBLE)),
        case("imap-fetch-bye", cut(maildrop_part(), FETCH, say("* BYE [UNAVAILABLE] back at noon")), retr(TROUBLE))
            .words(&["back at noon"])
            .never(CHANGES),
        broken("fetch-told-of-another-behind", &other, Step::Stall),
        broken("fetch-tells-not-of-which", &none, Step::Stall),
        broken("fetch-drop-in-the-literal", &whole[..50], Step::Close),
        broken("fetch-drop-before-the-answer", whole.trim_end_matches("p1 OK done\r\n"), Step::Close),
        broken("fetch-stall-before-the-answer", whole.trim_end_matches("p1 OK done\r\n"), Step::Stall),
        broken("fetch-refused-behind-the-message", &whole.replace("p1 OK", "p1 NO"), Step::Stall),
        broken("fetch-shorter-than-said", &whole.replace("{30}", "{310}"), Step::Stall),
        broken("fetch-longer-than-said", &whole.replace("{30}", "{20}"), Step::Stall),
        broken("fetch-of-a-million-terabytes", &whole.replace("{30}", "{999999999999999999}"), Step::Stall),
        {
            let mut part: Part = cut(maildrop_part(), FETCH, octets(&whole[..40]));
            part.extend([Step::Drip(vec![b'x'; 200], Duration::from_millis(50)), Step::Stall]);
            case("imap-fetch-drips-forever", part, Cut).never(CHANGES)
        },
        with("fetch-uid-behind", FETCH, Step::Send(fetch_answer("", " FLAGS (\\Seen) UID 10")), Well),
        with("fetch-twice", FETCH, octets(&format!("{}{whole}", whole.trim_end_matches("p1 OK done\r\n"))), Well),
        with("fetch-in-quotes", FETCH, say("* 1 FETCH (BODY[] \"Subject: x\" UID 10)\r\np1 OK done"), Well),
        with("fetch-empty", FETCH, say("* 1 FETCH (UID 10 BODY[] {0}\r\n)\r\np1 OK done"), Well),
        with(
            "fetch-among-news",
            FETCH,
            octets(&format!(
                "* 9 EXISTS\r\n* 1 EXPUNGE\r\njunk\r\n* OK see {{9}}\r\n* LIST () \"/\" {{2}}\r\n)\r\r\n{whole}"
            )),
            Well,
        ),
        with("fetch-bare-line-feeds", FETCH, say("* 1 FETCH (UID 10 BODY[] {8}\r\na\n.\r\nb\n.)\r\np1 OK done"), Well),
    ];
    play(Speaks::Pop3OverImap, &TestCa::new(), &cases);
}

/// An honest provider without UIDPLUS, up to the answer to its search.
fn without_uidplus(search: &str) -> Part {
    let mut part = maildrop_part();
    part[GREETING] = say("* OK [CAPABILITY IMAP4rev1] ready");
    part[LOGIN] = say("o1 OK [CAPABILITY IMAP4rev1] in");
    part.truncate(EXPUNGE - 1);
    part.extend([expect("p4 UID SEARCH DELETED"), say(search)]);
    part
}

#[test]
fn at_quit() {
    let quit = |starts| Told("QUIT", starts);
    let not_removed = || quit(&["-ERR [SYS/TEMP] what your mail program deleted is still in the folder"]);
    let kept = |name: &str, search: &str| {
        let mut part = without_uidplus(search);
        part.push(Step::Stall);
        case(&format!("imap-{name}"), part, not_removed()).never(&["EXPUNGE"])
    };
    let unmarked: &[&str] = &["STORE", "EXPUNGE"];
    let cases = [
        line("select-refused", SELECT, "p2 NO not to write", not_removed()).words(&["not to write"]).never(unmarked),
        line("select-other-folder", SELECT, "* OK [UIDVALIDITY 8] new\r\np2 OK done", not_removed())
            .words(&["another folder in its place"])
            .never(unmarked),
        line("select-read-only", SELECT, "* OK [UIDVALIDITY 7] ok\r\np2 OK [READ-ONLY] done", not_removed())
            .words(&["no one delete"])
            .never(unmarked),
        line("select-silent-about-the-folder", SELECT, "p2 OK done", not_removed()).never(unmarked),
        at("select-never", SELECT, Step::Stall, quit(TROUBLE)).words(&["did not answer in time"]).never(unmarked),
        drops("select-drop", SELECT, Step::Close, quit(TROUBLE))
            .words(&["its word that the messages are deleted"])
            .never(unmarked),
        line("store-refused", STORE, "p3 NO [LIMIT] not so many", not_removed())
            .words(&["not so many"])
            .never(&["EXPUNGE"]),
        at("store-never", STORE, Step::Stall, quit(TROUBLE))
            .words(&["its word that the messages are deleted"])
            .never(&["EXPUNGE"]),
        drops("store-drop", STORE, Step::Close, quit(TROUBLE)).never(&["EXPUNGE"]),
        drops("store-bye", STORE, say("* BYE out"), quit(TROUBLE)).never(&["EXPUNGE"]),
        line("store-other-tag", STORE, "p4 OK done", quit(TROUBLE)).never(&["EXPUNGE"]),
        line("store-in-another-folder", STORE, "* OK [UIDVALIDITY 8] new\r\np3 OK done", not_removed())
            .words(&["another folder in its place"])
            .never(&["EXPUNGE"]),
        line("expunge-refused", EXPUNGE, "p4 NO [CANNOT] no", not_removed()).words(&["it says: no"]),
        at("expunge-never", EXPUNGE, Step::Stall, quit(TROUBLE)),
        drops("expunge-drop", EXPUNGE, say("* 1 EXPUNGE"), quit(TROUBLE)),
        drops("expunge-reset", EXPUNGE, Step::Reset, quit(TROUBLE)),
        line("expunge-junk", EXPUNGE, "+OK done", quit(TROUBLE)),
        line("expunge-then-silence", EXPUNGE, "p4 OK done", Well),
        kept("search-others-too", "* SEARCH 9 10\r\np4 OK done").words(&["other messages there are marked"]),
        kept("search-huge-numbers", "* SEARCH 10 99999999999999999999\r\np4 OK done"),
        kept("search-news-behind", "* SEARCH 10\r\n* 2 FETCH (FLAGS (\\Deleted))\r\np4 OK done"),
        kept("search-without-answer", "p4 OK done"),
        kept("search-refused", "p4 NO no"),
        {
            let mut part = without_uidplus("* SEARCH 10\r\np4 OK done");
            part.extend([
                expect("p5 EXPUNGE"),
                say("* 1 EXPUNGE\r\np5 OK done"),
                expect("p6 LOGOUT"),
                say("p6 OK done"),
            ]);
            case("imap-search-own-only", part, Well)
        },
        {
            let mut part = without_uidplus("* SEARCH 10\r\np4 OK done");
            part.extend([expect("p5 EXPUNGE"), Step::Close]);
            case("imap-search-then-drop", part, quit(TROUBLE))
        },
    ];
    play(Speaks::Pop3OverImap, &TestCa::new(), &cases);
}
