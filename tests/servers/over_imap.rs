//! POP3 clients whose mail is in an IMAP mailbox of Dovecot.

use std::io::Write as _;

use crate::ANN;
use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::{mail, require, unique, wait_for};

/// A mailbox with two messages, and an account that has nothing but IMAP.
struct Desk {
    ca: TestCa,
    dovecot: Dovecot,
    password: String,
    messages: [Vec<u8>; 2],
}

impl Desk {
    fn start() -> Self {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let dovecot = Dovecot::builder().user(ANN, &password).cert(ca.localhost()).start();
        let messages = [mail::tricky("first"), mail::tricky("second")];
        messages.iter().for_each(|message| dovecot.deliver(ANN, message));
        Self { ca, dovecot, password, messages }
    }

    fn account(&self) -> Account {
        Account::new("home", ANN, &self.password).imap(Server::new("tls", self.dovecot.imaps))
    }

    fn ostler(&self) -> Ostler {
        Ostler::start(&self.ca, &[self.account()])
    }

    /// A client of the IMAP server itself: another program of the same user.
    fn other_program(&self) -> Client {
        let mut other = Client::greeted(self.dovecot.imap, "* OK");
        other.ask(&format!("1 LOGIN {ANN} {}", self.password), "1 OK");
        done(&mut other, "2 SELECT INBOX");
        other
    }
}

/// Says a command with its tag, and waits for its answer; all the lines.
fn done(client: &mut Client, command: &str) -> Vec<String> {
    let tag = command.split(' ').next().unwrap();
    client.say(command);
    let mut lines = Vec::new();
    loop {
        lines.push(client.line().unwrap_or_else(|| panic!("closed in an answer:\n{}", client.log())));
        if lines.last().is_some_and(|line| line.starts_with(&format!("{tag} OK"))) {
            return lines;
        }
    }
}

fn signed_in(port: u16) -> Client {
    let mut pop = Client::greeted(port, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS whatever-the-old-program-has", "+OK");
    pop
}

#[test]
fn mail_comes_unchanged_over_every_kind_of_tls() {
    require!("dovecot");
    let desk = Desk::start();
    for (security, port) in [("tls", desk.dovecot.imaps), ("starttls", desk.dovecot.imap), ("none", desk.dovecot.imap)]
    {
        let account = Account::new("home", ANN, &desk.password).imap(Server::new(security, port));
        let ostler = Ostler::start(&desk.ca, &[account]);
        for name in ["home", "ann@example.org", "ann%example.org@127.0.0.1"] {
            assert_eq!(client::fetch(ostler.pop3, name, "x"), desk.messages, "{security}");
        }
        wait_for("the fetch in the log", || ostler.log().contains("2 messages fetched").then_some(()));
    }
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    require!("dovecot");
    let desk = Desk::start();
    let ostler = desk.ostler();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.send(
        "USER home\r\nPASS x\r\nSTAT\r\nLIST 1\nUIDL\r\nRETR 1\r\nRETR 2\r\nTOP 2 1\r\nNOOP\r\nRETR 9\r\nXTND XLST\r\nSTLS\r\nQUIT\r\n",
    );
    pop.expect("+OK");
    pop.expect("+OK 2 messages");
    pop.expect(&format!("+OK 2 {}", desk.messages.iter().map(Vec::len).sum::<usize>()));
    pop.expect(&format!("+OK 1 {}", desk.messages[0].len()));
    let ids = String::from_utf8(pop.expect_body()).unwrap();
    assert!(
        ids.lines().all(|line| line.split(' ').nth(1).is_some_and(|id| id.contains('.') && id.len() <= 70)),
        "{ids}"
    );
    assert_eq!(pop.expect_body(), desk.messages[0]);
    assert_eq!(pop.expect_body(), desk.messages[1]);
    let top = pop.expect_body();
    assert!(desk.messages[1].starts_with(&top) && top.ends_with(b"\r\n\r\n.\r\n"), "{}", String::from_utf8_lossy(&top));
    pop.expect("+OK");
    pop.expect("-ERR there is no message 9");
    pop.expect("-ERR");
    pop.expect("-ERR this door is plain");
    pop.expect("+OK");
    pop.expect_end();
}

#[test]
fn deletions_happen_when_the_client_said_quit_and_only_then() {
    require!("dovecot");
    let desk = Desk::start();
    let ostler = desk.ostler();
    let mut gone = signed_in(ostler.pop3);
    gone.ask("DELE 1", "+OK");
    drop(gone);
    desk.dovecot.wait_for_log(&["imap(", "Connection closed"]);
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 2);
    let mut undone = signed_in(ostler.pop3);
    undone.ask("DELE 1", "+OK");
    undone.ask("RSET", "+OK");
    undone.ask("QUIT", "+OK");
    undone.expect_end();
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 2);
    let mut done = signed_in(ostler.pop3);
    done.ask("DELE 1", "+OK");
    done.ask("QUIT", "+OK bye, 1 message deleted");
    done.expect_end();
    assert_eq!(desk.dovecot.mailbox(ANN), [desk.messages[1].clone()]);
    // Eudora for the Macintosh does not wait for the answer.
    let mut hasty = signed_in(ostler.pop3);
    hasty.ask("DELE 1", "+OK");
    hasty.say("QUIT");
    drop(hasty);
    wait_for("the last message to go", || desk.dovecot.mailbox(ANN).is_empty().then_some(()));
}

#[test]
fn what_other_programs_do_meanwhile_changes_nothing() {
    require!("dovecot");
    let desk = Desk::start();
    desk.dovecot.deliver(ANN, &mail::tricky("third"));
    let ostler = desk.ostler();
    let mut pop = signed_in(ostler.pop3);
    let mut other = desk.other_program();
    // The first goes, and a fourth comes; then the second is marked, and stays.
    done(&mut other, "3 STORE 1 +FLAGS (\\Deleted)");
    done(&mut other, "4 EXPUNGE");
    desk.dovecot.deliver(ANN, &mail::tricky("fourth"));
    done(&mut other, "5 STORE 1 +FLAGS (\\Deleted)");
    pop.ask("NOOP", "+OK");
    pop.ask("STAT", "+OK 3");
    pop.ask("RETR 1", "-ERR message 1 is no longer there");
    pop.say("RETR 3");
    assert_eq!(pop.expect_body(), mail::tricky("third"));
    pop.ask("DELE 3", "+OK");
    pop.ask("DELE 1", "+OK");
    pop.ask("QUIT", "+OK bye");
    pop.expect_end();
    let mut left = desk.dovecot.mailbox(ANN);
    left.sort();
    let mut wanted = [desk.messages[1].clone(), mail::tricky("fourth")];
    wanted.sort();
    assert_eq!(left, wanted, "what the client has not deleted is there, whoever has marked it");
}

#[test]
fn a_server_without_uidplus_deletes_only_where_no_other_message_is_marked() {
    require!("dovecot");
    let desk = Desk::start();
    let dovecot = Dovecot::builder()
        .user(ANN, &desk.password)
        .cert(desk.ca.localhost())
        .line("imap_capability = IMAP4rev1 NAMESPACE CHILDREN")
        .start();
    desk.messages.iter().for_each(|message| dovecot.deliver(ANN, message));
    let desk = Desk { dovecot, ..desk };
    let ostler = desk.ostler();
    let mut other = desk.other_program();
    done(&mut other, "3 STORE 2 +FLAGS (\\Deleted)");
    let mut pop = signed_in(ostler.pop3);
    pop.ask("DELE 1", "+OK");
    let said = pop.ask("QUIT", "-ERR [SYS/TEMP] what your mail program deleted is still in the folder");
    assert!(said.contains("other messages there are marked as deleted") && said.len() <= 510, "{said}");
    pop.expect_end();
    assert_eq!(desk.dovecot.mailbox(ANN).len(), 2);
    wait_for("the log to say so", || ostler.log().contains("is still in the folder").then_some(()));
    done(&mut other, "4 STORE 2 -FLAGS (\\Deleted)");
    let mut pop = signed_in(ostler.pop3);
    pop.ask("DELE 1", "+OK");
    pop.ask("QUIT", "+OK bye, 1 message deleted");
    pop.expect_end();
    assert_eq!(desk.dovecot.mailbox(ANN), [desk.messages[1].clone()]);
}

#[test]
fn another_folder_is_read_by_its_name_and_marked_as_read_if_wanted() {
    require!("dovecot");
    let desk = Desk::start();
    let mut other = desk.other_program();
    done(&mut other, "3 CREATE \"Entw&APw-rfe\"");
    done(&mut other, "4 COPY 2 \"Entw&APw-rfe\"");
    let home = Home::new(&desk.ca, &[desk.account()]);
    let text = home.settings() + "\n[account.pop3]\nvia = \"imap\"\nfolder = \"Entw\u{fc}rfe\"\nmark_read = true\n";
    home.write_settings(&text);
    let ostler = home.run();
    let seen =
        |other: &mut Client| done(other, "5 SELECT \"Entw&APw-rfe\"").iter().all(|line| !line.contains("[UNSEEN"));
    assert!(!seen(&mut other));
    let mut pop = signed_in(ostler.pop3);
    pop.say("TOP 1 1");
    pop.expect_body();
    assert!(!seen(&mut other), "TOP is no reading");
    pop.say("RETR 1");
    assert_eq!(pop.expect_body(), desk.messages[1]);
    pop.ask("QUIT", "+OK");
    pop.expect_end();
    assert!(seen(&mut other));
}

#[test]
fn trouble_is_told_in_the_words_of_pop3() {
    require!("dovecot");
    let desk = Desk::start();
    let refused = Account::new("home", ANN, &unique("wrong")).imap(Server::new("tls", desk.dovecot.imaps));
    let ostler = Ostler::start(&desk.ca, &[refused]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let said = pop.ask("PASS x", "-ERR [AUTH]");
    assert!(said.contains("localhost") && said.is_ascii() && said.len() <= 510, "{said}");
    let home = Home::new(&desk.ca, &[desk.account()]);
    home.write_settings(&(home.settings() + "\n[account.pop3]\nfolder = \"Nowhere\"\n"));
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let said = pop.ask("PASS x", "-ERR [SYS/TEMP] localhost does not open the folder \"Nowhere\"");
    assert!(said.contains("check folder in the settings") && !said.to_lowercase().contains("password"), "{said}");
}

#[test]
fn a_large_message_passes_and_its_top_comes_alone() {
    require!("dovecot");
    let desk = Desk::start();
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for n in 0..400_000 {
        write!(message, ".line {n} of a message that is larger than any buffer\r\n").unwrap();
    }
    desk.dovecot.empty(ANN);
    desk.dovecot.deliver(ANN, &message);
    let ostler = desk.ostler();
    let mut pop = signed_in(ostler.pop3);
    pop.say("TOP 1 2");
    assert_eq!(
        pop.expect_body(),
        &message[..message.windows(2).enumerate().filter(|(_, w)| w == b"\r\n").nth(3).unwrap().0 + 2]
    );
    pop.say("RETR 1");
    assert!(pop.expect_body() == message);
    pop.say("TOP 1 99999999");
    assert!(pop.expect_body() == message);
    pop.ask("QUIT", "+OK");
}
