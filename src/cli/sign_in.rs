//! `ostler sign-in` and `ostler sign-out`: the user signs in at a company that gives out OAuth2 tokens, or takes that back.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::cli::screen::tell;
use crate::cli::{account, ask, block_on, fail, print, print_as_it_is};
use crate::config::Parsed;
use crate::os::control::{self, Request};
use crate::proxy::tokens::TokenKeeper;
use crate::setup::authorize::{Authorize, SignInFailed, SignInUi, SignedIn, Way};
use ostler_mail::account::{Account, Timeouts};
use ostler_mail::failure::error_chain;
use ostler_mail::oauth2::device::DeviceCode;
use ostler_mail::oauth2::tokens::servers_of;

#[derive(Debug, Args)]
pub(crate) struct SignIn {
    /// The account; not needed if only one signs in this way
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Show a code to type on any device, instead of opening the web browser here; not every company has that
    #[arg(long)]
    device: bool,
    /// Print the address to open, instead of opening the web browser
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignOut {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
}

/// Signs in. Exit code 1 if that fails; what was stored before stays then.
pub(crate) fn sign_in(file: &Path, parsed: &Parsed, options: &SignIn) -> ExitCode {
    let account = match meant(parsed, options.name.as_deref(), "sign-in") {
        Ok(account) => account,
        Err(code) => return code,
    };
    let way = if options.device { Way::Device } else { Way::Browser };
    let mut terminal = Terminal { opens_browser: !options.no_browser };
    let keeper = TokenKeeper::of_command();
    let dialogue = run(&keeper, &account, way, &mut terminal, &parsed.settings.timeouts);
    let signed_in = match ask::cancellable(dialogue) {
        Ok(Ok(Ok(signed_in))) => signed_in,
        Ok(Ok(Err(why))) => return fail(1, &why),
        Ok(Err(ask::Cancelled)) => return fail(1, "stopped; nothing has changed"),
        Err(error) => return fail(1, &error.to_string()),
    };
    // Not to be interrupted: the company may have ended what the keyring has.
    match block_on(keeper.keep(&account, &signed_in.tokens)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            if let Ok(sign_in) = Authorize::new(&keeper, &account) {
                let _ = block_on(sign_in.revoke(&signed_in.tokens));
            }
            return fail(1, &format!("the sign-in worked, but cannot be kept: {}", error_chain(&error)));
        }
        Err(error) => return fail(1, &error.to_string()),
    }
    let _ = control::ask(file, &Request::SignedIn { account: account.name.clone() });
    for refusal in &signed_in.refusals {
        tell(&format!("Note: {refusal}\n"));
    }
    print(&done_text(&account, &signed_in));
    ExitCode::SUCCESS
}

async fn run(
    keeper: &TokenKeeper,
    account: &Account,
    way: Way,
    terminal: &mut Terminal,
    timeouts: &Timeouts,
) -> Result<SignedIn, String> {
    let sign_in = Authorize::new(keeper, account).map_err(|error| error.to_string())?;
    sign_in.run_and_try(way, terminal, timeouts).await.map_err(|error| error.to_string())
}

fn done_text(account: &Account, signed_in: &SignedIn) -> String {
    let at = account.oauth2.as_ref().map_or("", |issuer| issuer.title.as_str());
    let who = signed_in.tokens.who().map(|who| format!(" as {who}")).unwrap_or_default();
    let lasting = if signed_in.tokens.can_renew() {
        "ostler renews the sign-in by itself"
    } else {
        "the company lets ostler in for a short time only, so you will have to sign in again"
    };
    format!("account {} is signed in at {at}{who}; {lasting}\n", account.name)
}

/// The account that a command means: the one that is named, or the only one that signs in this way.
pub(super) fn meant(parsed: &Parsed, name: Option<&str>, command: &str) -> Result<Arc<Account>, ExitCode> {
    if let Some(name) = name {
        let account = account(parsed, name).map(Arc::clone)?;
        if servers_of(&account).next().is_none() {
            return Err(fail(1, &SignInFailed::NotWanted { account: account.name.clone() }.to_string()));
        }
        return Ok(account);
    }
    let all: Vec<_> =
        parsed.settings.accounts.iter().filter(|account| servers_of(account).next().is_some()).cloned().collect();
    match all.as_slice() {
        [one] => Ok(Arc::clone(one)),
        [] => Err(fail(1, "no account signs in by OAuth2 with tokens that ostler keeps; nothing has to be done")),
        _ => {
            let names = ostler_mail::choose::names(&all).join(", ");
            Err(fail(1, &format!("say which account is meant: ostler {command} NAME; there are: {names}")))
        }
    }
}

/// Signs out: forgets the tokens, and takes them back where the company has an address for that.
pub(crate) fn sign_out(file: &Path, parsed: &Parsed, options: &SignOut) -> ExitCode {
    let account = match account(parsed, &options.name) {
        Ok(account) => Arc::clone(account),
        Err(code) => return code,
    };
    let keeper = TokenKeeper::of_command();
    let name = &account.name;
    let taken = match block_on(keeper.take_out(&account)) {
        Ok(Ok(taken)) => taken,
        Ok(Err(error)) => return fail(1, &format!("account {name} is still signed in: {}", error_chain(&error))),
        Err(error) => return fail(1, &error.to_string()),
    };
    // Before the company is asked, which may take its time.
    let _ = control::ask(file, &Request::SignedOut { account: name.clone() });
    let Some(tokens) = taken else {
        print(&format!("account {name} was not signed in\n"));
        return ExitCode::SUCCESS;
    };
    let revoked = match Authorize::new(&keeper, &account) {
        Ok(sign_in) => block_on(sign_in.revoke(&tokens)).ok().flatten(),
        // The settings have changed since the sign-in; what it was may not go to another company.
        Err(_) => None,
    };
    let at = account.oauth2.as_ref().map_or("the company", |issuer| issuer.title.as_str());
    print(&match revoked {
        Some(true) => format!("account {name} is signed out, and {at} has taken the sign-in back\n"),
        Some(false) => format!(
            "account {name} is signed out here; {at} could not be told, so remove ostler on its web page for connected programs\n"
        ),
        None => format!(
            "account {name} is signed out here; to end the sign-in at {at} too, remove ostler on its web page for connected programs\n"
        ),
    });
    ExitCode::SUCCESS
}

/// The terminal during a sign-in.
pub(super) struct Terminal {
    /// Whether the browser is opened; else the address is printed.
    pub(super) opens_browser: bool,
}

impl SignInUi for Terminal {
    fn open(&mut self, address: &str) {
        if self.opens_browser && open_in_browser(address) {
            tell("Your web browser opens. Sign in there and let ostler in.\n");
            tell(&format!("If it does not open, open this address in it yourself:\n{address}\n"));
            return;
        }
        tell("Open this address in a web browser on this computer, and sign in there:\n");
        print_as_it_is(&format!("{address}\n"));
    }

    fn show_code(&mut self, code: &DeviceCode) {
        tell("On any computer or phone, open the page, type the code, and sign in there:\n");
        print_as_it_is(&format!("{}\n{}\n", code.page, code.user_code));
        if let Some(page) = &code.page_with_code {
            tell(&format!("With the code in it already, the page is {page}\n"));
        }
    }

    fn say(&mut self, text: &str) {
        tell(&format!("{text}\n"));
    }
}

#[cfg(feature = "web")]
fn open_in_browser(address: &str) -> bool {
    webbrowser::open(address).is_ok()
}

#[cfg(not(feature = "web"))]
fn open_in_browser(_: &str) -> bool {
    false
}
