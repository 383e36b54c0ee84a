//! `ostler add`: an account from an address and a password. Every answer can be given as an option; on a terminal ostler asks
//! for the rest. `setup.rs` finds and tries servers; this file is the order of the dialogue.

mod dialogue;
mod import;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::cli::screen::tell;
use crate::cli::{ask, block_on, fail, print_wrapped, read_local_password, wait_until_served};
use crate::config::presets::Presets;
use crate::config::{self, issuers, value};
use crate::guide::{GuideValues, Reader, System};
use crate::os::control::{self, Request};
use crate::proxy::tokens::TokenKeeper;
use crate::setup::authorize::Unkept;
use crate::setup::import::ImportedAccount;
use crate::setup::trust::PinRequest;
use crate::setup::{Identity, NamedTrust, Plan, Proposal, Secrets, Wanted, endpoint_from_flag, keep};
use crate::vault::SecretStore;
use dialogue::Dialogue;
use ostler_mail::account::endpoint::Endpoint;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Account, CommandLine, Protocol, SecretSource, Settings};
use ostler_mail::failure::{as_word, error_chain};
use ostler_mail::readable::{PROFILES, Readable};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The mail address
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// Take the account from another program's settings: stunnel.conf, emailproxy.config, prefs.js (Thunderbird, Mozilla,
    /// Netscape), eudora.ini, the folder .config/evolution/sources (Evolution), .oeaccount (Windows Mail), .iaf or .reg (Outlook
    /// Express); or from a provider's file: .mobileconfig (Apple) or config-v1.1.xml (Thunderbird). Passwords are not taken. ADDRESS
    /// picks one of several accounts
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// The server for fetching, instead of searching for one; SECURITY is tls, starttls or none
    #[arg(long, value_name = "SECURITY://HOST[:PORT]", value_parser = server_parser(Protocol::Pop3))]
    pop3: Option<Endpoint>,
    /// The server for sending, instead of searching for one; give it again to name one to try next
    #[arg(long, value_name = "SECURITY://HOST[:PORT]", value_parser = server_parser(Protocol::Smtp))]
    smtp: Vec<Endpoint>,
    /// The server for reading by IMAP, instead of searching for one
    #[arg(long, value_name = "SECURITY://HOST[:PORT]", value_parser = server_parser(Protocol::Imap))]
    imap: Option<Endpoint>,
    /// Use what ostler knows about this provider (`ostler providers`), whatever the address
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// Send through another company, where you have this address and a password of its own
    #[arg(long, value_name = "ADDRESS", conflicts_with = "fetch_only")]
    send_through: Option<String>,
    /// Only fetch with this account
    #[arg(long, conflicts_with_all = ["send_only", "smtp"])]
    fetch_only: bool,
    /// Only send with this account
    #[arg(long, conflicts_with_all = ["pop3", "imap"])]
    send_only: bool,
    /// The user name at the provider [default: as the provider is known to want it, else the address]
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The user name for sending, if it is a different one, with a password of its own
    #[arg(long, value_name = "NAME")]
    smtp_username: Option<String>,
    /// The account's name, which mail programs may give as user name [default: the address]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Which mail program this is for, if it shows today's letters as rubbish, such as donâ€™t for don't: mail is rewritten for it
    /// while it is fetched. A program such as eudora-windows, eudora-mac, netscape-4, pegasus or outlook-express, or a charset
    /// such as windows-1250
    #[arg(long, value_name = "PROGRAM", value_parser = parse_readable)]
    readable: Option<Readable>,
    /// The provider accepts mail only after a fetch (ostler finds that out by itself if it can)
    #[arg(long)]
    pop_before_smtp: bool,
    /// A file with further certificates to trust for these servers (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust just one certificate at a server: the one with this fingerprint (sha256:..), or, without a fingerprint, the one that
    /// the server shows, once you have seen it. For a helper on this computer, or a server of your own
    #[arg(long, value_name = "SHA256", num_args = 0..=1, default_missing_value = "", value_parser = parse_pin)]
    pin: Vec<PinFlag>,
    /// The provider takes no password: sign in at this company in the web browser (OAuth2), such as microsoft or google, or one of
    /// the settings' tables [oauth2.NAME]. ostler finds that out by itself where it knows the provider
    #[arg(long, value_name = "NAME", conflicts_with = "pop_before_smtp")]
    oauth2: Option<String>,
    /// For that sign-in: show a code to type on any device, instead of opening the web browser here
    #[arg(long)]
    device: bool,
    /// For that sign-in: print the address to open, instead of opening the web browser
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
    #[command(flatten)]
    password: Password,
    /// For programs on other computers: the first line of this file is what they have to give as password. Without it, ostler
    /// makes one and keeps it in the keyring
    #[arg(long, value_name = "FILE")]
    local_password_file: Option<PathBuf>,
    /// Save the account without trying it
    #[arg(long)]
    no_check: bool,
    /// Answer every question with yes, also about servers that only plain DNS vouches for
    #[arg(long)]
    yes: bool,
}

/// One `--pin`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PinFlag {
    /// The certificate that is shown.
    Shown,
    These([u8; 32]),
    /// The mail address, which stands behind a `--pin` without a fingerprint.
    Address(String),
}

fn parse_pin(text: &str) -> Result<PinFlag, String> {
    match text {
        "" => Ok(PinFlag::Shown),
        address if address.contains('@') => Ok(PinFlag::Address(address.to_owned())),
        text => value::pin(text).map(PinFlag::These).map_err(|why| {
            format!("this {why}; allowed is \"sha256:\" and the 64 hexadecimal digits of the certificate, or nothing")
        }),
    }
}

fn parse_readable(text: &str) -> Result<Readable, String> {
    Readable::find(text).ok_or_else(|| {
        let programs = PROFILES.map(|profile| profile.name).join(", ");
        format!("allowed is a mail program ({programs}) or a charset such as windows-1252")
    })
}

impl Options {
    /// Takes an address that stands behind `--pin` for what it is.
    fn with_address_behind_pin(mut self) -> Result<Self, Abort> {
        for pin in &mut self.pin {
            if let PinFlag::Address(address) = pin {
                if self.address.is_some() {
                    return Err(Abort(2, format!("--pin: \"{address}\" is not a fingerprint such as sha256:..")));
                }
                self.address = Some(std::mem::take(address));
                *pin = PinFlag::Shown;
            }
        }
        Ok(self)
    }

    /// What `--pin` asks for.
    fn pin_request(&self) -> Option<PinRequest> {
        let named = |pin: &PinFlag| if let PinFlag::These(pin) = pin { Some(*pin) } else { None };
        let pins: Vec<_> = self.pin.iter().filter_map(named).collect();
        match (self.pin.is_empty(), pins.is_empty()) {
            (true, _) => None,
            (false, true) => Some(PinRequest::WhatIsShown),
            (false, false) => Some(PinRequest::These(pins)),
        }
    }

    /// The servers and rules that the command line names.
    fn proposal(&self) -> Proposal {
        Proposal {
            incoming: self.pop3.iter().cloned().collect(),
            outgoing: self.smtp.clone(),
            imap: self.imap.iter().cloned().collect(),
            wants_imap: self.imap.is_some(),
            gate: self.pop_before_smtp,
            ..Proposal::default()
        }
    }

    /// The directions in which the account is to have servers of the address's own provider.
    fn wanted(&self) -> Wanted {
        Wanted { incoming: !self.send_only, outgoing: !self.fetch_only && self.send_through.is_none() }
    }
}

/// Where the password comes from. Without these options, ostler asks for it and stores it in the keyring.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct Password {
    /// Read the password from a line of standard input; a second line is the password for sending, if that has its own
    #[arg(long)]
    password_stdin: bool,
    /// Store no password: run this command for it each time
    #[arg(long, value_name = "COMMAND")]
    password_command: Option<String>,
    /// Store no password: read the first line of this file each time
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Store no password: take it from this environment variable of ostler
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// Store no password: pass on the one that the mail program sends
    #[arg(long)]
    password_client: bool,
}

impl Password {
    /// `None`: the keyring.
    fn to_source(&self) -> Result<Option<SecretSource>, Abort> {
        Ok(if let Some(command) = &self.password_command {
            Some(SecretSource::Command(CommandLine::Shell(command.clone())))
        } else if let Some(file) = &self.password_file {
            Some(existing_file("--password-file", file)?)
        } else if let Some(variable) = &self.password_env {
            Some(SecretSource::Env(variable.clone()))
        } else {
            self.password_client.then_some(SecretSource::Client)
        })
    }
}

fn server_parser(protocol: Protocol) -> impl Fn(&str) -> Result<Endpoint, String> + Clone + Send + Sync + 'static {
    move |text| endpoint_from_flag(protocol, text)
}

/// Why the account was not added: the exit code and the message.
#[derive(Debug)]
struct Abort(u8, String);

/// What to save.
struct Decision {
    account: Account,
    secrets: Secrets,
    /// Whether it was tried with success.
    works: bool,
}

enum AddOutcome {
    Kept,
    /// The user wants to stop altogether.
    Cancelled,
}

pub(crate) fn main(file: &Path, options: &Options) -> ExitCode {
    let presets = match Presets::load(file) {
        Ok(presets) => presets,
        Err(error) => return fail(2, &error_chain(&error)),
    };
    let options = &match options.clone().with_address_behind_pin() {
        Ok(options) => options,
        Err(Abort(code, why)) => return fail(code, &why),
    };
    let done = match &options.import {
        Some(from) => import::add_from_file(file, options, &presets, from),
        None => ask_address(options).and_then(|address| match add_account(file, options, &presets, &address, None)? {
            AddOutcome::Kept => Ok(()),
            AddOutcome::Cancelled => Err(Abort(1, "stopped; nothing was saved".into())),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Abort(code, why)) => fail(code, &why),
    }
}

/// The address from the command line, or asked for.
fn ask_address(options: &Options) -> Result<String, Abort> {
    match &options.address {
        Some(address) => Ok(address.clone()),
        None if ask::is_interactive() => {
            let asked = ask::cancellable(ask::ask_line("Your mail address: ")).map_err(|e| Abort(1, e.to_string()))?;
            asked.ok().flatten().filter(|a| !a.is_empty()).ok_or_else(|| Abort(1, "stopped; nothing was saved".into()))
        }
        None => Err(Abort(2, "no mail address was given; use `ostler add ADDRESS`".into())),
    }
}

/// Adds one account, from the first question to the closing text.
fn add_account(
    file: &Path,
    options: &Options,
    presets: &Presets,
    address: &str,
    imported: Option<&ImportedAccount>,
) -> Result<AddOutcome, Abort> {
    // Read for each account of an import, because the one before has changed the file.
    let settings = config::load(file).map_err(|error| Abort(2, error_chain(&error)))?.settings;
    let mut plan = plan_from_options(options, &settings, address)?;
    if let Some(imported) = imported {
        import::fill_plan(&mut plan, options, imported, &settings);
    }
    let local_password = local_password_source(options)?;
    let unkept = Unkept::new(TokenKeeper::of_command());
    let dialogue = Dialogue::new(options, &settings, presets, plan, &unkept);
    let decided = match ask::cancellable(dialogue.run()) {
        Ok(Ok(decided)) => decided.and_then(|mut decision| {
            decision.account.local_password = local_password;
            keep_account(file, decision)
        }),
        Ok(Err(ask::Cancelled)) => {
            take_back(&unkept);
            return Ok(AddOutcome::Cancelled);
        }
        Err(error) => Err(Abort(1, error.to_string())),
    };
    let decision = decided.inspect_err(|_| take_back(&unkept))?;
    unkept.keep();
    let running = wait_until_known(file, &decision.account.name);
    let reader = Reader::usual(&settings);
    let values = GuideValues::for_reader(&settings, &decision.account, file, System::this(), &reader);
    // On another computer the user cannot look it up, so it is shown here.
    let password = (settings.wants_password() && values.is_elsewhere()).then(|| read_local_password(&decision.account));
    print_wrapped(&text::closing_text(&decision, &settings, &values, password.as_ref(), file, running));
    Ok(AddOutcome::Kept)
}

fn keep_account(file: &Path, decision: Decision) -> Result<Decision, Abort> {
    match block_on(keep::keep(file, &decision.account, &decision.secrets)) {
        Ok(Ok(())) => Ok(decision),
        Ok(Err(error)) => Err(Abort(1, keep_error_text(&error))),
        Err(error) => Err(Abort(1, error.to_string())),
    }
}

/// Takes back a sign-in that no account has, and says so.
fn take_back(unkept: &Unkept) {
    if let Ok(Some(title)) = block_on(unkept.take_back()) {
        tell(&format!("The sign-in at {title} was taken back.\n"));
    }
}

/// Whether an ostler runs, and whether it serves the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    No,
    HasAccount,
    LacksAccount,
}

/// Waits until the running ostler has read the changed settings, so that the closing text can promise that the account works
/// at once.
fn wait_until_known(file: &Path, name: &str) -> Running {
    // An account of the same name may have been there before, with another password.
    let _ = control::ask(file, &Request::ForgetSecret { account: name.to_owned() });
    match wait_until_served(file, |served| served.contains(&name)) {
        None => Running::No,
        Some(true) => Running::HasAccount,
        Some(false) => Running::LacksAccount,
    }
}

/// The error, with a way around a missing keyring.
fn keep_error_text(error: &keep::KeepError) -> String {
    let text = error_chain(error);
    match error {
        keep::KeepError::Keyring(_) if SecretStore::of_this_ostler() == SecretStore::Keyring => format!(
            "{text}. Without a keyring, name another source of the password with --password-command, --password-file or --password-env"
        ),
        _ => text,
    }
}

/// The company of this name that gives out OAuth2 tokens.
fn find_issuer(settings: &Settings, name: &str) -> Result<Arc<Issuer>, Abort> {
    issuers::find(settings, name).ok_or_else(|| {
        let known: Vec<&str> = issuers::known_names().collect();
        Abort(
            2,
            format!(
                "--oauth2: ostler knows no company \"{name}\"; it knows {}, and those that the settings describe under [oauth2.NAME]",
                known.join(", ")
            ),
        )
    })
}

/// Where the password comes from that programs give to ostler; `None`: the keyring.
fn local_password_source(options: &Options) -> Result<Option<SecretSource>, Abort> {
    options.local_password_file.as_deref().map(|file| existing_file("--local-password-file", file)).transpose()
}

/// The source of a password in a file, which has to be there.
fn existing_file(flag: &str, file: &Path) -> Result<SecretSource, Abort> {
    // A pipe will do: a shell makes one of a command.
    if !file.exists() || file.is_dir() {
        return Err(Abort(2, format!("{flag}: there is no file {}", file.display())));
    }
    let file = std::path::absolute(file).map_err(|error| Abort(2, format!("{flag}: {error}")))?;
    Ok(SecretSource::File(file))
}

/// The plan as far as the options determine it.
fn plan_from_options(options: &Options, settings: &Settings, address: &str) -> Result<Plan, Abort> {
    let wrong = |what: &str, why: &str| Abort(2, format!("{what}: {why}"));
    let address = address.trim();
    let address = value::address(address)
        .map_err(|why| wrong(&format!("\"{address}\" {why}"), "use a mail address such as ann@example.net"))?;
    let checked = |given: &Option<String>, flag: &str, check: fn(&str) -> Result<String, &'static str>| {
        given.as_deref().map(check).transpose().map_err(|why| wrong(flag, why))
    };
    let name = checked(&options.name, "--name", value::name)?;
    let username = checked(&options.username, "--username", value::username)?;
    let smtp_username = checked(&options.smtp_username, "--smtp-username", value::username)?;
    let send_through = checked(&options.send_through, "--send-through", value::address)?;
    if let Some(known) = keep::existing(settings, name.as_deref().unwrap_or(&address), &address) {
        let (known, word) = (&known.name, as_word(&known.name));
        return Err(Abort(
            1,
            format!(
                "the account {known} exists already; `ostler remove {word}` removes it, `ostler password {word}` changes its password"
            ),
        ));
    }
    // Absolute, because a relative path in the settings file starts at the folder of that file.
    let ca = options.ca.as_ref().map(std::path::absolute).transpose().map_err(|e| wrong("--ca", &e.to_string()))?;
    if let Some(ca) = ca.as_ref().filter(|ca| !ca.is_file()) {
        return Err(wrong("--ca", &format!("there is no file {}", ca.display())));
    }
    let source = options.password.to_source()?;
    let fetch_as = Identity { username: username.clone(), address: address.clone(), source: source.clone() };
    let send_as = Identity {
        // The other company knows nothing of the user name at this one.
        username: smtp_username.or(if send_through.is_some() { None } else { username }),
        address: send_through.unwrap_or_else(|| address.clone()),
        source,
    };
    let (proposal, aliases) = (options.proposal(), Vec::new());
    let oauth2 = options.oauth2.as_deref().map(|name| find_issuer(settings, name)).transpose()?;
    Ok(Plan {
        address,
        aliases,
        name,
        proposal,
        fetch_as,
        send_as,
        trust: NamedTrust::in_file(ca),
        readable: options.readable,
        oauth2,
    })
}
