//! Each rule by which an account takes something from its preset.

use std::path::Path;

use super::*;
use crate::config::presets::Origin;
use crate::config::presets::parse::read_providers;
use crate::config::{Parsed, parse, parse_with};
use ostler_mail::account::{Account, Server, SignIn};

const OWN: &str = "schema = 1
[provider.sure]
domains = [\"example.net\"]
pop3 = [{ host = \"pop.example.net\", port = 1995 }, { host = \"pop.example.net\", security = \"starttls\" }]
smtp = [
    { host = \"one.example.net\", port = 1587, security = \"starttls\", login = \"{local}+{domain}\" },
    { host = \"two.example.net\", auth = [\"oauth2:x\"] },
]
imap = [{ host = \"imap.example.net\" }]
login = \"local-part\"
auth = [\"oauth2:x\", \"app-password\"]
[provider.unsure]
pop3 = [{ host = \"pop.example.net\" }]
confidence = \"low\"
[provider.hasty]
pop3 = [{ host = \"h\" }]
smtp = [{ host = \"h\", auth = [\"pop-before-smtp\"] }]
window = 1
[provider.gone]
closed = \"It ended.\"
";

fn read(lines: &str) -> Result<Parsed, Vec<String>> {
    let own = read_providers(OWN, Path::new("providers.toml"), Origin::Own).unwrap();
    let text = format!("[[account]]\naddress = \"ann@example.net\"\n{lines}\n");
    let presets = Presets::built_in().overlaid(own);
    parse_with(&text, Path::new("o.toml"), &presets).map_err(|m| m.to_string().lines().map(str::to_owned).collect())
}

#[track_caller]
fn parsed(lines: &str) -> (Arc<Account>, Vec<String>) {
    let parsed = read(lines).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    (parsed.settings.accounts[0].clone(), parsed.warnings.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn mistakes(lines: &str) -> Vec<String> {
    read(lines).err().unwrap_or_default()
}

/// `host:port security auth user`.
fn told(server: &Server) -> String {
    let user = server.credentials().map_or("-", |credentials| credentials.username.as_str());
    format!("{} {} {} {user}", server.address(), server.security.name(), server.auth_name())
}

fn all(account: &Account) -> Vec<String> {
    account.servers().map(told).collect()
}

#[test]
fn an_account_without_tables_gets_everything() {
    let (account, warnings) = parsed("provider = \"sure\"");
    assert_eq!(
        all(&account),
        [
            "pop.example.net:1995 tls password ann",
            "one.example.net:1587 starttls password ann+example.net",
            "two.example.net:465 tls oauth2 ann",
            "imap.example.net:993 tls password ann",
        ]
    );
    assert_eq!((account.provider.as_deref(), warnings), (Some("sure"), vec![]));
    // The account's user name wins over every form.
    let (account, _) = parsed("provider = \"SURE\"\nusername = \"lee\"");
    assert!(all(&account).iter().all(|server| server.ends_with(" lee")), "{:?}", all(&account));
}

#[test]
fn a_table_with_gaps_is_filled_key_by_key() {
    let pop3 =
        |keys: &str| told(parsed(&format!("provider = \"sure\"\n[account.pop3]\n{keys}")).0.pop3.as_ref().unwrap());
    assert_eq!(pop3("ca = \"/ca.pem\""), "pop.example.net:1995 tls password ann");
    assert_eq!(pop3("username = \"lee\""), "pop.example.net:1995 tls password lee");
    assert_eq!(pop3("port = 2995"), "pop.example.net:2995 tls password ann");
    assert_eq!(pop3("auth = \"oauth2\""), "pop.example.net:1995 tls oauth2 ann");
    // The second server of the preset is the one meant.
    assert_eq!(pop3("security = \"starttls\""), "pop.example.net:110 starttls password ann");
    assert_eq!(pop3("port = 110"), "pop.example.net:110 starttls password ann");
    assert_eq!(pop3("host = \"POP.example.net\""), "pop.example.net:1995 tls password ann");
    let (account, _) = parsed("provider = \"sure\"\n[account.pop3]\nca = \"/ca.pem\"");
    assert_eq!(account.pop3.as_ref().unwrap().trust.ca.as_deref(), std::path::absolute("/ca.pem").ok().as_deref());
    // What has no table comes whole.
    assert_eq!((account.smtp.len(), account.imap.is_some()), (2, true));
}

#[test]
fn a_table_with_a_host_of_its_own_takes_nothing() {
    let (account, warnings) = parsed("provider = \"sure\"\n[account.pop3]\nhost = \"mine.example.org\"");
    assert_eq!(told(account.pop3.as_ref().unwrap()), "mine.example.org:995 tls password ann@example.net");
    assert!(warnings.is_empty());
    let (account, _) =
        parsed("provider = \"sure\"\n[account.smtp]\nhost = \"mine.example.org\"\nsecurity = \"starttls\"");
    assert_eq!(
        account.smtp.iter().map(told).collect::<Vec<_>>(),
        ["mine.example.org:587 starttls password ann@example.net"]
    );
}

#[test]
fn an_smtp_table_stands_for_all_servers_of_the_preset() {
    let (account, _) =
        parsed("provider = \"sure\"\n[account.smtp]\npin = \"sha256:PIN\"".replace("PIN", &"0f".repeat(32)).as_str());
    assert_eq!(
        account.smtp.iter().map(told).collect::<Vec<_>>(),
        ["one.example.net:1587 starttls password ann+example.net"]
    );
    let (account, _) =
        parsed("provider = \"sure\"\n[[account.smtp]]\nhost = \"two.example.net\"\n[[account.smtp]]\nhost = \"x\"");
    assert_eq!(
        account.smtp.iter().map(told).collect::<Vec<_>>(),
        ["two.example.net:465 tls oauth2 ann", "x:465 tls password ann@example.net"]
    );
}

#[test]
fn optonline_works_by_its_name_alone() {
    let text = "[[account]]\naddress = \"ann@optonline.net\"\nprovider = \"optonline\"\n";
    let parsed = parse(text, Path::new("o.toml")).unwrap();
    assert_eq!(
        all(&parsed.settings.accounts[0]),
        [
            "mail.optonline.net:995 tls password ann@optonline.net",
            "mail.optonline.net:587 starttls password ann@optonline.net",
            "mail.optonline.net:465 tls password ann@optonline.net",
            "mail.optonline.net:993 tls password ann@optonline.net",
        ]
    );
    let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["o.toml:3:12: account.provider: the servers of the preset optonline are not confirmed; `ostler check` shows \
          whether they answer"]
    );
}

#[test]
fn a_small_host_logs_in_before_each_send() {
    let (account, _) = parsed("provider = \"small-host\"");
    assert_eq!(told(account.pop3.as_ref().unwrap()), "example.net:995 tls password ann@example.net");
    assert_eq!(account.smtp.len(), 6);
    let SignIn::AfterPop(gate) = &account.smtp[1].sign_in else { panic!("{:?}", account.smtp) };
    assert_eq!(
        (Some(&gate.login), account.smtp[1].address()),
        (account.pop3.as_ref(), "mail.example.net:465".to_owned())
    );
    assert_eq!(gate.fresh, Duration::from_secs(60));
    // A table that fills in only who vouches for the certificate keeps the gate.
    let (account, _) =
        parsed("provider = \"small-host\"\n[account.smtp]\nhost = \"mail.example.net\"\nca = \"/ca.pem\"");
    assert_eq!(told(&account.smtp[0]), "mail.example.net:465 tls pop-before-smtp -");
    let unfit = mistakes("provider = \"small-host\"\n[account.pop3]\nauth = \"none\"");
    let line = "o.toml:3:12: account.provider: needs a POP login before each send, but [account.pop3] has no password; \
                allowed is one with auth = \"password\", or an [account.smtp] with another auth";
    assert_eq!(unfit, [line; 6]);
}

#[test]
fn a_short_window_is_kept() {
    for keys in ["", "[account.smtp]\nca = \"/ca.pem\"\n"] {
        let (account, _) = parsed(&format!("provider = \"hasty\"\n{keys}"));
        assert_eq!(account.smtp[0].gate().unwrap().fresh, Duration::from_secs(30));
    }
    let (account, _) = parsed("provider = \"hasty\"\n[account.smtp]\nfresh = \"0s\"");
    assert_eq!(account.smtp[0].gate().unwrap().fresh, Duration::ZERO);
}

#[test]
fn a_mailbox_that_sends_elsewhere_takes_a_server_of_another_company() {
    let (account, warnings) = parsed("provider = \"oceanic-external-pop\"");
    assert_eq!((account.pop3.is_some(), account.smtp.len()), (true, 0));
    assert_eq!(warnings.len(), 2);
    assert!(warnings[1].contains("to send, add [account.smtp] with the host of another company"), "{warnings:?}");
    let (account, warnings) =
        parsed("provider = \"oceanic-external-pop\"\n[account.smtp]\nhost = \"smtp.example.org\"");
    assert_eq!(told(&account.smtp[0]), "smtp.example.org:465 tls password ann@example.net");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn oauth2_is_taken_only_where_there_is_nothing_else() {
    let auth = |provider: &str| parsed(&format!("provider = \"{provider}\"")).0.pop3.as_ref().unwrap().auth_name();
    assert_eq!((auth("gmail"), auth("outlook")), ("password", "oauth2"));
}

#[test]
fn a_form_may_differ_between_servers() {
    let (account, warnings) = parsed("provider = \"icloud\"");
    assert_eq!(
        all(&account),
        ["smtp.mail.me.com:587 starttls password ann@example.net", "imap.mail.me.com:993 tls password ann"]
    );
    assert!(warnings.is_empty());
}

#[test]
fn an_unknown_preset_is_a_mistake_unless_the_tables_say_everything() {
    let listed = "allowed are the names that `ostler providers` lists";
    assert_eq!(
        mistakes("provider = \"optonlin\""),
        [format!("o.toml:3:12: account.provider: is not a known preset; did you mean optonline?; {listed}")]
    );
    assert_eq!(
        mistakes("provider = \"hunter2-SECRET\"\n[account.pop3]\nca = \"/ca\"\n[account.smtp]\nhost = \"h\""),
        [format!("o.toml:3:12: account.provider: is not a known preset; {listed}")]
    );
    let (account, warnings) = parsed("provider = \"mine\"\n[account.pop3]\nhost = \"h\"");
    assert_eq!(all(&account), ["h:995 tls password ann@example.net"]);
    assert_eq!(
        warnings,
        [format!(
            "o.toml:3:12: account.provider: is not a known preset, so it adds nothing to the tables below; {listed}"
        )]
    );
}

#[test]
fn a_provider_for_no_mail_program_is_told() {
    let listed = "allowed are the names that `ostler providers` lists";
    assert_eq!(
        mistakes("provider = \"gone\""),
        [format!("o.toml:3:12: account.provider: is a provider that no mail program can use: It ended. {listed}")]
    );
    assert_eq!(parsed("provider = \"gone\"\n[account.pop3]\nhost = \"h\"").0.provider.as_deref(), Some("gone"));
}

#[test]
fn a_preset_of_low_confidence_is_named_where_it_is_used() {
    let warning = "o.toml:3:12: account.provider: the servers of the preset unsure are not confirmed; `ostler check` shows \
                   whether they answer";
    assert_eq!(parsed("provider = \"unsure\"").1, [warning]);
    assert_eq!(parsed("provider = \"unsure\"\n[account.pop3]\nport = 1").1, [warning]);
    assert!(parsed("provider = \"unsure\"\n[account.pop3]\nhost = \"h\"").1.is_empty());
}

#[test]
fn a_door_leads_to_a_server_of_the_preset() {
    assert!(parsed("provider = \"sure\"\ndoors = { pop3 = 0 }").1.is_empty());
}

#[test]
fn where_a_fetch_counts_nothing_is_read_ahead_whatever_the_file_says() {
    for (lines, may) in [
        ("provider = \"gmail\"", false),
        ("provider = \"gmail\"\nread_ahead = true", false),
        ("[account.pop3]\nhost = \"pop.gmail.com\"", false),
        ("provider = \"hasty\"", true),
        ("read_ahead = false\nprovider = \"hasty\"", false),
    ] {
        assert_eq!(parsed(lines).0.read_ahead, may, "{lines}");
    }
}
