//! F05: an account of an old program sends under several addresses.

use crate::adding::file;
use crate::importing::{Fields, import, import_in, prefs_js, registry};
use crate::sign_in::takes_mail_of_anyone;
use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::provider::Provider;
use crate::support::{private_file, unique};

#[test]
fn f05_whichever_address_is_asked_for_the_others_are_aliases() {
    let finch = import(file("f05-prefs.js"), &["finch@plover.example"]);
    assert_eq!(finch.senders(), ["finch@plover.example sales@plover.example"]);
    assert_eq!(
        finch.all_servers(),
        [
            "finch@plover.example pop3 pop.plover.example:995 PLOVER\\finch",
            "finch@plover.example smtp smtp.plover.example:465 finch@plover.example"
        ]
    );
    assert!(finch.screen.contains("sales@plover.example"), "{}", finch.screen);
    let sales = import(file("f05-prefs.js"), &["Sales@plover.example"]);
    assert_eq!(sales.senders(), ["Sales@plover.example finch@plover.example"]);
    assert_eq!(
        sales.all_servers(),
        [
            "Sales@plover.example pop3 pop.plover.example:995 PLOVER\\finch",
            "Sales@plover.example smtp smtp.plover.example:465 finch@plover.example"
        ],
        "the mailbox keeps its name"
    );
}

/// A mailbox of Thunderbird with these identities.
fn identities(ids: &str, addresses: &[&str], user: &str) -> String {
    let mut prefs: Vec<(String, String)> = [
        ("mail.accountmanager.accounts", "account1"),
        ("mail.account.account1.server", "server1"),
        ("mail.account.account1.identities", ids),
        ("mail.server.server1.type", "pop3"),
        ("mail.server.server1.hostname", "pop.plover.example"),
        ("mail.server.server1.userName", user),
        ("mail.smtpservers", "smtp1"),
        ("mail.smtpserver.smtp1.hostname", "smtp.plover.example"),
        ("mail.smtpserver.smtp1.username", user),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    for (number, address) in addresses.iter().enumerate() {
        prefs.push((format!("mail.identity.id{}.useremail", number + 1), (*address).to_owned()));
    }
    let prefs: Vec<(&str, &str)> = prefs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    prefs_js(&prefs)
}

#[test]
fn f05_identities_come_in_any_order_and_some_have_no_address() {
    let addresses = ["finch@plover.example", "", "sales@plover.example", "finch@heron.example"];
    let in_order = import(identities("id1,id3,id4", &addresses, "finch"), &[]);
    assert_eq!(in_order.senders(), ["finch@plover.example sales@plover.example finch@heron.example"]);
    let turned = import(identities(" id2, id4,id3 ,id1,id9,id3", &addresses, "finch"), &[]);
    assert_eq!(turned.senders(), ["finch@heron.example sales@plover.example finch@plover.example"]);
    assert_eq!(turned.all_servers()[0], "finch@heron.example pop3 pop.plover.example:995 finch");
    // The user name is made from the address it belongs to, and so is that for sending.
    let asked = import(identities("id1,id3", &addresses, "finch@plover.example"), &["sales@plover.example"]);
    assert_eq!(
        asked.all_servers(),
        [
            "sales@plover.example pop3 pop.plover.example:995 finch@plover.example",
            "sales@plover.example smtp smtp.plover.example:465 finch@plover.example"
        ]
    );
}

#[test]
fn f05_an_identity_with_a_server_of_its_own_is_told() {
    let addresses = ["finch@plover.example", "finch@heron.example"];
    let plain = import(identities("id1,id2", &addresses, "finch"), &[]);
    assert!(!plain.screen.contains("through the same server"), "{}", plain.screen);
    let own = "user_pref(\"mail.identity.id2.smtpServer\", \"smtp2\");\n\
               user_pref(\"mail.smtpserver.smtp2.hostname\", \"smtp.heron.example\");\n";
    let told = import(identities("id1,id2", &addresses, "finch") + own, &[]);
    assert_eq!(told.senders(), ["finch@plover.example finch@heron.example"]);
    assert!(told.screen.contains("smtp.heron.example for what finch@heron.example sends"), "{}", told.screen);
}

#[test]
fn f05_accounts_of_outlook_express_and_eudora_with_one_mailbox_are_one() {
    let account = |address: &'static str| -> Vec<(&'static str, &'static str)> {
        vec![
            ("POP3 Server", "pop.plover.example"),
            ("POP3 User Name", "finch"),
            ("SMTP Server", "smtp.plover.example"),
            ("SMTP Email Address", address),
        ]
    };
    let (first, second) = (account("finch@plover.example"), account("sales@plover.example"));
    let both: [&Fields<'_>; 2] = [&first, &second];
    assert_eq!(import(registry(&both), &[]).senders(), ["finch@plover.example sales@plover.example"]);
    assert_eq!(
        import(registry(&both), &["sales@plover.example"]).senders(),
        ["sales@plover.example finch@plover.example"]
    );
    // A personality with the same mailbox, one that has no mailbox, and one with another.
    let eudora = "[Persona-Shop]\r\nReturnAddress=shop@plover.example\r\n[Settings]\r\nPOPAccount=finch@pop.plover.example\r\n\
                  ReturnAddress=finch@plover.example\r\nSMTPServer=smtp.plover.example\r\n[Persona-Sales]\r\n\
                  POPAccount=FINCH@pop.plover.example\r\nReturnAddress=sales@plover.example\r\nSMTPServer=smtp.plover.example\r\n\
                  [Persona-Wren]\r\nPOPAccount=wren@pop.plover.example\r\nReturnAddress=wren@plover.example\r\n\
                  SMTPServer=smtp.plover.example\r\n";
    let mut senders = import(eudora, &[]).senders();
    senders.sort();
    assert_eq!(senders, ["finch@plover.example shop@plover.example sales@plover.example", "wren@plover.example"]);
}

#[test]
fn f05_mail_goes_out_under_a_further_address() {
    let (ca, password) = (TestCa::new(), unique("pw"));
    let smtp = Provider::always_tls(&ca.localhost(), true, takes_mail_of_anyone());
    // With a second account, the sender tells which one is meant.
    let other = Account::new("home", "ann@example.org", &unique("pw")).smtp(Server::new("tls", 1));
    let mut home = Home::new(&ca, &[other]);
    home.keep_secret(&password);
    let preset = format!(
        "schema = 1\n[provider.plover]\nname = \"Plover\"\ndomains = [\"plover.example\"]\n\
         legacy_hosts = [\"pop.plover.example\", \"smtp.plover.example\"]\npop3 = [{{ host = \"localhost\", port = 1 }}]\n\
         smtp = [{{ host = \"localhost\", port = {} }}]\n",
        smtp.port
    );
    home.write_providers(&preset);
    let secret = home.path().join("secret");
    private_file(&secret, &password);
    let ca_file = home.ca_file();
    let more = ["finch@plover.example", "--ca", ca_file.to_str().unwrap(), "--password-file", secret.to_str().unwrap()];
    let ostler = import_in(home, file("f05-prefs.js"), &more).home.run();
    client::send(ostler.smtp, "sales@plover.example", &["bob@heron.example"], b"Subject: hello\r\n\r\nHello.\r\n");
    smtp.received(0, "MAIL FROM:<sales@plover.example>");
}

#[test]
fn f05_an_address_that_an_account_has_stays_with_it() {
    let first = import(identities("id1,id2", &["finch@plover.example", "sales@plover.example"], "finch"), &[]);
    let again =
        first.home.ostler(&["add", "sales@plover.example", "--pop3", "tls://pop.x.example", "--fetch-only"], "");
    let screen = crate::support::process::said(&again);
    assert!(!again.status.success() && screen.contains("finch@plover.example exists already"), "{screen}");
    let other = identities("id1,id2", &["wren@plover.example", "sales@plover.example"], "wren");
    let both = import_in(first.home, other, &[]);
    assert_eq!(both.senders(), ["finch@plover.example sales@plover.example", "wren@plover.example"]);
}
