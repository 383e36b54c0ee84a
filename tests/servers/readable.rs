//! Mail that is made readable on its way in, and mended on its way out, between real clients and real servers.

use std::path::Path;

use crate::support::client::{self, Client};
use crate::support::ostler::{Home, Ostler};
use crate::support::process::{command, run};
use crate::support::{mail, private_file, require, wait_for};
use crate::{ANN, BOB, Site};

/// The messages of `tests/readable` for windows-1252 that a server keeps as they are, each with what becomes of it.
fn corpus() -> Vec<(Vec<u8>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readable/messages");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_message = |file: &&std::path::PathBuf| {
        file.extension().is_some_and(|extension| extension == "eml") && !file.display().to_string().contains('@')
    };
    let messages = files.iter().filter(is_message).map(|file| {
        let octets = std::fs::read(file).unwrap();
        let expected = std::fs::read(file.with_extension("expected")).unwrap_or_else(|_| octets.clone());
        (octets, expected)
    });
    // Dovecot keeps line ends as LF, and has no NUL and no empty message.
    let kept = |octets: &[u8]| {
        let lines = octets.split(|octet| *octet == b'\n').collect::<Vec<_>>();
        let (last, lines) = lines.split_last().unwrap();
        last.is_empty()
            && lines.iter().all(|line| line.ends_with(b"\r") && !line[..line.len() - 1].contains(&b'\r'))
            && !octets.contains(&0)
            && octets.windows(4).any(|end| end == b"\r\n\r\n")
    };
    messages.filter(|(octets, _)| kept(octets)).collect()
}

fn reading(site: &Site, readable: &str) -> Ostler {
    Ostler::start(&site.ca, &[site.account().line(&format!("readable = \"{readable}\""))])
}

#[test]
fn mail_is_made_readable_for_the_program_that_fetches_it() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let corpus = corpus();
    assert!(corpus.len() > 150, "{}", corpus.len());
    corpus.iter().for_each(|(message, _)| site.dovecot.deliver(ANN, message));
    let ostler = reading(&site, "windows-1252");
    let fetched = client::fetch(ostler.pop3, ANN, "x");
    assert_eq!(fetched.len(), corpus.len());
    for (fetched, (message, expected)) in fetched.iter().zip(&corpus) {
        let shown = || String::from_utf8_lossy(message).into_owned();
        assert!(fetched == expected, "{}\nbecame\n{}", shown(), String::from_utf8_lossy(fetched));
    }
    let changed = corpus.iter().filter(|(message, expected)| message != expected).count();
    let words = format!("{} messages fetched, {changed} made readable: ", corpus.len());
    wait_for("the log line", || ostler.log().contains(&words).then_some(()));
    // What the provider has is what it had.
    let direct = Ostler::start(&site.ca, &[site.account()]);
    assert_eq!(
        client::fetch(direct.pop3, ANN, "x"),
        corpus.into_iter().map(|(message, _)| message).collect::<Vec<_>>()
    );
}

#[test]
fn the_beginning_of_a_message_is_the_beginning_of_the_whole() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let message = "From: ann@example.org\r\nSubject: =?utf-8?Q?don=E2=80=99t_=E2=86=92?=\r\nDKIM-Signature: v=1\r\n\
                   Content-Type: text/plain; charset=utf-8\r\n\r\n.one \u{2192}\r\ntwo \u{e9}\r\nthree\r\n";
    site.dovecot.deliver(ANN, message.as_bytes());
    let ostler = reading(&site, "windows-1252");
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask("PASS x", "+OK");
    pop.ask("LIST 1", &format!("+OK 1 {}", message.len()));
    let mut body = |command: &str| {
        pop.say(command);
        String::from_utf8(pop.expect_body()).unwrap()
    };
    let whole = body("RETR 1");
    assert!(
        whole.contains("\r\nX-Original-DKIM-Signature: v=1\r\n")
            && whole.ends_with("\r\n\r\n.one ->\r\ntwo =E9\r\nthree\r\n"),
        "{whole}"
    );
    let header = |text: &str| {
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        header.lines().filter(|line| !line.starts_with("X-Ostler-Readable")).map(str::to_owned).collect::<Vec<_>>()
    };
    for lines in 0..3 {
        let top = body(&format!("TOP 1 {lines}"));
        assert_eq!(header(&top), header(&whole), "{lines}");
        assert_eq!(top.split_once("\r\n\r\n").unwrap().1.lines().count(), lines);
    }
    assert_eq!(body("TOP 1 3"), whole);
    assert_eq!(body("TOP 1 99999"), whole);
}

#[test]
fn programs_of_today_fetch_what_is_readable() {
    require!("dovecot", "postfix", "curl", "mpop");
    let site = Site::start();
    let (message, expected) = corpus().into_iter().find(|(message, expected)| message != expected).unwrap();
    site.dovecot.deliver(ANN, &message);
    let ostler = reading(&site, "windows-1252");
    let address = format!("pop3://127.0.0.1:{}/1", ostler.pop3);
    let output = run(&mut command("curl", ["-sS", "--user", "home:x", &address]), "");
    assert!(output.stdout == expected, "{output:?}");
    let home = tempfile::tempdir().unwrap();
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(home.path().join("in").join(part)).unwrap();
    }
    let at = home.path().display();
    let settings = format!(
        "account default\nhost 127.0.0.1\nport {}\nuser {ANN}\npassword x\nauth user\ntls off\nreceived_header off\n\
         delivery maildir {at}/in\nuidls_file {at}/uidls\n",
        ostler.pop3
    );
    private_file(&home.path().join("mpoprc"), &settings);
    let output = run(command("mpop", ["-C", &format!("{at}/mpoprc"), "-q"]).env("HOME", home.path()), "");
    assert!(output.status.success(), "{output:?}");
    let file = std::fs::read_dir(home.path().join("in/new")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read(file).unwrap() == mail::stored(&expected));
}

#[test]
fn what_mail_must_have_is_added_on_its_way_out_and_only_that() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let ostler = Home::new(&site.ca, &[site.account().line("mend = [\"message-id\", \"date\"]")]).run();
    let bare = b"X-Mailer: QUALCOMM Windows Eudora Version 7.1.0.9\r\nFrom: ann@example.org\r\n\r\n.body \xe9\r\n";
    // Twice, as after an unknown outcome.
    client::send(ostler.smtp, ANN, &[BOB], bare);
    client::send(ostler.smtp, ANN, &[BOB], bare);
    let complete = mail::tricky("complete");
    client::send(ostler.smtp, ANN, &[BOB], &complete);
    let deliveries = wait_for("three messages", || Some(site.postfix.deliveries()).filter(|all| all.len() == 3));
    let contents: Vec<_> = deliveries.iter().map(|delivery| delivery.content.clone()).collect();
    assert!(contents.contains(&mail::stored(&complete)));
    let mended: Vec<_> = contents.iter().filter(|content| content.ends_with(&mail::stored(bare))).collect();
    assert_eq!(mended.len(), 2);
    let ids: Vec<_> =
        mended.iter().map(|content| String::from_utf8_lossy(content).lines().next().unwrap().to_owned()).collect();
    assert!(
        ids[0] == ids[1] && ids[0].starts_with("Message-ID: <7.1.0.9.0.") && ids[0].ends_with("@example.org>"),
        "{ids:?}"
    );
    let log = wait_for("two log lines", || {
        let lines: Vec<_> = ostler.log().lines().filter(|line| line.contains("mended")).map(str::to_owned).collect();
        (lines.len() == 2).then_some(lines)
    });
    assert!(log[0].ends_with("account home: a message was mended: Message-ID added, date added"), "{log:?}");
}
