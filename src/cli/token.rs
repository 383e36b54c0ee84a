//! `ostler token`: prints the OAuth2 access token of an account, for another ostler that asks this one for it.

use std::process::ExitCode;

use clap::Args;

use crate::cli::sign_in::meant;
use crate::cli::{block_on, fail, print_as_it_is};
use crate::config::Parsed;
use crate::proxy::tokens::{NoToken, TokenKeeper};
use ostler_mail::failure::as_word;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The account; not needed if only one signs in this way
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Prints the token, renewed if it is due, and nothing else. Exit code 1 without one.
pub(crate) fn main(parsed: &Parsed, options: &Options) -> ExitCode {
    let account = match meant(parsed, options.name.as_deref(), "token") {
        Ok(account) => account,
        Err(code) => return code,
    };
    let keeper = TokenKeeper::of_command();
    match block_on(keeper.tokens(&account, None)) {
        Ok(Ok(tokens)) => {
            print_as_it_is(&format!("{}\n", tokens.access().text()));
            ExitCode::SUCCESS
        }
        Ok(Err(why)) => fail(1, &no_token_text(&account.name, &why)),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn no_token_text(account: &str, why: &NoToken) -> String {
    let advice = match why {
        NoToken::NeedsSignIn(_) => format!("; run: ostler sign-in {}", as_word(account)),
        NoToken::Trouble(_) | NoToken::Vault(_) => String::new(),
    };
    format!("there is no token for account {account}: {why}{advice}")
}
