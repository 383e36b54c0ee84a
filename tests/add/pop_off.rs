//! A provider at which POP3 is switched off until its user switches it on, or is not there at all, and IMAP is on.

use crate::support::free_port;
use crate::support::process::said;
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::{client, mail, require};
use crate::{ANN, Newcomer};

/// Adds an account whose POP3 server is at this port, and whose IMAP server works.
fn add(newcomer: &Newcomer, pop3: u16, more: &[&str]) -> std::process::Output {
    let (pop3, smtp) = (format!("tls://localhost:{pop3}"), newcomer.smtp());
    let imap = format!("tls://localhost:{}", newcomer.dovecot.imaps);
    let ca = newcomer.home.ca_file();
    let words = [&["--name", "home", "--imap", &imap, "--password-stdin"], more].concat();
    let words = newcomer.words(&pop3, &smtp, ca.to_str().unwrap(), &words);
    newcomer.home.ostler(&words, &format!("{}\n", newcomer.password))
}

/// A POP3 server that lets nobody in by POP3, in Google's words.
fn switched_off(newcomer: &Newcomer) -> Provider {
    let no = "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page.";
    let part = vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say(no), Step::Stall];
    Provider::always_tls(&newcomer.ca.localhost(), true, part)
}

#[test]
fn imap_is_offered_and_pop3_clients_fetch_over_it() {
    require!("dovecot", "postfix", "keyring");
    for is_there in [true, false] {
        let newcomer = Newcomer::start();
        let provider = is_there.then(|| switched_off(&newcomer));
        let pop3 = provider.as_ref().map_or_else(free_port, |provider| provider.port);
        let before = newcomer.home.settings();
        // Nobody to ask: nothing is kept, and how to say yes is said.
        let added = add(&newcomer, pop3, &[]);
        assert_eq!(added.status.code(), Some(1), "{}", said(&added));
        assert!(said(&added).contains("(IMAP)") && said(&added).contains("--yes"), "{}", said(&added));
        assert_eq!(newcomer.home.settings(), before);
        let added = add(&newcomer, pop3, &["--yes"]);
        assert!(added.status.success(), "{}", said(&added));
        let settings = newcomer.home.settings();
        assert!(settings.contains("[account.imap]") && !settings.contains(&format!("port = {pop3}")), "{settings}");
        let message = mail::tricky("over-imap");
        newcomer.dovecot.deliver(ANN, &message);
        let Newcomer { home, dovecot: _dovecot, postfix: _postfix, _keyring, .. } = newcomer;
        let ostler = home.run();
        assert_eq!(client::fetch(ostler.pop3, "home", "x"), [message]);
    }
}
