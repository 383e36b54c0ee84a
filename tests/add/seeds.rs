//! The four ways of mail that ostler was made for, set up as a newcomer does and used by old mail programs.

use std::collections::BTreeMap;

use crate::support::client::{self, Client};
use crate::support::dialogue::Dialogue;
use crate::support::dovecot::Dovecot;
use crate::support::gate::{Gate, Rules};
use crate::support::keyring::Keyring;
use crate::support::ostler::{Home, Ostler};
use crate::support::postfix::Postfix;
use crate::support::process::said;
use crate::support::terminal::Terminal;
use crate::support::world::World;
use crate::support::{mail, require, unique};

const BOB: &str = "bob@example.com";

fn newcomer(world: &World, keyring: &Keyring, secrets: &[&str]) -> Home {
    let mut home = Home::new(world.ca(), &[]).with_keyring(keyring).inside(world);
    secrets.iter().for_each(|secret| home.keep_secret(secret));
    home
}

fn add(home: &Home, words: &[&str], passwords: &[&str]) -> String {
    let words = [&["add", "--password-stdin"], words].concat();
    let input: String = passwords.iter().map(|password| format!("{password}\n")).collect();
    let added = home.ostler(&words, &input);
    assert!(added.status.success(), "{}", said(&added));
    said(&added)
}

fn start(world: &World, home: Home) -> (Ostler, u16, u16) {
    let ostler = home.run();
    let (pop3, smtp) = (world.reach(ostler.pop3), world.reach(ostler.smtp));
    (ostler, pop3, smtp)
}

/// A mailbox that can only be fetched, and mail sent through the company of another one.
#[test]
fn a_mailbox_without_sending_sends_through_another_company() {
    require!("dovecot", "postfix", "keyring", "world");
    let world = World::builder().host("mail.twc.com", "127.0.0.2").host("mail.optonline.net", "127.0.0.3").start();
    let (ann, lee) = ("alohaj001@hawaii.rr.com", "lee@optonline.net");
    let (word, other) = (unique("pw"), unique("pw"));
    let cert = world.ca().named(&["mail.twc.com"]);
    let only_pop =
        Dovecot::builder().user("alohaj001", &word).cert(cert).inside(&world, "127.0.0.2", [110, 995]).start();
    let cert = world.ca().named(&["mail.optonline.net"]);
    let company =
        Dovecot::builder().user(lee, &other).cert(cert.clone()).inside(&world, "127.0.0.3", [110, 995]).start();
    let postfix = Postfix::builder().cert(cert).sasl(&company).inside(&world, "127.0.0.3", [25, 587, 465]).start();
    let keyring = Keyring::start();
    let home = newcomer(&world, &keyring, &[&word, &other]);
    let words = [ann, "--provider", "oceanic-external-pop", "--send-through", lee];
    add(&home, &words, &[&word, &other]);
    let (_ostler, pop3, smtp) = start(&world, home);
    let message = mail::tricky("aloha");
    only_pop.deliver("alohaj001", &message);
    assert_eq!(client::fetch(pop3, ann, "whatever"), std::slice::from_ref(&message));
    client::send(smtp, ann, &[BOB], &message);
    let deliveries = postfix.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].from.as_str(), deliveries[0].content.clone()), (ann, mail::stored(&message)));
    assert!(company.logins().iter().all(|login| login.user != "alohaj001"), "each company hears its own name only");
}

/// Mail has to be fetched before it can be sent, from a client that cannot sign in for sending.
#[test]
fn a_small_host_with_a_window_of_15_minutes_takes_the_first_message_of_the_day() {
    require!("dovecot", "postfix", "keyring", "world");
    let world = World::builder().host("yourdomain.test", "127.0.0.2").start();
    let (ann, word) = ("ann@yourdomain.test", unique("pw"));
    let rules = Rules { window: std::time::Duration::from_secs(15 * 60), ..Rules::default() };
    let gate = Gate::start_with(
        rules,
        &world.ca().named(&["yourdomain.test"]),
        &[("ann", &word)],
        |dovecot| dovecot.inside(&world, "127.0.0.2", [110, 995]),
        |postfix| postfix.inside(&world, "127.0.0.2", [25, 2587, 2465]),
    );
    let keyring = Keyring::start();
    let home = newcomer(&world, &keyring, &[&word]);
    let said = add(&home, &[ann], &[&word]);
    assert!(said.contains("wants a POP login before each send. ostler will make it"), "{said}");
    let (_ostler, _, smtp) = start(&world, home);
    for time in ["first of the day", "after the window has passed"] {
        gate.forget();
        let before = gate.deliveries().len();
        // A client without AUTH, that says HELO.
        let mut client = Client::greeted(smtp, "220 ");
        client.ask_reply("HELO old-pc", "250");
        client.ask_reply(&format!("MAIL FROM:<{ann}>"), "250");
        client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        client.ask_reply("DATA", "354");
        client.say(&format!("Subject: {time}\r\n\r\n{time}\r\n."));
        client.expect("250");
        client.ask_reply("QUIT", "221");
        assert_eq!(gate.deliveries().len(), before + 1, "{time}");
    }
}

/// One host name for both, TLS, the whole address as user name: every old program through it, signing in for sending with
/// the same name and word as for fetching, or not at all.
#[test]
fn one_host_with_tls_and_the_address_as_name_serves_every_old_program() {
    require!("dovecot", "postfix", "keyring", "world");
    let world = World::builder().host("mail.optonline.net", "127.0.0.2").start();
    // The address the transcripts send from.
    let (ann, word) = ("ann@example.org", unique("pw"));
    let cert = world.ca().named(&["mail.optonline.net"]);
    let dovecot =
        Dovecot::builder().user(ann, &word).cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [25, 587, 465]).start();
    let keyring = Keyring::start();
    let home = newcomer(&world, &keyring, &[&word]);
    add(&home, &[ann, "--provider", "optonline", "--name", "home"], &[&word]);
    // What arrives is compared with what was sent.
    home.write_settings(&home.settings().replacen("[[account]]\n", "[[account]]\nmend = []\n", 1));
    let (_ostler, pop3, smtp) = start(&world, home);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/clients");
    let mut expected: BTreeMap<(String, Vec<u8>), usize> = BTreeMap::new();
    let mut programs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        programs += 1;
        for dialogue in Dialogue::all(&text) {
            if dialogue.smtp {
                for sent in dialogue.play(smtp).sent {
                    for to in sent.to {
                        *expected.entry((to, mail::stored(&sent.content))).or_default() += 1;
                    }
                }
            } else {
                let messages = ["one", "two"].map(mail::tricky);
                dovecot.empty(ann);
                messages.iter().for_each(|message| dovecot.deliver(ann, message));
                for (number, message) in dialogue.play(pop3).retrieved {
                    assert!(message == messages[number - 1], "{}: message {number} came changed", dialogue.name);
                }
            }
        }
    }
    assert!(programs >= 12, "{programs}");
    let mut arrived: BTreeMap<_, usize> = BTreeMap::new();
    for one in postfix.deliveries() {
        *arrived.entry((one.to, one.content)).or_default() += 1;
    }
    assert!(arrived == expected, "{} sent, {} arrived", expected.len(), arrived.len());
}

/// Answers what `ostler add` asks about a provider it knows; the two screens that it shows.
pub(crate) fn answer_add(terminal: &mut Terminal, password: &str) -> [String; 2] {
    let first = terminal.wait_for("\r\n> ");
    // 2: one Enter.
    terminal.line("");
    terminal.wait_for("(it does not show while you type): ");
    // 3: the password.
    terminal.password(password);
    [first, terminal.wait_for("and leave it running.")]
}

/// From nothing to the first fetched message, as `docs/manual/getting-started.md` counts it: what is typed, and what is seen.
#[test]
fn a_newcomer_types_four_things() {
    require!("dovecot", "postfix", "keyring", "world", "setsid");
    let world = World::builder().host("posteo.de", "127.0.0.2").start();
    let (ann, word) = ("ann@posteo.de", unique("pw"));
    let cert = world.ca().named(&["posteo.de"]);
    let dovecot =
        Dovecot::builder().user(ann, &word).cert(cert.clone()).inside(&world, "127.0.0.2", [110, 995]).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(&world, "127.0.0.2", [25, 587, 465]).start();
    let message = mail::tricky("first");
    dovecot.deliver(ann, &message);
    let keyring = Keyring::start();
    let home = newcomer(&world, &keyring, &[&word]);
    std::fs::remove_file(home.settings_file()).unwrap();

    // 1: the address.
    let mut terminal = Terminal::start(&home.command(&["add", ann]));
    let [first, second] = answer_add(&mut terminal, &word);
    assert!(first.contains("ann@posteo.de is with Posteo"), "{first}");
    for value in ["127.0.0.1   port 2110", "127.0.0.1   port 2025", "ann@posteo.de", "ostler guide outlook-express"] {
        assert!(second.contains(value), "{value}: {second}");
    }
    assert!(terminal.end().success());
    // 4: ostler run.
    let guide = home.ostler(&["guide", "outlook-express"], "");
    assert!(said(&guide).contains("2110"), "{}", said(&guide));
    let _ostler = home.run();
    assert_eq!(client::fetch(world.reach(2110), ann, "whatever"), [message]);
    client::send(world.reach(2025), ann, &[BOB], &mail::tricky("first sent"));
    assert_eq!(postfix.deliveries().len(), 1);
}
