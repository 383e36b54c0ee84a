//! Access tokens that another program gets: a command, a file, a variable.

use crate::support::client::{self, Client};
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::{mail, private_file, require};
use crate::{ANN, BOB, Site};

/// ann's account with its tokens from there.
fn home(site: &Site, password: &str) -> Home {
    let account = Account::new("home", ANN, "")
        .keyring()
        .line(&format!("password = {password}"))
        .pop3(Server::new("tls", site.dovecot.pop3s).auth("oauth2"))
        .smtp(Server::new("starttls", site.postfix.submission).auth("oauth2"))
        .imap(Server::new("tls", site.dovecot.imaps).auth("oauth2"));
    Home::with_settings(&site.ca, &[account], "", "")
}

#[test]
fn a_file_that_another_program_renews_is_read_at_each_sign_in() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut signed_in = site.home();
    site.sign_in(&mut signed_in);
    let token = site.tokens()["access"].as_str().unwrap().to_owned();
    let folder = crate::support::folder();
    let file = folder.path().join("token");
    private_file(&file, "an-old-token\n");
    let mut home = home(&site, &format!("{{ file = {:?} }}", file.display().to_string()));
    home.keep_secret(&token);
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let refusal = pop.ask("PASS x", "-ERR [AUTH]");
    assert!(refusal.contains("refused the OAuth2 sign-in"), "{refusal}");
    assert!(refusal.contains("another token in the file that the settings name"), "{refusal}");
    private_file(&file, &format!("{token} \n"));
    let message = mail::tricky("elsewhere");
    site.dovecot.deliver(ANN, &message);
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    let checked = ostler.home.ostler(&["check"], "");
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn a_command_that_fails_or_gives_nothing_is_trouble_and_never_a_refusal() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    for command in ["exit 3", "true", "no-such-program-here"] {
        let ostler = home(&site, &format!("{{ command = {command:?} }}")).run();
        let mut pop = Client::greeted(ostler.pop3, "+OK");
        pop.ask("USER home", "+OK");
        let answer = pop.ask("PASS x", "-ERR [SYS/TEMP]");
        assert!(answer.contains("command"), "{answer}");
        let mut smtp = Client::greeted(ostler.smtp, "220");
        smtp.ask_reply("EHLO x", "250");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "454");
        let mut imap = Client::greeted(ostler.imap, "* OK");
        imap.ask("a LOGIN home x", "* CAPABILITY IMAP4rev1");
        imap.expect("a OK");
        imap.ask("b NOOP", "b NO [UNAVAILABLE]");
    }
}
