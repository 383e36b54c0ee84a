//! `ostler password`: sets or replaces an account's password in the keyring, or its local password.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::cli::screen::Screen;
use crate::cli::{account, ask, block_on, fail, print};
use crate::config::{self, NotEdited, Parsed, issuers};
use crate::diagnose;
use crate::os::control::{self, Request};
use crate::setup::charset_offer::{CharsetOffers, say_remembered};
use crate::vault::{SecretStore, Vault, describe_source, keyring_servers, servers_with_secret};
use ostler_mail::account::issuer::ClientSecret;
use ostler_mail::account::{Account, PasswordCharset, Protocol, SecretSource, Server, ServerId, Timeouts};
use ostler_mail::failure::{Failure, as_word, error_chain};
use ostler_mail::oauth2::tokens::is_kept_for;
use ostler_mail::secret::{Secret, given};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The account
    #[arg(value_name = "NAME", required_unless_present = "oauth2")]
    name: Option<String>,
    /// Read the password from a line of standard input
    #[arg(long)]
    stdin: bool,
    /// Sign in with it first, and store it only if that works. A password with letters beyond ASCII that is refused can be
    /// tried once more in the charset of old mail programs
    #[arg(long)]
    check: bool,
    /// Answer that question with yes
    #[arg(long, requires = "check")]
    yes: bool,
    /// Only for one of the account's servers, if fetching and sending have different passwords
    #[arg(long, value_name = "pop3|smtp|imap", value_parser = parse_protocol)]
    server: Option<Protocol>,
    /// Make and show a new local password, which your mail program needs if access = "password"
    #[arg(long, conflicts_with_all = ["stdin", "check", "yes", "server"])]
    local: bool,
    /// Instead of an account's password: the secret of a registration at this company, whose table [oauth2.NAME] says
    /// client_secret = "keyring"
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "check", "yes", "server", "local"])]
    oauth2: Option<String>,
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    Protocol::from_name(text).ok_or_else(|| "one of pop3, smtp, imap".into())
}

pub(crate) fn main(file: &Path, parsed: &Parsed, options: Options) -> ExitCode {
    if let Some(name) = &options.oauth2 {
        return store_client_secret(parsed, name, options.stdin);
    }
    let account = match account(parsed, options.name.as_deref().unwrap_or_default()) {
        Ok(account) => Arc::clone(account),
        Err(code) => return code,
    };
    if options.local {
        return make_local_password(file, &account);
    }
    let is_meant = |server: &&Server| options.server.is_none_or(|protocol| server.protocol == protocol);
    let ours: Vec<&Server> = keyring_servers(&account).into_iter().filter(is_meant).collect();
    if ours.is_empty() {
        let other = servers_with_secret(&account).into_iter().find(is_meant);
        return fail(1, &not_in_keyring_text(&account, other));
    }
    let makes_app_passwords = ours.iter().any(|server| parsed.presets.makes_app_passwords(&account, server));
    let prompt = format!("Password of {}: ", account.name);
    let secret = match read_secret(prompt, options.stdin, makes_app_passwords) {
        Ok(secret) => Arc::new(secret),
        Err(why) => return fail(1, &why),
    };
    let mut charsets = Vec::new();
    if options.check {
        let asks = ask::is_interactive() && !options.stdin;
        let check = Check {
            secret: &secret,
            timeouts: &parsed.settings.timeouts,
            screen: Screen { asks, says_yes: options.yes, unanswered: None },
        };
        match ask::cancellable(check.run(&ours)) {
            Ok(Ok(Ok(found))) => charsets = found,
            Ok(Ok(Err(why))) => return fail(1, &format!("the password was not stored: {why}")),
            Ok(Err(ask::Cancelled)) => return fail(1, "stopped; the password is unchanged"),
            Err(error) => return fail(1, &error.to_string()),
        }
    }
    if let Err(why) = remember_charsets(file, parsed, &account, &ours, &charsets) {
        return fail(1, &why);
    }
    match block_on(store_secret(&account, &ours, &secret)) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return fail(1, &why),
        Err(error) => return fail(1, &error.to_string()),
    }
    forget_cached_secret(file, &account);
    let where_to: Vec<String> = ours.iter().map(|s| s.address()).collect();
    let place = SecretStore::of_this_ostler();
    print(&format!("password of account {} stored in {place}, for {}\n", account.name, where_to.join(", ")));
    ExitCode::SUCCESS
}

/// Makes a running ostler drop the old password from its memory. It is fine if none runs or answers.
fn forget_cached_secret(file: &Path, account: &Account) {
    let _ = control::ask(file, &Request::ForgetSecret { account: account.name.clone() });
}

/// Stores the secret of a registration at a company that gives out OAuth2 tokens.
fn store_client_secret(parsed: &Parsed, name: &str, stdin: bool) -> ExitCode {
    let Some(issuer) = issuers::find(&parsed.settings, name) else {
        return fail(1, &format!("ostler knows no company \"{name}\", and the settings have no table [oauth2.{name}]"));
    };
    match &issuer.client_secret {
        Some(ClientSecret::Kept(SecretSource::Keyring)) => {}
        Some(ClientSecret::Kept(other)) => {
            let (title, source, place) = (&issuer.title, describe_source(other), SecretStore::of_this_ostler());
            return fail(
                1,
                &format!("the secret of the registration at {title} comes from {source}, not from {place}"),
            );
        }
        Some(ClientSecret::BuiltIn(_)) | None => {
            return fail(
                1,
                &format!("put client_secret = \"keyring\" below [oauth2.{name}] in the settings file first"),
            );
        }
    }
    let secret = match read_secret(format!("Secret of the registration at {}: ", issuer.title), stdin, false) {
        Ok(secret) => secret,
        Err(why) => return fail(1, &why),
    };
    match block_on(Vault::new().store_client_secret(&issuer, &secret)) {
        Ok(Ok(())) => {
            let (title, host) = (&issuer.title, issuer.token.host());
            print(&format!(
                "secret of the registration at {title} stored in {}, for {host}\n",
                SecretStore::of_this_ostler()
            ));
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(1, &error_chain(&error)),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn make_local_password(file: &Path, account: &Account) -> ExitCode {
    let vault = Vault::new();
    match block_on(vault.new_local_password(account)) {
        Ok(Ok(new)) => {
            forget_cached_secret(file, account);
            let (name, new) = (&account.name, new.text());
            print(&format!("new local password of account {name}, for your mail program: {new}\n"));
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(1, &error_chain(&error)),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn not_in_keyring_text(account: &Account, other: Option<&Server>) -> String {
    if other.is_some_and(is_kept_for) {
        let name = as_word(&account.name);
        return format!(
            "account {name} has no password: it signs in at a company in the web browser (OAuth2); run `ostler sign-in {name}`"
        );
    }
    match other.and_then(Server::credentials) {
        Some(credentials) => format!(
            "the password of account {} comes from {}, not from {}",
            account.name,
            describe_source(&credentials.secret),
            SecretStore::of_this_ostler()
        ),
        None => format!("no server of account {} needs a password", account.name),
    }
}

/// Reads the password from the terminal, without echo, or from standard input.
fn read_secret(prompt: String, stdin: bool, makes_app_passwords: bool) -> Result<Secret, String> {
    if stdin {
        return ask::read_password(makes_app_passwords);
    }
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask on; give the password with --stdin".into());
    }
    match ask::cancellable(ask::ask_password(prompt, makes_app_passwords)) {
        Ok(Ok(read)) => read,
        Ok(Err(ask::Cancelled)) => Err("stopped; the password is unchanged".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Signs in at each server with a password that is not stored yet.
struct Check<'a> {
    secret: &'a Arc<Secret>,
    timeouts: &'a Timeouts,
    screen: Screen,
}

impl Check<'_> {
    /// The charsets that the servers take the password in. All of them are asked before anything is stored, so that one that
    /// refuses leaves the old password everywhere.
    async fn run(mut self, servers: &[&Server]) -> Result<Vec<(ServerId, PasswordCharset)>, Failure> {
        let mut found = Vec::new();
        let mut learned = None;
        for server in servers {
            // Many providers have IMAP switched off, and the password there is the same.
            if server.protocol == Protocol::Imap {
                found.extend(learned.map(|charset| (server.id(), charset)));
                continue;
            }
            let known = server.password_charset();
            let first = (*server).clone().with_password_charset(learned.unwrap_or(known));
            let charset = self.find_charset(&first).await?;
            if charset != known {
                learned = Some(charset);
            }
            found.push((server.id(), charset));
        }
        Ok(found)
    }

    /// Signs in with the password as the server has it spelled; if that is refused, once more in the other charset, if the
    /// user agrees.
    async fn find_charset(&mut self, server: &Server) -> Result<PasswordCharset, Failure> {
        let Err(failure) = self.sign_in(server).await else { return Ok(server.password_charset()) };
        let secret = std::future::ready(Some(Arc::clone(self.secret)));
        let offered = CharsetOffers::default().offer(&mut self.screen, server, &failure, secret).await;
        let Some(again) = offered else { return Err(failure) };
        self.sign_in(&again).await.map_err(|_| failure)?;
        say_remembered(&mut self.screen, &again);
        Ok(again.password_charset())
    }

    async fn sign_in(&self, server: &Server) -> Result<(), Failure> {
        let spelled = given::spelled(self.secret, server.password_charset());
        let secret = spelled.map_or_else(|| Arc::clone(self.secret), Arc::new);
        diagnose::sign_in_with(server, secret, self.timeouts).await
    }
}

/// Writes the charsets into the settings, where they are not the ones already there.
fn remember_charsets(
    file: &Path,
    parsed: &Parsed,
    account: &Account,
    servers: &[&Server],
    found: &[(ServerId, PasswordCharset)],
) -> Result<(), String> {
    let is_known = |(id, charset): &(ServerId, PasswordCharset)| {
        servers.iter().any(|server| server.id() == *id && server.password_charset() == *charset)
    };
    if found.iter().all(is_known) {
        return Ok(());
    }
    let edit = |text: &str| config::change_charset(text, &account.name, found, file, &parsed.presets);
    config::edit_file(file, edit).map_err(|error| {
        format!(
            "the password works, but was not stored, because {}; write password_charset = \"windows-1252\" there yourself",
            match &error {
                NotEdited::Unreadable(error) | NotEdited::Unwritable(error) => {
                    format!("{} cannot be changed: {error}", file.display())
                }
                NotEdited::Refused(error) => error_chain(error),
            }
        )
    })
}

async fn store_secret(account: &Arc<Account>, servers: &[&Server], secret: &Arc<Secret>) -> Result<(), String> {
    let secrets = servers.iter().map(|server| (*server, Arc::clone(secret)));
    Vault::new().store_all(account, secrets).await.map_err(|e| error_chain(&e))
}
