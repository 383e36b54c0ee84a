//! Replays dialogues with providers through the sign-in machines, without sockets. A file in
//! `tests/transcripts/providers/{pop3,smtp,imap,pop3-from-imap}/` holds lines `S: ` (the provider), `U: ` (the provider, before
//! it has heard what ostler says next), `C: ` (what ostler must say; a line with a secret is written as the log shows it),
//! `--- tls` (TLS starts here), `--- secret` (the secret is given now), and a last line `=> done` or `=> ` with the beginning of
//! the failure's words. `# ` begins a comment; `! starttls`, `! none` choose the security, `! no-auth` an account that does not
//! sign in, `! oauth2` one whose secret is an access token, `! renew` that a refused token is asked for once more.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_mail::account::{
    Credentials, Folder, PasswordCharset, Protocol, SecretSource, Security, Server, SignIn, Trust,
};
use ostler_mail::failure::Failure;
use ostler_mail::machine::{Login, Step};
use ostler_mail::maildrop::login::MaildropLogin;
use ostler_mail::secret::Secret;
use ostler_mail::wire::Line;
use ostler_mail::{imap, pop3, smtp};

const USER: &str = "ann@example.net";
const SECRET: &str = "hunter2";

fn server(protocol: Protocol, text: &str) -> Server {
    let has = |word: &str| text.lines().any(|line| line == format!("! {word}"));
    let security = if has("starttls") {
        Security::StartTls
    } else if has("none") {
        Security::None
    } else {
        Security::Tls
    };
    let credentials =
        Credentials { username: USER.into(), secret: SecretSource::Keyring, charset: PasswordCharset::Utf8 };
    Server {
        protocol,
        host: "mail.example.net".into(),
        port: protocol.default_port(security),
        security,
        trust: Trust::default(),
        chunking: true,
        sign_in: match (has("no-auth"), has("oauth2")) {
            (true, _) => SignIn::None,
            (false, true) => SignIn::OAuth2(credentials),
            (false, false) => SignIn::Password(credentials),
        },
    }
}

/// Plays one transcript; what is wrong with it, if anything is.
fn replay<L: Login>(mut login: L, text: &str) -> Result<(), String> {
    let mut step: Result<Step<L::Ready>, Failure> = Ok(Step::Wait);
    if text.lines().any(|line| line == "! renew") {
        login.server_mut().let_renew();
    }
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {line:?}: {what}", number + 1));
        let Some((mark, rest)) = line.split_once(' ') else { continue };
        match mark {
            "S:" => {
                if !matches!(step, Ok(Step::Wait)) {
                    return wrong("ostler was not waiting for a line");
                }
                step = login.on_line(&Line::new(rest.as_bytes()));
            }
            "U:" => {
                if !matches!(step, Ok(Step::Send(_))) {
                    return wrong("ostler had nothing to say");
                }
                if let Err(failure) = login.on_unasked(&Line::new(rest.as_bytes())) {
                    step = Err(failure);
                }
            }
            "C:" => {
                let Ok(Step::Send(said)) = &step else { return wrong(&describe(&step)) };
                if said.shown() != rest {
                    return wrong(&format!("ostler said {:?}", said.shown()));
                }
                step = Ok(Step::Wait);
            }
            "---" if rest == "tls" => {
                if !matches!(step, Ok(Step::StartTls)) {
                    return wrong(&describe(&step));
                }
                step = Ok(login.on_tls());
            }
            "---" => {
                if !matches!(step, Ok(Step::WantSecret)) {
                    return wrong(&describe(&step));
                }
                step = Ok(login.on_secret(Arc::new(Secret::new(SECRET.to_owned()).unwrap())));
            }
            "=>" => {
                let came = describe(&step);
                if !came.starts_with(rest) || came.contains(SECRET) {
                    return wrong(&came);
                }
            }
            _ => {}
        }
    }
    if text.lines().any(|line| line.starts_with("=> ")) { Ok(()) } else { Err("the outcome is missing".into()) }
}

fn describe<R>(step: &Result<Step<R>, Failure>) -> String {
    match step {
        Ok(Step::Send(said)) => format!("ostler says {:?}", said.shown()),
        Ok(Step::Wait) => "ostler waits".into(),
        Ok(Step::StartTls) => "ostler wants TLS".into(),
        Ok(Step::WantSecret) => "ostler wants the secret".into(),
        Ok(Step::Done(_)) => "done".into(),
        Err(failure) => failure.sentence(),
    }
}

fn transcripts(protocol: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/providers").join(protocol);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read_to_string(file).unwrap())).collect()
}

/// Plays every transcript of a protocol.
fn check(protocol: Protocol, play: impl Fn(&Server, &str) -> Result<(), String>) {
    check_folder(protocol.name(), protocol, play);
}

fn check_folder(folder: &str, protocol: Protocol, play: impl Fn(&Server, &str) -> Result<(), String>) {
    let all = transcripts(folder);
    assert!(all.len() >= 8, "only {} transcripts", all.len());
    let failed = |(file, text): &(PathBuf, String)| {
        play(&server(protocol, text), text).err().map(|why| format!("{}: {why}", file.display()))
    };
    let failures: Vec<String> = all.iter().filter_map(failed).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_pop3_provider_is_answered_as_written() {
    check(Protocol::Pop3, |server, text| {
        let has = |word: &str| text.contains(word);
        let known =
            pop3::login::CachedCapabilities { takes_user: true, pipelining: has("! pipelining"), ..Default::default() };
        replay(pop3::login::Pop3Login::new(server, has("! known").then_some(known)), text)
    });
}

#[test]
fn every_smtp_provider_is_answered_as_written() {
    check(Protocol::Smtp, |server, text| replay(smtp::login::SmtpLogin::new(server, "[192.0.2.7]".into()), text));
}

#[test]
fn every_imap_provider_is_answered_as_written() {
    check(Protocol::Imap, |server, text| replay(imap::login::ImapLogin::new(server), text));
}

#[test]
fn every_imap_provider_whose_mail_is_fetched_by_pop3_is_answered_as_written() {
    check_folder("pop3-from-imap", Protocol::Imap, |server, text| {
        replay(MaildropLogin::at_imap(imap::login::ImapLogin::new(server), Folder::default()), text)
    });
}
