//! The OAuth2 access tokens of ostler's accounts. They come from the keyring and are renewed before they end. One session renews
//! for all that wait, and one process at a time: most companies take a refresh token that is used twice for a stolen one.
//!
//! Not here: what is said to a company and what its answers mean (`ostler_mail::oauth2`); the sign-in by the user
//! (`setup/authorize`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::events::Events;
use crate::events::event::Event;
use crate::os;
use crate::proxy::net::dial::Dialer;
use crate::proxy::net::https::{self, HttpsTrouble, Reply, Request};
use crate::vault::{SecretStore, Vault, VaultError};
use ostler_mail::account::issuer::{ClientSecret, HttpsUrl, Issuer};
use ostler_mail::account::{Account, SecretSource, Settings};
use ostler_mail::clock::UnixTime;
use ostler_mail::failure::{Failure, ServerAddr};
use ostler_mail::oauth2::Form;
use ostler_mail::oauth2::answer::{self, Answer};
use ostler_mail::oauth2::tokens::{Binding, Tokens, servers_of};
use ostler_mail::secret::Secret;

/// How long a whole request for tokens may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take, and again its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer to a request. Real ones have some thousand octets.
const MAX_ANSWER_OCTETS: usize = 1024 * 1024;

/// Why tokens may not be used with the settings as they are.
const MADE_FOR_OTHERS: &str = "the settings name another server, registration or company than at the last sign-in";

/// Why there is no access token.
#[derive(Debug, Clone)]
pub(crate) enum NoToken {
    /// The user has to sign in. The words follow "sign in again:".
    NeedsSignIn(String),
    /// Trouble that may pass, in words.
    Trouble(String),
    /// The keyring has trouble.
    Vault(Arc<VaultError>),
}

impl NoToken {
    /// The same as a failure at a server.
    pub(crate) fn at(self, account: &Account, at: ServerAddr) -> Failure {
        let account = account.name.clone();
        match self {
            Self::NeedsSignIn(why) => Failure::NeedsSignIn { account, at, why },
            Self::Trouble(why) => Failure::NoToken { account, at, why },
            Self::Vault(error) => super::failure_of(&error, Some(at)),
        }
    }
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsSignIn(why) | Self::Trouble(why) => f.write_str(why),
            Self::Vault(error) => error.fmt(f),
        }
    }
}

/// Hands out access tokens. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct TokenKeeper {
    vault: Vault,
    dialer: Arc<Dialer>,
    accounts: Arc<Mutex<HashMap<String, Arc<Cell>>>>,
    /// Counts the sign-outs. A connection that was signed in before the last one is not used again.
    sign_outs: watch::Sender<u64>,
    events: Events,
}

/// What is kept for one account. The lock is held during a renewal.
type Cell = tokio::sync::Mutex<Kept>;

#[derive(Default)]
struct Kept {
    /// The newest tokens that are known.
    tokens: Option<Arc<Tokens>>,
    /// `tokens` could not be stored. The keyring has older ones, which the company no longer takes.
    is_unsaved: bool,
    /// The tokens that the company has ended for good, and why. They are not tried again.
    ended: Option<(Arc<Tokens>, String)>,
    /// When the last attempt failed, and why. The sessions that waited for it get the same answer.
    failed: Option<(Instant, NoToken)>,
}

impl TokenKeeper {
    /// Keeps tokens in this vault, renews them over this dialer, and publishes each renewal.
    pub(crate) fn new(vault: Vault, dialer: Arc<Dialer>, events: Events) -> Self {
        Self { vault, dialer, accounts: Arc::default(), sign_outs: watch::Sender::new(0), events }
    }

    /// For a command. Nothing reads its events.
    pub(crate) fn of_command() -> Self {
        Self::new(Vault::new(), Arc::default(), Events::default())
    }

    /// The tokens of an account, renewed if they are due or if a mail server has refused `refused`.
    pub(crate) async fn tokens(
        &self,
        account: &Account,
        refused: Option<&Arc<Secret>>,
    ) -> Result<Arc<Tokens>, NoToken> {
        let issuer = issuer_of(account)?;
        if self.vault.is_in_memory() {
            // A trial. The new refresh token would be lost with the trial, and the sign-in with it.
            let stored = self.stored(account).await.map_err(|error| NoToken::Vault(Arc::new(error)))?;
            let missing = || NoToken::NeedsSignIn(format!("you have not signed in at {} yet", issuer.title));
            return stored.map(Arc::new).ok_or_else(missing);
        }
        let began = Instant::now();
        let cell = self.cell(&account.name);
        let (keeper, account, refused) = (self.clone(), account.clone(), refused.cloned());
        // In a task of its own: a client that hangs up must not end a renewal whose answer is on its way.
        let renewal = tokio::spawn(async move {
            let mut kept = cell.lock().await;
            let request = Renewal { keeper: &keeper, account: &account, issuer: &issuer, refused: refused.as_deref() };
            let result = request.run(&mut kept, began).await;
            kept.failed = result.as_ref().err().map(|trouble| (Instant::now(), trouble.clone()));
            result
        });
        renewal.await.unwrap_or_else(|_| Err(NoToken::Trouble("ostler ends".into())))
    }

    /// Whether a token that a mail server has refused can be renewed.
    pub(crate) fn can_renew(&self) -> bool {
        !self.vault.is_in_memory()
    }

    /// When the token ends that an account has in memory; `None` if there is none, or it is being renewed.
    pub(crate) fn good_until(&self, account: &str) -> Option<UnixTime> {
        self.cell(account).try_lock().ok()?.tokens.as_ref()?.expires()
    }

    /// Drops the tokens in memory, because the user has signed in or out or removed the account, here or in another process. A
    /// renewal under way goes on, for those who wait for it.
    pub(crate) fn forget(&self, account: &str) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    /// As [`Self::forget`], and ends the SMTP sessions that wait for the next message.
    pub(crate) fn sign_out(&self, account: &Account) {
        self.forget(&account.name);
        self.sign_outs.send_modify(|count| *count += 1);
    }

    /// Reports each account whose tokens may not be used with the new settings, so that the user hears of it before a client does.
    pub(crate) async fn look_at_changes(&self, old: &Settings, new: &Settings) {
        let binding = |account: &Account| issuer_of(account).ok().map(|issuer| Binding::of(account, &issuer));
        for account in &new.accounts {
            let before = old.accounts.iter().find(|before| before.name == account.name);
            let (Some(before), Some(now), Some(server)) = (before, binding(account), servers_of(account).next()) else {
                continue;
            };
            if binding(before).as_ref() == Some(&now) {
                continue;
            }
            if let Ok(Some(tokens)) = self.stored(account).await
                && !tokens.may_serve(&now)
            {
                let failure = NoToken::NeedsSignIn(MADE_FOR_OTHERS.into()).at(account, server.into());
                self.events.publish(Event::Failed(Some(account.name.clone()), failure));
            }
        }
    }

    /// The number of sign-outs so far, which changes at the next one.
    pub(crate) fn sign_outs(&self) -> watch::Receiver<u64> {
        self.sign_outs.subscribe()
    }

    /// The tokens that the keyring has, without a renewal.
    pub(crate) async fn stored(&self, account: &Account) -> Result<Option<Tokens>, VaultError> {
        let stored = self.vault.tokens(account).await?;
        Ok(stored.and_then(|bytes| Tokens::from_bytes(&bytes)))
    }

    /// Stores the tokens of a new sign-in.
    pub(crate) async fn keep(&self, account: &Account, tokens: &Tokens) -> Result<(), VaultError> {
        let _turn = self.vault.wait_for_tokens(account).await;
        self.vault.store_tokens(account, tokens.to_bytes()).await?;
        self.forget(&account.name);
        Ok(())
    }

    /// Takes the tokens out of the keyring, and gives them back to be revoked.
    pub(crate) async fn take_out(&self, account: &Account) -> Result<Option<Tokens>, VaultError> {
        let _turn = self.vault.wait_for_tokens(account).await;
        let stored = match self.stored(account).await {
            // Without a keyring, an account that signs in by passwords has no tokens anywhere.
            Err(VaultError::NoKeyring { .. }) if servers_of(account).next().is_none() => return Ok(None),
            stored => stored?,
        };
        self.vault.forget_tokens(account).await?;
        self.forget(&account.name);
        Ok(stored)
    }

    /// Checks that the secret of ostler's registration at a company can be read, if it has one.
    pub(crate) async fn look_for_client_secret(&self, account: &Account, issuer: &Issuer) -> Result<(), NoToken> {
        if let Some(ClientSecret::Kept(source)) = &issuer.client_secret {
            self.client_secret(account, issuer, source).await?;
        }
        Ok(())
    }

    async fn client_secret(
        &self,
        account: &Account,
        issuer: &Issuer,
        source: &SecretSource,
    ) -> Result<Arc<Secret>, NoToken> {
        let found = self.vault.client_secret(account, issuer, source).await;
        found.map_err(|error| NoToken::Vault(Arc::new(error)))
    }

    /// Sends a form to one of a company's addresses, with the secret of ostler's registration.
    pub(crate) async fn post(
        &self,
        account: &Account,
        issuer: &Issuer,
        url: &HttpsUrl,
        form: Form,
    ) -> Result<Reply, NoToken> {
        let form = match &issuer.client_secret {
            None => form,
            Some(ClientSecret::BuiltIn(secret)) => form.with("client_secret", secret.as_bytes()),
            Some(ClientSecret::Kept(source)) => {
                form.with("client_secret", self.client_secret(account, issuer, source).await?.expose())
            }
        };
        debug!("{}: POST {}", url.host(), url.path());
        let request = Request {
            url,
            trust: &issuer.trust,
            accept: "application/json",
            form: Some(form.as_str()),
            max_octets: MAX_ANSWER_OCTETS,
        };
        let host = url.host();
        let asked = timeout(REQUEST_TIMEOUT, https::ask(&self.dialer, request, CONNECT_TIMEOUT)).await;
        let trouble = match asked {
            Ok(Ok(reply)) => {
                debug!("{host}: {}", reply.status);
                return Ok(reply);
            }
            Err(_) => format!("{host} did not answer within {} s", REQUEST_TIMEOUT.as_secs()),
            Ok(Err(HttpsTrouble::NotReached(failure))) => failure.sentence(),
            Ok(Err(HttpsTrouble::NotHttp)) => format!("{host} does not answer as a web server does"),
            Ok(Err(HttpsTrouble::TooLong)) => {
                format!("the answer of {host} is longer than {} KB", MAX_ANSWER_OCTETS / 1024)
            }
            Ok(Err(HttpsTrouble::BrokeOff)) => format!("{host} broke off in the middle of its answer"),
        };
        Err(NoToken::Trouble(trouble))
    }

    fn cell(&self, account: &str) -> Arc<Cell> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_default())
    }
}

/// The company of an account, if ostler is registered there.
pub(crate) fn issuer_of(account: &Account) -> Result<Arc<Issuer>, NoToken> {
    let Some(issuer) = &account.oauth2 else {
        let why = "the settings do not say at which company: oauth2 = \"microsoft\" or the like is missing";
        return Err(NoToken::NeedsSignIn(why.into()));
    };
    if issuer.client_id.is_none() {
        return Err(NoToken::NeedsSignIn(not_registered(issuer)));
    }
    Ok(Arc::clone(issuer))
}

/// What a user is told where ostler is not registered at a company.
pub(crate) fn not_registered(issuer: &Issuer) -> String {
    match registration_guide(&issuer.name) {
        Some(guide) => format!(
            "{} wants programs to be registered, and this ostler is not: `ostler guide {guide}` says what to do",
            issuer.title
        ),
        None => format!(
            "{} wants programs to be registered, and ostler is not; put the id of a registration of yours into the settings: [oauth2.{}] client_id",
            issuer.title, issuer.name
        ),
    }
}

/// The guide that says how to get a registration at a company.
pub(crate) fn registration_guide(issuer: &str) -> Option<&'static str> {
    match issuer {
        "microsoft" => Some("oauth2-microsoft"),
        "google" => Some("oauth2-google"),
        "yahoo" | "aol" => Some("oauth2-yahoo"),
        _ => None,
    }
}

/// One session that wants tokens.
struct Renewal<'a> {
    keeper: &'a TokenKeeper,
    account: &'a Account,
    issuer: &'a Issuer,
    refused: Option<&'a Secret>,
}

impl Renewal<'_> {
    async fn run(&self, kept: &mut Kept, began: Instant) -> Result<Arc<Tokens>, NoToken> {
        let binding = Binding::of(self.account, self.issuer);
        let in_memory = kept.tokens.clone().filter(|tokens| !kept.is_unsaved && tokens.may_serve(&binding));
        if let Some(tokens) = in_memory.filter(|tokens| self.is_good(tokens, os::unix_now())) {
            return Ok(tokens);
        }
        if let Some((_, trouble)) = kept.failed.as_ref().filter(|(when, _)| *when >= began) {
            return Err(trouble.clone());
        }
        let _turn = self.keeper.vault.wait_for_tokens(self.account).await;
        let tokens = self.read(kept, &binding).await?;
        if self.is_good(&tokens, os::unix_now()) {
            return Ok(tokens);
        }
        if let Some((_, why)) = kept.ended.as_ref().filter(|(ended, _)| ended.has_refresh_of(&tokens)) {
            return Err(NoToken::NeedsSignIn(why.clone()));
        }
        match self.renew(kept, &tokens).await {
            // A token that is about to end is better than none.
            Err(NoToken::Trouble(why)) if self.refused.is_none() && tokens.is_alive(os::unix_now()) => {
                debug!("{why}; the old token is used as long as it is good");
                Ok(tokens)
            }
            done => done,
        }
    }

    /// Whether the tokens can be used without a renewal.
    fn is_good(&self, tokens: &Tokens, now: UnixTime) -> bool {
        let is_refused = self.refused.is_some_and(|refused| refused.is(tokens.access().expose()));
        !is_refused && !tokens.is_due(now)
    }

    /// The newest tokens: those of the keyring, unless newer ones could not be stored there.
    async fn read(&self, kept: &mut Kept, binding: &Binding) -> Result<Arc<Tokens>, NoToken> {
        if let Some(unsaved) = kept.tokens.clone().filter(|_| kept.is_unsaved) {
            self.store(&unsaved).await?;
            kept.is_unsaved = false;
        }
        let vault_trouble = |error| NoToken::Vault(Arc::new(error));
        let Some(bytes) = self.keeper.vault.tokens(self.account).await.map_err(vault_trouble)? else {
            kept.tokens = None;
            return Err(NoToken::NeedsSignIn(format!("you have not signed in at {} yet", self.issuer.title)));
        };
        let tokens = Tokens::from_bytes(&bytes).map(Arc::new);
        kept.tokens.clone_from(&tokens);
        match tokens {
            None => Err(NoToken::NeedsSignIn(format!(
                "what {} has of the last sign-in is damaged",
                SecretStore::of_this_ostler()
            ))),
            Some(tokens) if !tokens.may_serve(binding) => Err(NoToken::NeedsSignIn(MADE_FOR_OTHERS.into())),
            Some(tokens) => Ok(tokens),
        }
    }

    async fn renew(&self, kept: &mut Kept, old: &Arc<Tokens>) -> Result<Arc<Tokens>, NoToken> {
        let Some(form) = old.renew(self.issuer) else { return self.use_to_the_end(old) };
        let reply = self.keeper.post(self.account, self.issuer, &self.issuer.token, form).await?;
        match answer::read(reply.status, &reply.body) {
            Answer::Granted(grant) => {
                self.keeper.events.publish(Event::TokensRenewed(self.account.name.clone()));
                let tokens = Arc::new(old.renewed(grant, os::unix_now()));
                // The old refresh token may be void from now on, so the new one is kept whatever happens.
                (kept.tokens, kept.is_unsaved) = (Some(Arc::clone(&tokens)), true);
                self.store(&tokens).await?;
                kept.is_unsaved = false;
                Ok(tokens)
            }
            Answer::Refused(refusal) if refusal.is_final() => {
                let words = old.redact(&refusal.words());
                let why = format!("{} no longer lets ostler in ({words})", self.issuer.title);
                kept.ended = Some((Arc::clone(old), why.clone()));
                Err(NoToken::NeedsSignIn(why))
            }
            Answer::Refused(refusal) => Err(self.trouble(old, &format!("refuses: {}", refusal.words()))),
            Answer::Trouble(words) => Err(self.trouble(old, &words)),
        }
    }

    /// Tokens that cannot be renewed, as long as they are good.
    fn use_to_the_end(&self, tokens: &Arc<Tokens>) -> Result<Arc<Tokens>, NoToken> {
        if self.refused.is_none() && tokens.is_alive(os::unix_now()) {
            return Ok(Arc::clone(tokens));
        }
        let why = format!("{} has let ostler in for a short time only, which is over", self.issuer.title);
        Err(NoToken::NeedsSignIn(why))
    }

    fn trouble(&self, old: &Tokens, words: &str) -> NoToken {
        NoToken::Trouble(format!("{} {}", self.issuer.token.host(), old.redact(words)))
    }

    async fn store(&self, tokens: &Tokens) -> Result<(), NoToken> {
        let stored = self.keeper.vault.store_tokens(self.account, tokens.to_bytes()).await;
        stored.map_err(|error| NoToken::Vault(Arc::new(error)))
    }
}
