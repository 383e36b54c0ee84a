//! The sign-in by the user at a company that gives out OAuth2 access tokens: in the browser, or with a code typed on any device.
//! `ostler sign-in`, `ostler add` and the settings page use it, each with its own [`SignInUi`]. It ends with tokens that are
//! not stored yet, for a person who is the account's.
//!
//! Not here: what is said and how answers are read (`ostler_mail::oauth2`); tokens once they are stored (`proxy/tokens.rs`).

mod loopback;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::diagnose::sign_in_with;
use crate::os;
use crate::proxy::tokens::{NoToken, TokenKeeper, issuer_of};
use loopback::Loopback;
use ostler_mail::account::issuer::Issuer;
use ostler_mail::account::{Account, Alias, Server, Timeouts};
use ostler_mail::failure::Failure;
use ostler_mail::oauth2::Form;
use ostler_mail::oauth2::answer::{self, Answer, Grant};
use ostler_mail::oauth2::authorize::{Authorization, Heard, RANDOM_OCTETS};
use ostler_mail::oauth2::device::{self, DeviceCode, Polled};
use ostler_mail::oauth2::tokens::{Binding, Tokens, redact, servers_of};
use ostler_mail::secret::Secret;

/// How long the browser may take to come back: people look for a password, or for their phone.
const BROWSER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How the user signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a browser on this computer.
    Browser,
    /// With a code on any device.
    Device,
}

/// What a sign-in shows on its way.
pub(crate) trait SignInUi {
    /// The address that the user has to open in a browser on this computer.
    fn open(&mut self, address: &str);
    /// The code that the user has to type, and the page for it.
    fn show_code(&mut self, code: &DeviceCode);
    /// A sentence about what is going on.
    fn say(&mut self, text: &str);
}

/// Why a sign-in has failed. Each text says what to do, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInFailed {
    /// Something that `NoToken` has words for: no registration, no network.
    #[error("{0}")]
    NoToken(NoToken),
    /// No server of the account is one for which ostler keeps tokens.
    #[error(
        "account {account} does not sign in by OAuth2 with tokens of its own: no server of it has auth = \"oauth2\" and \
         password = \"keyring\""
    )]
    NotWanted {
        /// The account's name.
        account: String,
    },
    /// The company has no page or no code of this kind.
    #[error("{title} has no sign-in {way}; use the other way")]
    NoSuchWay {
        /// The company.
        title: String,
        /// `in a browser`, `with a code`.
        way: &'static str,
    },
    /// No port could be opened for the browser to come back to.
    #[error("ostler cannot open a port on this computer for the browser to come back to: {0}")]
    NoPort(#[from] std::io::Error),
    /// The system gives no random numbers.
    #[error("the system provides no random numbers")]
    NoRandom,
    /// The time is over.
    #[error("nobody signed in within {} minutes; start again when you are ready", limit.as_secs() / 60)]
    TooLate {
        /// The time limit.
        limit: Duration,
    },
    /// The user said no.
    #[error("{title} was told not to let ostler in; to change that, start again")]
    Denied {
        /// The company.
        title: String,
    },
    /// The company refuses.
    #[error("{title} refuses the sign-in: {words}{}", advice.map(|advice| format!("; {advice}")).unwrap_or_default())]
    Refused {
        /// The company.
        title: String,
        /// Its words.
        words: String,
        /// What to do, if the words tell.
        advice: Option<&'static str>,
    },
    /// The company is in trouble.
    #[error("{title} {words}; try again later")]
    Trouble {
        /// The company.
        title: String,
        /// What it did.
        words: String,
    },
    /// Another person has signed in.
    #[error(
        "you signed in as {who}, but account {account} is for {wanted}: nothing was kept; start again and sign in as {wanted}"
    )]
    AnotherPerson {
        /// Who has signed in.
        who: String,
        /// The account's name.
        account: String,
        /// Who should have.
        wanted: String,
    },
    /// No mail server takes the token.
    #[error(
        "{failure}. Either you signed in as another person than {wanted}, or mail programs are not let in there; nothing was kept"
    )]
    NotLetIn {
        /// The refusal of the first server.
        failure: Failure,
        /// Who should have signed in.
        wanted: String,
    },
}

impl From<NoToken> for SignInFailed {
    fn from(trouble: NoToken) -> Self {
        Self::NoToken(trouble)
    }
}

/// The tokens of a sign-in, and what there is to say about it.
pub(crate) struct SignedIn {
    pub(crate) tokens: Tokens,
    /// The servers that did not let the user in, although another one did.
    pub(crate) refusals: Vec<Failure>,
}

/// A sign-in for an account.
pub(crate) struct Authorize<'a> {
    keeper: &'a TokenKeeper,
    account: &'a Account,
    issuer: Arc<Issuer>,
}

impl<'a> Authorize<'a> {
    /// A sign-in for this account, if it wants one and ostler is registered at the company.
    pub(crate) fn new(keeper: &'a TokenKeeper, account: &'a Account) -> Result<Self, SignInFailed> {
        if servers_of(account).next().is_none() {
            return Err(SignInFailed::NotWanted { account: account.name.clone() });
        }
        let issuer = issuer_of(account).map_err(SignInFailed::NoToken)?;
        Ok(Self { keeper, account, issuer })
    }

    /// The company.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Has the user sign in. Whether the right person did is looked at where the company says it.
    pub(crate) async fn run(&self, way: Way, ui: &mut impl SignInUi) -> Result<Tokens, SignInFailed> {
        // Before the user goes to the company's page in vain.
        self.keeper.look_for_client_secret(self.account, &self.issuer).await?;
        let grant = match way {
            Way::Browser => self.in_browser(ui).await?,
            Way::Device => self.with_code(ui).await?,
        };
        let tokens = Tokens::new(grant, Binding::of(self.account, &self.issuer), os::unix_now());
        match tokens.who().filter(|who| !is_owner(self.account, who)) {
            None => Ok(tokens),
            Some(who) => {
                let (who, account, wanted) = (who.to_owned(), self.account.name.clone(), self.account.address.clone());
                self.revoke(&tokens).await;
                Err(SignInFailed::AnotherPerson { who, account, wanted })
            }
        }
    }

    /// As [`Self::run`]; where the company does not say who has signed in, the mail servers are asked. One that takes the token
    /// for the account's user is enough: others may be switched off in the provider's web page.
    pub(crate) async fn run_and_try(
        &self,
        way: Way,
        ui: &mut impl SignInUi,
        timeouts: &Timeouts,
    ) -> Result<SignedIn, SignInFailed> {
        let tokens = self.run(way, ui).await?;
        ui.say("Trying the mail servers ...");
        let (mut refusals, mut is_let_in) = (Vec::new(), tokens.who().is_some());
        for server in servers_of(self.account) {
            match self.try_server(server, &tokens, timeouts).await {
                Ok(()) => is_let_in = true,
                Err(failure @ Failure::TokenRefused { .. }) => refusals.push(failure),
                // Trouble says nothing about the person, and the sign-in need not be made again for it.
                Err(failure) => {
                    ui.say(&format!("{failure}"));
                    is_let_in = true;
                }
            }
        }
        match refusals.first().filter(|_| !is_let_in) {
            None => Ok(SignedIn { tokens, refusals }),
            Some(failure) => {
                let (failure, wanted) = (failure.clone(), self.account.address.clone());
                self.revoke(&tokens).await;
                Err(SignInFailed::NotLetIn { failure, wanted })
            }
        }
    }

    async fn try_server(&self, server: &Server, tokens: &Tokens, timeouts: &Timeouts) -> Result<(), Failure> {
        Box::pin(sign_in_with(server, Arc::clone(tokens.access()), timeouts)).await
    }

    /// Takes a sign-in back at the company. Returns whether it did; `None` if it has no address for that.
    pub(crate) async fn revoke(&self, tokens: &Tokens) -> Option<bool> {
        let url = self.issuer.revoke.as_ref()?;
        for form in tokens.revoke(&self.issuer) {
            match self.keeper.post(self.account, &self.issuer, url, form).await {
                Ok(reply) if reply.status == 200 => {}
                _ => return Some(false),
            }
        }
        Some(true)
    }

    fn scopes(&self) -> Vec<String> {
        self.issuer.scopes.needed(servers_of(self.account).map(|server| server.protocol))
    }

    async fn in_browser(&self, ui: &mut impl SignInUi) -> Result<Grant, SignInFailed> {
        let mut random = [0; RANDOM_OCTETS];
        if !os::random(&mut random) {
            return Err(SignInFailed::NoRandom);
        }
        let mut loopback = Loopback::open(self.issuer.redirect)?;
        let sign_in = Authorization::new(&self.issuer, loopback.port(), &random).map_err(|_| SignInFailed::NoRandom)?;
        let address = sign_in.address(&self.issuer, &self.scopes(), &self.account.address);
        let title = || self.issuer.title.clone();
        let address = address.ok_or_else(|| SignInFailed::NoSuchWay { title: title(), way: "in a browser" })?;
        ui.open(&address);
        ui.say(&format!("Waiting for you to sign in at {} ...", self.issuer.title));
        let deadline = Instant::now() + BROWSER_TIMEOUT;
        loop {
            let Some(visit) = loopback.visit(deadline).await else {
                return Err(SignInFailed::TooLate { limit: BROWSER_TIMEOUT });
            };
            match sign_in.hear(visit.request_line()) {
                Heard::Other => visit.answer_not_here().await,
                Heard::Foreign => visit.answer_foreign().await,
                Heard::Refused(refusal) => {
                    let failed = self.refused(&refusal.error, redact(&refusal.words(), sign_in.secrets()));
                    visit.answer_failed(&failed.to_string()).await;
                    return Err(failed);
                }
                Heard::Code(code) => {
                    // From here on no other answer is taken.
                    drop(loopback);
                    let secrets = [&code].into_iter().chain(sign_in.secrets());
                    let redeemed = self.ask_for_tokens(sign_in.redeem(&self.issuer, &code), secrets).await;
                    match &redeemed {
                        Ok(_) => visit.answer_done(&self.issuer.title).await,
                        Err(failed) => visit.answer_failed(&failed.to_string()).await,
                    }
                    return redeemed;
                }
            }
        }
    }

    async fn ask_for_tokens<'s>(
        &self,
        form: Form,
        secrets: impl IntoIterator<Item = &'s Secret>,
    ) -> Result<Grant, SignInFailed> {
        let reply = self.keeper.post(self.account, &self.issuer, &self.issuer.token, form).await?;
        match answer::read(reply.status, &reply.body) {
            Answer::Granted(grant) => Ok(grant),
            Answer::Refused(refusal) => Err(self.refused(&refusal.error, redact(&refusal.words(), secrets))),
            Answer::Trouble(words) => {
                Err(SignInFailed::Trouble { title: self.issuer.title.clone(), words: redact(&words, secrets) })
            }
        }
    }

    fn refused(&self, error: &str, words: String) -> SignInFailed {
        let title = self.issuer.title.clone();
        if error == "access_denied" {
            return SignInFailed::Denied { title };
        }
        let known = crate::diagnose::explain::advice_on_sign_in(&words);
        SignInFailed::Refused { title, words, advice: known }
    }

    async fn with_code(&self, ui: &mut impl SignInUi) -> Result<Grant, SignInFailed> {
        let title = || self.issuer.title.clone();
        let no_such_way = || SignInFailed::NoSuchWay { title: title(), way: "with a code" };
        let page = self.issuer.device.as_ref().ok_or_else(no_such_way)?;
        let form = device::ask_for_code(&self.issuer, &self.scopes());
        let reply = self.keeper.post(self.account, &self.issuer, page, form).await?;
        let code = device::read_code(reply.status, &reply.body);
        let mut code = code.map_err(|words| SignInFailed::Trouble { title: title(), words })?;
        ui.show_code(&code);
        ui.say(&format!("Waiting for the code to be typed at {} ...", self.issuer.title));
        let limit = code.lifetime;
        let polled = timeout(limit, self.poll(&mut code)).await;
        polled.unwrap_or(Err(SignInFailed::TooLate { limit }))
    }

    /// Asks at the company's pace until the code was typed, or is of no use any more.
    async fn poll(&self, code: &mut DeviceCode) -> Result<Grant, SignInFailed> {
        loop {
            sleep(code.interval).await;
            let form = code.ask(&self.issuer);
            let polled = match self.keeper.post(self.account, &self.issuer, &self.issuer.token, form).await {
                Ok(reply) => code.read(reply.status, &reply.body),
                // The network may come back before the code ends.
                Err(NoToken::Trouble(_)) => code.slow_down(),
                Err(trouble) => return Err(trouble.into()),
            };
            match polled {
                Polled::Pending => {}
                Polled::Granted(grant) => return Ok(grant),
                Polled::Denied => return Err(SignInFailed::Denied { title: self.issuer.title.clone() }),
                Polled::Expired => return Err(SignInFailed::TooLate { limit: code.lifetime }),
                Polled::Refused(refusal) => {
                    return Err(self.refused(&refusal.error, redact(&refusal.words(), [code.secret()])));
                }
            }
        }
    }
}

/// A sign-in whose tokens are not stored yet, while an account is added. Unless they are, it is taken back at the company, where
/// that has an address for it, so that no one is left with a sign-in that nothing uses.
pub(crate) struct Unkept {
    keeper: TokenKeeper,
    held: Mutex<Option<(Account, Arc<Tokens>)>>,
}

impl Unkept {
    /// Nothing yet.
    pub(crate) fn new(keeper: TokenKeeper) -> Self {
        Self { keeper, held: Mutex::default() }
    }

    fn replace(&self, new: Option<(Account, Arc<Tokens>)>) -> Option<(Account, Arc<Tokens>)> {
        std::mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), new)
    }

    /// The user has signed in for this account. An earlier sign-in is taken back.
    pub(crate) async fn hold(&self, account: Account, tokens: &Arc<Tokens>) {
        let old = self.replace(Some((account, Arc::clone(tokens))));
        self.revoke(old).await;
    }

    /// The tokens are stored.
    pub(crate) fn keep(&self) {
        self.replace(None);
    }

    /// Takes the sign-in back. The company that has taken it back, if it has.
    pub(crate) async fn take_back(&self) -> Option<String> {
        self.revoke(self.replace(None)).await
    }

    async fn revoke(&self, held: Option<(Account, Arc<Tokens>)>) -> Option<String> {
        let (account, tokens) = held?;
        let sign_in = Authorize::new(&self.keeper, &account).ok()?;
        (sign_in.revoke(&tokens).await == Some(true)).then(|| sign_in.issuer.title.clone())
    }
}

/// Whether this is the person for whom the account is.
fn is_owner(account: &Account, who: &str) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case(who);
    let users = servers_of(account).filter_map(Server::credentials).map(|credentials| credentials.username.as_str());
    let has_alias = account.aliases.iter().any(|alias| matches!(alias, Alias::Address(address) if is(address)));
    is(&account.address) || has_alias || users.into_iter().any(is)
}
