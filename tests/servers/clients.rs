//! Programs people use today, through ostler: each sends and fetches, and every byte is compared.

use std::path::Path;
use std::process::Command;

use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Ostler, Server};
use crate::support::postfix::Postfix;
use crate::support::process::{command, run_well};
use crate::support::{folder, mail, private_file, require, unique};
use crate::{ANN, BOB, Site};

/// Two servers, and the ports at which a program reaches them.
struct AuthMethod {
    _ostler: Option<Ostler>,
    dovecot: Dovecot,
    postfix: Postfix,
    pop3: u16,
    smtp: u16,
}

impl AuthMethod {
    fn through_ostler() -> Self {
        let site = Site::start();
        let ostler = site.ostler();
        let (pop3, smtp) = (ostler.pop3, ostler.smtp);
        Self { _ostler: Some(ostler), dovecot: site.dovecot, postfix: site.postfix, pop3, smtp }
    }

    /// The provider has no POP3.
    fn over_imap() -> Self {
        let site = Site::start();
        let account = Account::new("home", ANN, &site.password)
            .imap(Server::new("tls", site.dovecot.imaps))
            .smtp(Server::new("starttls", site.postfix.submission));
        let ostler = Ostler::start(&site.ca, &[account]);
        let (pop3, smtp) = (ostler.pop3, ostler.smtp);
        Self { _ostler: Some(ostler), dovecot: site.dovecot, postfix: site.postfix, pop3, smtp }
    }

    /// For the programs themselves: the servers take any name, and the password `x`.
    fn direct() -> Self {
        let dovecot = Dovecot::builder()
            .user(ANN, "x")
            .mechanisms("login plain")
            .line("auth_username_format = ann@example.org")
            .start();
        let postfix = Postfix::builder().sasl(&dovecot).plain_option("smtpd_sasl_auth_enable = yes").start();
        let (pop3, smtp) = (dovecot.pop3, postfix.plain);
        Self { _ostler: None, dovecot, postfix, pop3, smtp }
    }
}

#[test]
fn the_programs_themselves_understand_the_servers() {
    require!("dovecot", "postfix", "curl", "msmtp", "mpop", "fetchmail", "swaks", "python3");
    for program in [curl, msmtp, mpop, fetchmail, swaks, python] {
        program(&AuthMethod::direct());
    }
}

#[test]
fn programs_fetch_from_a_provider_without_pop3() {
    require!("dovecot", "postfix", "curl", "mpop", "fetchmail", "python3");
    for program in [curl, mpop, fetchmail, python] {
        program(&AuthMethod::over_imap());
    }
}

/// A message any program sends as it stands: all header lines are there, all bytes are ASCII, no line is long.
fn plain(mark: &str) -> Vec<u8> {
    format!(
        "From: Ann <{ANN}>\r\nTo: Bob <{BOB}>\r\nSubject: {mark}\r\nDate: Mon, 05 Jan 2004 10:00:00 +0100\r\n\
         Message-ID: <{mark}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         Hello,\r\n.\r\n..two\r\nFrom here on.\r\ntrailing  \r\n\r\nAnn\r\n"
    )
    .into_bytes()
}

fn delivered_once(way: &AuthMethod, message: &[u8]) {
    let deliveries = way.postfix.deliveries();
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    let same = deliveries[0].content == mail::stored(message);
    assert!(same, "{}", String::from_utf8_lossy(&deliveries[0].content));
    assert_eq!((deliveries[0].from.as_str(), deliveries[0].to.as_str()), (ANN, BOB));
}

/// A home of its own for a program that keeps settings.
fn at_home(program: &str, args: &[&str], home: &Path) -> Command {
    let mut command = command(program, args);
    command.env("HOME", home).env("FETCHMAILHOME", home).current_dir(home);
    command
}

#[test]
fn curl_sends_and_fetches() {
    require!("dovecot", "postfix", "curl");
    curl(&AuthMethod::through_ostler());
}

fn curl(way: &AuthMethod) {
    let home = folder();
    let message = mail::tricky("curl");
    let file = home.path().join("message");
    std::fs::write(&file, &message).unwrap();
    let mut curl = at_home("curl", &["-sS", "--mail-from", ANN, "--mail-rcpt", BOB, "--user", "home:x"], home.path());
    run_well(curl.arg("-T").arg(&file).arg(format!("smtp://127.0.0.1:{}", way.smtp)), "");
    delivered_once(way, &message);
    way.dovecot.deliver(ANN, &message);
    let mut curl = at_home("curl", &["-sS", "--user", "home:x"], home.path());
    let fetched = run_well(curl.arg(format!("pop3://127.0.0.1:{}/1", way.pop3)), "");
    assert_eq!(fetched.stdout, message);
}

#[test]
fn msmtp_sends() {
    require!("dovecot", "postfix", "msmtp");
    msmtp(&AuthMethod::through_ostler());
}

fn msmtp(way: &AuthMethod) {
    let home = folder();
    for (number, auth) in
        ["auth off", "auth plain\nuser home\npassword x", "auth login\nuser home\npassword x"].into_iter().enumerate()
    {
        let file = home.path().join(format!("msmtprc{number}"));
        let text = format!("account default\nhost 127.0.0.1\nport {}\nfrom {ANN}\ntls off\n{auth}\n", way.smtp);
        private_file(&file, &text);
        let message = plain(&format!("msmtp{number}"));
        let mut msmtp = at_home("msmtp", &["-C", file.to_str().unwrap(), BOB], home.path());
        run_well(&mut msmtp, mail::stored(&message));
        let deliveries = way.postfix.deliveries();
        assert_eq!(deliveries.len(), number + 1);
        assert_eq!(deliveries.iter().filter(|one| one.content == mail::stored(&message)).count(), 1, "{deliveries:?}");
    }
}

#[test]
fn mpop_fetches_and_deletes() {
    require!("dovecot", "postfix", "mpop");
    mpop(&AuthMethod::through_ostler());
}

fn mpop(way: &AuthMethod) {
    let home = folder();
    let messages = [mail::tricky("mpop1"), mail::tricky("mpop2")];
    messages.iter().for_each(|message| way.dovecot.deliver(ANN, message));
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(home.path().join("in").join(part)).unwrap();
    }
    let file = home.path().join("mpoprc");
    let text = format!(
        "account default\nhost 127.0.0.1\nport {}\nuser {ANN}\npassword x\nauth user\ntls off\nkeep off\n\
         received_header off\ndelivery maildir {}/in\nuidls_file {}/uidls\n",
        way.pop3,
        home.path().display(),
        home.path().display()
    );
    private_file(&file, &text);
    run_well(&mut at_home("mpop", &["-C", file.to_str().unwrap(), "-q"], home.path()), "");
    let mut fetched: Vec<_> = std::fs::read_dir(home.path().join("in/new"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    fetched.sort();
    assert_eq!(fetched, messages.map(|message| mail::stored(&message)));
    assert!(way.dovecot.mailbox(ANN).is_empty(), "fetched mail is deleted");
}

#[test]
fn fetchmail_fetches_and_hands_to_a_file() {
    require!("dovecot", "postfix", "fetchmail");
    fetchmail(&AuthMethod::through_ostler());
}

fn fetchmail(way: &AuthMethod) {
    let home = folder();
    let message = plain("fetchmail");
    way.dovecot.deliver(ANN, &message);
    let file = home.path().join("fetchmailrc");
    let text = format!(
        "poll 127.0.0.1 protocol pop3 port {} auth password username \"{ANN}\" password \"x\"\n\
         sslproto '' no rewrite pass8bits fetchall mda \"cat > {}/fetched\"\n",
        way.pop3,
        home.path().display()
    );
    private_file(&file, &text);
    let args = ["--invisible", "--nosyslog", "-s", "-f", file.to_str().unwrap()];
    run_well(&mut at_home("fetchmail", &args, home.path()), "");
    let fetched = std::fs::read(home.path().join("fetched")).unwrap();
    assert_eq!(String::from_utf8_lossy(&fetched), String::from_utf8_lossy(&mail::stored(&message)));
    assert!(way.dovecot.mailbox(ANN).is_empty(), "fetched mail is deleted");
}

#[test]
fn swaks_sends_with_every_sign_in_and_none() {
    require!("dovecot", "postfix", "swaks");
    swaks(&AuthMethod::through_ostler());
}

fn swaks(way: &AuthMethod) {
    let home = folder();
    let forms: [&[&str]; 3] = [&[], &["--auth", "PLAIN"], &["--auth", "LOGIN"]];
    for (number, form) in forms.iter().enumerate() {
        let message = plain(&format!("swaks{number}"));
        let file = home.path().join("message");
        std::fs::write(&file, mail::stored(&message)).unwrap();
        let server = format!("127.0.0.1:{}", way.smtp);
        let data = format!("@{}", file.display());
        let mut args = vec!["--server", &server, "--from", ANN, "--to", BOB, "--data", &data, "--ehlo", "old-pc"];
        args.extend_from_slice(form);
        if !form.is_empty() {
            args.extend(["--auth-user", ANN, "--auth-password", "x"]);
        }
        run_well(&mut at_home("swaks", &args, home.path()), "");
        let deliveries = way.postfix.deliveries();
        assert_eq!(deliveries.len(), number + 1);
        // swaks ends the text with a line of its own.
        let arrived = |content: &[u8]| content.starts_with(&mail::stored(&message));
        assert_eq!(deliveries.iter().filter(|one| arrived(&one.content)).count(), 1, "{deliveries:?}");
    }
}

#[test]
fn pythons_smtplib_and_poplib_send_and_fetch() {
    require!("dovecot", "postfix", "python3");
    python(&AuthMethod::through_ostler());
}

fn python(way: &AuthMethod) {
    let home = folder();
    let message = mail::tricky("python");
    let file = home.path().join("message");
    std::fs::write(&file, &message).unwrap();
    let script = r"
import poplib, smtplib, sys
pop3, smtp, sender, recipient, path = sys.argv[1:]
wire = open(path, 'rb').read()
with smtplib.SMTP('127.0.0.1', int(smtp), timeout=60) as server:
    server.ehlo('old-pc')
    assert server.has_extn('auth'), server.ehlo_resp
    server.login(sender, 'x')
    server.mail(sender)
    assert server.rcpt(recipient)[0] == 250
    # data() as given would change bare line ends; these bytes have none.
    assert server.data(wire)[0] == 250
server = poplib.POP3('127.0.0.1', int(pop3), timeout=60)
server.user(sender)
server.pass_('x')
count, size = server.stat()
assert (count, size) == (1, len(wire)), (count, size)
assert len(server.uidl()[1]) == 1
lines = server.retr(1)[1]
assert b'\r\n'.join(lines) + b'\r\n' == wire
server.dele(1)
server.quit()
";
    way.dovecot.deliver(ANN, &message);
    let (pop3, smtp) = (way.pop3.to_string(), way.smtp.to_string());
    let args = ["-c", script, &pop3, &smtp, ANN, BOB, file.to_str().unwrap()];
    run_well(&mut at_home("python3", &args, home.path()), "");
    delivered_once(way, &message);
    assert!(way.dovecot.mailbox(ANN).is_empty());
}

#[test]
fn the_password_of_the_client_never_reaches_the_provider() {
    require!("dovecot", "postfix", "curl");
    let site = Site::start();
    let ostler = site.ostler();
    let typed = unique("typed");
    site.dovecot.deliver(ANN, &plain("one"));
    let user = format!("{ANN}:{typed}");
    let mut curl = command("curl", ["-sS", "--user", &user]);
    run_well(curl.arg(format!("pop3://127.0.0.1:{}/", ostler.pop3)), "");
    assert_eq!(site.dovecot.logins().len(), 1);
    assert!(!ostler.log().contains(&typed));
}
