//! What servers and TLS libraries say when something ordinary goes wrong, and what to do about it. The one table that
//! decides what a refusal means: for the reply a mail program gets (`advice.rs`), and for `ostler check` and its
//! `--explain`, which add from `config/explanations.toml` what happened and why.
//!
//! The first entry that fits wins, so what is more precise stands further up: a limit before the password that it is
//! easily taken for. The order is that of `config/explanations.toml`. Each pattern has the words that carry the meaning,
//! not a whole sentence, because every release of a server words it a little differently.
//!
//! Sources of the words: the published code of Postfix, Exim, Sendmail, qmail, Courier, Cyrus, Dovecot and of libraries for
//! TLS, the providers' own lists of their replies, and reports of users that quote them; `tests/field/wordings.tsv` has them
//! with the source of each.

use super::wording::Text;

/// What was going on when the words were said. The same words may mean different things: "no such user" is the recipient
/// when sending, and the user's own name when signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The greeting, or a sign-in at either server.
    SignIn,
    /// Commands of POP3 after the sign-in.
    Fetch,
    /// A session in which nothing is sent, so that a mailbox is the user's own.
    OwnMailbox,
    /// MAIL, RCPT and DATA.
    Send,
    /// A TLS handshake.
    Tls,
    /// Any of these.
    Any,
}

impl Stage {
    /// Where the answer to a sign-in is said.
    pub const OF_SIGN_IN: [Self; 2] = [Self::SignIn, Self::OwnMailbox];
    /// Where a server refuses service: at the greeting, and where `ostler check` asks for the count of messages or rehearses
    /// a send.
    pub const OF_SERVICE: [Self; 3] = [Self::SignIn, Self::Fetch, Self::Send];
}

/// A cause, and the words that mean it.
#[derive(Debug)]
pub struct KnownWords {
    /// The id in `config/explanations.toml`.
    pub cause: &'static str,
    /// What to do, printable ASCII without a full stop; NAME stands for the account's name. `None` where the kind of
    /// failure says as much as the words do.
    pub advice: Option<&'static str>,
    /// The patterns (see `wording.rs`), and where they mean this.
    words: &'static [(Stage, &'static [&'static str])],
    /// Servers whose refused sign-in means this when their words mean nothing special.
    pub hosts: &'static [&'static str],
    /// The words have several meanings, so the name of the server knows more.
    pub is_vague: bool,
    /// Patterns that mean another cause, whatever else is said: greylisting says "try again later", and so does a server
    /// that is out of order.
    unless: &'static [&'static str],
}

impl KnownWords {
    /// The part of the text that means this at one of these stages.
    pub fn find(&self, text: &Text, stages: &[Stage]) -> Option<String> {
        let fits = |stage: &Stage| stages.contains(stage) || *stage == Stage::Any && !stages.is_empty();
        let mut found = self.words.iter().filter(|(stage, _)| fits(stage));
        found.find_map(|(_, patterns)| text.first_of(patterns)).filter(|_| !text.has_any(self.unless))
    }

    /// All patterns that mean this.
    pub fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().flat_map(|(_, patterns)| patterns.iter().copied())
    }

    fn has_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// The entry of a cause.
pub fn of_cause(cause: &str) -> Option<&'static KnownWords> {
    KNOWN_WORDS.iter().find(|known| known.cause == cause)
}

/// What the words mean at one of these stages, if that is more than the kind of failure says.
pub(super) fn by_words(said: &str, stages: &[Stage]) -> Option<&'static KnownWords> {
    let text = Text::new(said);
    KNOWN_WORDS.iter().find(|known| known.advice.is_some() && known.find(&text, stages).is_some())
}

/// What a refused sign-in means at this server. Some providers refuse in words that say nothing; their name is the hint.
pub(super) fn of_refused_sign_in(host: &str, said: &str) -> Option<&'static KnownWords> {
    let by_words = by_words(said, &Stage::OF_SIGN_IN);
    match by_words {
        Some(known) if !known.is_vague => Some(known),
        _ => KNOWN_WORDS.iter().find(|known| known.has_host(host)).or(by_words),
    }
}

use Stage::{Any, Fetch, OwnMailbox, Send, SignIn, Tls};

/// An entry; what most entries do not have is empty.
const fn known(
    cause: &'static str,
    advice: &'static str,
    words: &'static [(Stage, &'static [&'static str])],
) -> KnownWords {
    KnownWords { cause, advice: Some(advice), words, hosts: &[], is_vague: false, unless: &[] }
}

/// An entry whose kind of failure has the advice.
const fn general(cause: &'static str, words: &'static [(Stage, &'static [&'static str])]) -> KnownWords {
    KnownWords { cause, advice: None, words, hosts: &[], is_vague: false, unless: &[] }
}

impl KnownWords {
    const fn at(self, hosts: &'static [&'static str]) -> Self {
        Self { hosts, ..self }
    }

    const fn vague(self) -> Self {
        Self { is_vague: true, ..self }
    }

    const fn unless(self, unless: &'static [&'static str]) -> Self {
        Self { unless, ..self }
    }
}

const UNKNOWN_COMMAND: &[&str] = &[
    "{unknown|unrecognized|unrecognised|unimplemented|unsupported|invalid|bad} {smtp |pop3 |pop |}command",
    "command {is |was |}{not recognized|not recognised|not implemented|not supported|not understood|unrecognized|unrecognised|unknown|not known|not valid|unimplemented}",
    "{500|502}{ |-}5.5.{1|2}",
    "{-err|err|responded:} {unimplemented|not implemented}",
];

const GREYLISTED: &str = "{greylisted|greylisting|graylisted|graylisting|greylist|graylist|grey-listed|grey-listing|grey listed|grey listing}";

/// The table.
pub static KNOWN_WORDS: &[KnownWords] = &[
    // What ostler's own kinds of failure say as well. Their words count only where nothing more precise is found.
    general(
        "hung-up",
        &[
            (Tls, &["{without|before} * close_notify", "{without|missing|no} close_notify", "unexpected eof",
                "eof occurred in violation",
                "non-properly terminated",
                "packet with unexpected length",
                "error in the pull function",
                "{closed connection during|closed|terminated} {the |}handshake",
                "ssl_connect: connection reset",
                "{pr_end_of_file_error|pr_connect_reset_error}",
                "{-9805|-9806|-9816}",
            ]),
            (SignIn, &["remote host closed connection"]),
        ],
    ),
    general(
        "not-tls",
        &[(
            Tls,
            &[
                "wrong version number",
                "{ssl|ssl23|ssl3|tls}~ * unknown protocol",
                "invalidcontenttype",
                "invalid content type",
                "record{ |_}too{ |_}long",
                "ssl * http request",
                "packet length too long",
                "unexpected tls packet",
                "not {a |an |}{ssl|tls} {connection|message|record}",
                "not look like a {tls|ssl}",
                "{0x|}80090308",
                "{0x|}80090326",
                "record layer failure",
                "bad hello request",
                "unexpected packet format",
                "cannot determine the frame size",
                "{unrecognized|unsupported or unrecognized} ssl message",
                "record packet with illegal version",
                "sec_e_{illegal_message|invalid_token}",
            ],
        )],
    ),
    general(
        "certificate-expired",
        &[(
            Tls,
            &[
                "certificate {has |is |was |}expired",
                "certificate: expired",
                "certificateexpired",
                "expired certificate",
                "{cert|certificate}{_| |}expired",
                "expired{_| |}certificate",
                "not within its validity period",
                "{0x|}800b0101",
                "-9814",
                "{certexpired|certnotvalidattime|certificateexpiredexception|errsslcertexpired|nottimevalid}",
                "cert{_|_e_|_has_}expired",
                "expired_{cert_alert|issuer_certificate}",
                "certificate {that |}has expired",
                "chain uses expired",
                "validity check failed",
                "{0x|}80090328",
                "-9828",
            ],
        )],
    ),
    general(
        "certificate-not-yet",
        &[(Tls, &["certificate {is |}not yet valid", "notvalidyet", "not{_| |}yet{_| |}valid", "-9815",
                "certnotvalidyet",
                "not yet activated",
            ])],
    ),
    general(
        "certificate-name",
        &[(
            Tls,
            &[
                "notvalidforname",
                "not valid for name",
                "{hostname|host name} {mismatch|does not match|doesn't match}",
                "certificate * {does not|doesn't|did not} match",
                "certificate * {not valid for|only valid for|belongs to a different}",
                "bad{_| |}cert{_| |}domain",
                "cn name does not match",
                "name on the * certificate * invalid",
                "target principal name is incorrect",
                "{0x|}800b010f",
                "{0x|}80090322",
                "-9843",
                "certnotvalidforname",
                "no alternative certificate subject name",
                "no subject alternative {dns |ip |}{name|names|address} {matching|present|found}",
                "no name matching",
                "{hostname|host name} * {does not|doesn't} match",
                "ip address mismatch",
                "{altname_invalid|cert_e_cn_no_match|sec_e_wrong_principal}",
                "certificate's altnames",
                "certificate {host |}{name |}mismatch",
                "certificate is valid for",
                "doesn't contain any ip sans",
                "{remotecertificatenamemismatch|errsslhostnamemismatch}",
                "name on the security certificate is invalid",
                "name in the certificate is invalid",
            ],
        )],
    )
    .unless(&[
        "requested usage",
    ]),
    general(
        "certificate-self-signed",
        &[(Tls, &["self{-| }signed {certificate|cert}", "certificate {is |}self{-| }signed",
                "self_signed_cert",
                "because it is self{-| }signed",
            ])],
    )
    .unless(&[
        "in {the |}{certificate |}chain",
        "in_chain",
    ]),
    general(
        "certificate-issuer",
        &[(
            Tls,
            &[
                "unknown{ |_|}issuer",
                "unknown{ |_|}ca",
                "unable to get {local |}issuer {certificate|cert}",
                "unable to verify the first certificate",
                "self{-| }signed certificate in certificate chain",
                "certificate verify failed",
                "certificate issuer {is not recognized|is unknown}",
                "issuer {is |}not {trusted|recognized|found}",
                "untrusted{_| |}{root|issuer}",
                "root certificate * {not trusted|not installed}",
                "certificate {is |}not trusted",
                "certificate * {could not|cannot|can't} be verified",
                "{cannot|can't} verify the identity of",
                "{0x|}800b0109",
                "{0x|}80090325",
                "-9807",
                "-9812",
                "-9813",
                "chain could not be {built|verified}",
                "{0x|}800b010a",
                "cert_e_{chaining|untrustedroot}",
                "authority that is not trusted",
                "{partial_chain|partialchain|untrustedroot|remotecertificatechainerrors}",
                "certificate verification failed",
                "error in the certificate verification",
                "signed by {an |}unknown authority",
                "valid certification path",
                "remote certificate {is invalid|was rejected}",
                "ca_cert_invalid",
                "{cert|certificate} chain{:|} {is |}not trusted",
                "{-9831|-9841}",
            ],
        )],
    )
    .unless(&[
        "chain is revoked",
        "signature {in|of} the certificate",
        "insecure algorithm",
    ]),
    general(
        "certificate-bad",
        &[(
            Tls,
            &[
                "certificate {has been |is |was |}revoked",
                "certificaterevoked",
                "badcertificate",
                "alert bad certificate",
                "bad{_| |}certificate",
                "causedasendentity",
                "ca used as end entity",
                "invalid peer certificate: bad~",
                "-9825",
                "certificate{ |}unknown",
                "unsupported certificate",
                "{unsupported|unsuitable} certificate purpose",
                "certificate signature failure",
                "{unsupportedcertversion|invalidpurpose}",
                "peer certificate: revoked",
                "certificate is bad",
                "chain is revoked",
                "signature {in|of} the certificate",
                "certificate * requested usage",
                "{0x|}800b01{0c|10}",
                "{0x|}80096004",
                "{0x|}80090327",
                "{0x|}80092010",
                "revoked{_| |}certificate",
                "error_bad_signature",
                "bad_cert_alert",
                "inadequate{_| |}cert{_| |}type",
                "processing the certificate",
                "{-9808|-9826|-9827|-9829}",
            ],
        )],
    )
    .unless(&[
        "certificate issuer {is |}unknown",
    ]),
    general(
        "tls-trouble",
        &[(
            Tls,
            &[
                "tls handshake eof",
                "tls alert * internal error",
                "tlsv1 alert internal error",
                "received fatal alert: internalerror",
                "received fatal alert: decode~",
                "ssl_error_syscall",
                "tls fatal alert has been received",
                "alert {decrypt error|decode error|bad record mac|illegal parameter|unexpected message}",
                "decryption failed or bad record mac",
                "routines{:|::}unexpected message",
                "unexpected message: got",
                "peer misbehaved",
                "cannot decrypt peer",
                "received fatal alert: {decrypterror|illegalparameter|unexpectedmessage|accessdenied}",
                "errsslprotocol",
                "{-9800|-9802|-9810|-9819|-9820|-9821|-9830|-9833|-9834|-9838|-9845|-9846}",
            ],
        )],
    ),
    general(
        "in-use",
        &[(
            SignIn,
            &[
                "[in-use]",
                "{maildrop|mailbox|mail drop|mail box|folder|inbox} {is |}{already |currently |}{locked|in use|busy|open}",
                "{unable to|can't|cannot|could not|couldn't|failed to} {lock|get lock|get exclusive lock|acquire lock}",
                "{maildrop|mailbox|pop} lock {busy|exists|is held|held}",
                "lock~ by another",
                "another {pop |pop3 |}{session|client|program|connection}",
                "{being read already|already being read}",
                "{-err|err|responded:} * already logged {in|on}",
                "{unable to|can't|cannot|could not|couldn't|failed to} {obtain|aquire|acquire|get} {a |an |the |}{exclusive |}{lock|access}",
                "{account|user} is {already |currently |}in use",
                "{mailbox|maildrop} {is |}already {open|opened|locked}",
                "lock file exists",
            ],
        )],
    ),
    general(
        "login-delay",
        &[(
            SignIn,
            &[
                "[login-delay]",
                "minimum {time|interval|delay} between {login|logon|check|connection}~",
                "minimum login {delay|interval}",
                "{login|logon} {delay|interval}",
                "wait * between {logins|checks|connections}",
                "{check|checked|checking|poll|polled|polling} {mail |your mail |for mail |for new mail |}too {often|frequently|soon}",
                "{last|previous} {login|logon|check} * too recent~",
                "{allowed|permitted|possible} {only |once |only once |}every # {minute|second|hour}~",
                "only {check|be checked|log in} * every # {minute|second|hour}~",
                "checked {only |}once {every|in|per} # {minute|second|hour}~",
                "minimum {time|interval|delay} between {mail|pop|pop3} {check|login|connection|session}~",
            ],
        )],
    ),
    general(
        "postponed",
        &[(SignIn, &["[sys/temp]", "454 4.7.0", "temporary authentication failure",
                "{unable to|cannot|can't|could not} authenticate {you |}at {present|this time|the moment}",
            ])],
    ),
    general(
        "password-refused",
        &[(
            SignIn,
            &[
                "[auth]",
                "535{ |-}5.7.#",
                "535 * {authentication|authorization|authorisation|auth|authenticate|login|logon|password|credentials|username|user}",
                "authentication credentials invalid",
                "invalid login or password",
                "{-err|err|responded:} * {invalid|incorrect|bad|wrong|unknown|illegal} {user|username|user name|password|login|logon|auth|authentication|credentials|account|mailbox|user id|userid}",
                "{-err|err|responded:} * {user|username|user name|password|login|logon|authentication|authorization|authorisation|credentials|account|userid|user id|mailbox} {is |was |has |}{invalid|incorrect|wrong|unknown|failed|failure|fail|not found|not known|rejected|error|denied|not valid|mismatch|does not exist|doesn't exist|unsuccessful|refused|not accepted}",
                "{-err|err|responded:} * no such {user|mailbox|account|username}",
                "{-err|err|responded:} * {access denied|permission denied|not authorized|not authorised|bad login|bad logon}",
                "{-err|err|responded:} * password supplied",
                "{-err|err|responded:} * {not a valid user|no mailbox for|has no mailbox here|not correct}",
                "{-err|err|responded:} * {could not|cannot|can't|unable to} {authenticate|log on|log in|login}",
                "{-err|err|responded:} pass command failed",
            ],
        )],
    ),
    general(
        "too-big",
        &[(
            Send,
            &[
                "message size exceed~",
                "message {is |was |}too {big|large}",
                "{mail|email|e-mail|file|body|data} {is |}too {big|large}",
                "exceed~ * {message|maximum|max|fixed|mail} size",
                "exceed~ * {message |}size {limit|maximum}~",
                "{message|mail|email|e-mail} size {limit|is too|too|larger|bigger}",
                "maximum message size",
                "size of * exceed~ * {limit|maximum|allowed}",
                "databytes limit",
                "{552|523|550|554}{ |-}5.3.4",
                "552{ |-}5.2.3",
                "message {is |}larger than {#|allowed|the|maximum|permitted}",
                "too much mail data",
            ],
        )],
    ),
    // TLS, in the words of libraries
    known(
        "no-common-encryption",
        "let the mail program go through ostler (127.0.0.1, SSL off), which has modern encryption; if ostler itself says this, ask the provider for a newer server",
        &[
            (
                Any,
                &[
                    "tls 1.{0|1} * not supported",
                ],
            ),(
            Tls,
            &[
                "handshake{ |_|}fail~",
                "no shared cipher",
                "no{_| |}{cypher|cipher}{_| |}overlap",
                "nociphersuitesincommon",
                "protocol{_| |}version",
                "protocolversion",
                "unsupported {ssl |tls |}{protocol|version}",
                "unsupported{_| |}version",
                "{ssl|tls}~ * {version|protocol} {is |}{too low|too old|not supported|disabled}",
                "common {encryption |}algorithm~",
                "{0x|}80090331",
                "servertlsversionisdisabled~",
                "serverdoesnotsupporttls~",
                "peer is incompatible",
                "{dh|ee|ca} {key|md} too {small|weak}",
                "weak * {ephemeral|diffie}",
                "unsafe legacy renegotiation",
                "insufficient{_| |}security",
                "insufficientsecurity",
                "inappropriate{_| |}fallback",
                "-9836",
                "-9824",
                "-9801",
                "no {ciphers available|supported cipher suites|protocols available|appropriate protocol}",
                "legacy sigalg",
                "no suitable {signature algorithm|key share|digest algorithm}",
                "{certificate key|digest algorithm} too weak",
                "wrong signature type",
                "diffie-hellman prime",
                "insecure algorithm",
                "no or insufficient priorities",
                "negotiate a supported cipher",
                "ssl2_disabled",
                "signature_algorithm_disabled",
                "inadequate_key_size",
                "errsslnegotiation",
                "{-9818|-9837|-9850}",
            ],
        )],
    )
    .unless(&[
        "unexpected packet format",
    ]),
    known(
        "no-server-name",
        "let the mail program go through ostler (127.0.0.1, SSL off): ostler names the server, as old programs cannot",
        &[(
            Tls,
            &[
                "no sni {provided|sent|given|present}",
                "invalid2.invalid",
                "missing {sni|server name}",
                "sni {is |was |}{required|missing|not provided|not sent|needed}",
                "without {sni|server name indication}",
                "{requires|needs|wants} {sni|server name indication}",
                "unrecogni{s|z}ed{ |_|}name",
                "server name sent was not recogni{s|z}ed",
            ],
        )],
    ),
    known(
        "certificate-unchecked",
        "let the mail program go through ostler (127.0.0.1, SSL off); or switch \"Check for server certificate revocation\" off under Internet Options, Advanced",
        &[
            (
                Tls,
                &[
                    "unable to check revocation",
                    "revocation server {is |was |}offline",
                    "revocation_status_unknown",
                    "{0x|}8009201{2|3}",
                ],
            ),
        ],
    ),
    // Providers whose words are their own
    known(
        "microsoft-web-sign-in",
        "let Microsoft forward the mail to a mailbox that accepts passwords (Settings, Mail, Forwarding on outlook.com), and use that one",
        &[(
            SignIn,
            &[
                "basic auth~ is {disabled|not supported|not enabled|blocked|deprecated}",
                "5.7.30 basic",
                "basicauthblocked",
                "basicauthenticationdisabled",
                "security defaults policy",
                "did not meet the criteria to be authenticated",
            ],
        )],
    )
    .at(&[
        "outlook.office365.com",
        "smtp-mail.outlook.com",
        "pop-mail.outlook.com",
        "imap-mail.outlook.com",
        "pop3.live.com",
        "smtp.live.com",
    ]),
    known(
        "microsoft-sending-off",
        "ask the administrator to switch on \"Authenticated SMTP\" for your mailbox",
        &[(
            SignIn,
            &[
                "smtpclientauth~ is disabled",
                "smtp_auth_disabled",
                "smtp {client |}auth~ is disabled for the {tenant|mailbox}",
                "5.7.3 authentication unsuccessful",
            ],
        )],
    )
    .at(&["smtp.office365.com"]),
    known(
        "gmail-app-password",
        "make an app password at myaccount.google.com/apppasswords, then: ostler password NAME",
        &[(SignIn, &["application-specific password required", "invalidsecondfactor"])],
    ),
    known(
        "gmail-web-login",
        "sign in at mail.google.com with a browser on this computer, make an app password at myaccount.google.com/apppasswords, then: ostler password NAME",
        &[(
            SignIn,
            &["web login required", "log in {via|with} your web browser", "534{-| }5.7.14", "accounts.google.com/continuesignin"],
        )],
    ),
    known(
        "gmail-password",
        "make an app password at myaccount.google.com/apppasswords, then: ostler password NAME",
        &[(SignIn, &["username and password not accepted", "badcredentials"])],
    )
    .at(&["pop.gmail.com", "smtp.gmail.com", "pop.googlemail.com", "smtp.googlemail.com"]),
    known(
        "gmail-pop-off",
        "on mail.google.com: Settings, Forwarding and POP/IMAP, Enable POP; then run: ostler check",
        &[(SignIn, &["not enabled for pop access"]), (Fetch, &["not enabled for pop access"])],
    ),
    known(
        "yahoo-app-password",
        "make an app password on the account security page of Yahoo or AOL, then: ostler password NAME",
        &[(SignIn, &["auth005", "mbr1212", "too many bad auth attempts"])],
    )
    .at(&[
        "pop.mail.yahoo.com",
        "smtp.mail.yahoo.com",
        "pop.aol.com",
        "smtp.aol.com",
        "pop.verizon.net",
        "smtp.verizon.net",
        "inbound.att.net",
        "outbound.att.net",
        "pop.att.yahoo.com",
        "smtp.att.yahoo.com",
        "pop.cox.net",
        "smtp.cox.net",
    ]),
    known(
        "app-password",
        "make a password for mail programs on the provider's web page (app password, authorization code), then: ostler password NAME",
        &[(
            SignIn,
            &[
                "neobhodim parol prilozheniya",
                "parol prilozheniya",
                "{enter|use} {your |the |an |}authori{z|s}ation code",
                "{use|using|requires|require|required|needs|need|generate|create} {an |a |your |}{app|application}{-| |}specific password",
                "{use|using|requires|require|required|needs|need|generate|create} {an |a |your |}{app|application}{-| }password",
                "{app|application}{-| }{specific |}password {is |}{required|needed|necessary}",
                "app-specific password~",
                "{use|using} authorized code",
            ],
        )],
    ),
    known(
        "pop-switched-off",
        "switch POP3 access on in the provider's web mail settings; then run: ostler check",
        &[(
            SignIn,
            &[
                "invalid credentials or imap is disabled",
                "{pop|pop3|imap|imap4|smtp|pop/imap|pop3/imap|imap/pop3} {access |service |protocol |login |client |}{is |has been |was |are |}{disabled|not enabled|deactivated|turned off|switched off|not activated|not open|not allowed|not permitted}",
                "{not allowed|not permitted|not enabled|not authorized|not authorised|not activated|yet to enable|please enable|must enable|need to enable} {to use |for |to access |use |using |}{pop|pop3|imap|pop/imap}",
                "does not have access rights to this service",
                "user has no permission",
                "{external|third-party|third party|mail client} {access|clients|programs|client} * {disabled|not enabled|not allowed|switched off}",
                "protocol {is |}{disabled|not enabled} for {this |your |}{user|account|mailbox}",
                "{pop|pop3|imap|access to pop3|access to pop} {access |}is not {included|part of|available} {in|of|for} {your|this}",
            ],
        )],
    )
    .at(&[
        "pop.gmx.net",
        "mail.gmx.net",
        "pop.gmx.com",
        "mail.gmx.com",
        "pop3.web.de",
        "smtp.web.de",
        "mx.freenet.de",
        "pop.yandex.com",
        "pop.yandex.ru",
        "pop.mail.ru",
        "pop.zoho.com",
        "pop.naver.com",
    ]),
    known(
        "password-expired",
        "change it on the provider's web page, or have the administrator do it; then: ostler password NAME",
        &[
            (
                SignIn,
                &[
                    "{password|passwd|passphrase} {is |has |was |}expired",
                    "{password|passwd|passphrase} {must|has to|needs to|should} be {changed|renewed|reset}",
                    "{must|need to|have to} change {your |the |}password",
                    "expired password",
                    "password transition is needed",
                    "{432|534|535}{ |-}{4|5}.7.12",
                ],
            ),
        ],
    ),
    known(
        "exchange-logon",
        "wait a quarter of an hour and try once; if it stays, set the password that works on the web page: ostler password NAME",
        &[(SignIn, &["{logon|authentication|login} failure: unknown user name or bad password", "unknown user name or bad password"])],
    )
    .vague(),
    // Limits
    known(
        "too-many-sign-ins",
        "wait an hour without trying; then look for mail less often, every ten minutes at most, on every computer and phone that uses this mailbox",
        &[
            (
                OwnMailbox,
                &[
                    "[limit]",
                    "rate limit {hit|exceeded|reached}",
                ],
            ),(
            SignIn,
            &[
                "too many {recent |failed |bad |invalid |unsuccessful |incorrect |wrong |repeated |}{login|logon|log-in|log in|sign-in|sign in|signin|auth|password}~",
                "too many {recent |failed |bad |invalid |unsuccessful |incorrect |wrong |}{attempts|failures|tries}",
                "{login|logon|sign-in|signin|auth|authentication|authenticate} {rate |attempt |attempts |frequency |request |}{limit|rate limit|limits} {exceeded|reached|for|hit|has been}",
                "{authenticate|authentication|login|auth} rate limit",
                "{exceed|exceeded|reached|over|hit} * {login|logon|sign-in|authentication|auth} {limit|rate|attempts|quota}",
                "{login|logon|log in|logging in|logged in|sign in|signing in|authenticate|authenticated|authenticating} too {often|many|frequently|fast|quickly|soon}",
                "too {frequent|many|frequently|often} {login|logon|sign-in|authentication|log in}~",
                "authenticat~ * too many times",
                "exceeded * {checks|logins|log-ins|sign-ins|pop checks}",
                "{checks|logins|log-ins|sign-ins} * per {hour|minute|day}",
                "{login|logon|authentication|password|sign-in} {attempts|failures|tries} * {exceeded|later|wait|blocked|locked}",
                "{maximum|max} {number of |}{failed |}{login|logon|sign-in|authentication|password|auth} {attempts|failures|tries}",
                "{account|mailbox|user|ip|address|login} {is |has been |was |}temporarily {locked|blocked|suspended|banned|barred}",
                "temporarily {locked|blocked|banned} * {login|logon|attempts|failed|failures|password|sign-in|authentication}",
                "{login|logon|sign-in|authentication} rate {is |}exceeded",
            ],
        )],
    ),
    known(
        "account-blocked",
        "sign in on the provider's web page and see what it asks for there; if nothing helps, ask its help desk to unlock the account",
        &[
            (
                SignIn,
                &[
                    "{account|user|login} {is |has |has been |was |have been |}{locked|suspended|disabled|closed|deactivated|restricted|compromised|terminated|banned|frozen|inactive|expired|blocked}",
                    "mailbox {is |has been |was |}{suspended|blocked|disabled|closed|deactivated|terminated|frozen|inactive|expired}",
                    "{locked|suspended|disabled|blocked} {account|user}",
                    "{verify|unlock|reactivate|confirm} your account",
                    "unusual {sign-in |login |account |}activity",
                    "suspicious {sign-in |login |account |}{activity|login}",
                    "5.7.139 * locked",
                ],
            ),
            (
                Send,
                &[
                    "bad outbound sender",
                    "unusual sending activity",
                    "{outgoing|outbound|sending|sender account|smtp access} * {suspended|disabled|has been blocked|is blocked}",
                    "{your|sender's} account * {suspended|blocked|restricted|compromised|locked}",
                "{550|554}{ |-}5.7.{501|502|503|750}",
                "spam abuse detected",
                "outboundspam~",
                "client blocked from sending",
            ],
            ),
        ],
    ),
    known(
        "fetch-limit",
        "wait a day; then leave fewer messages on the server, and fetch less often",
        &[
            (SignIn, &["exceeded * bandwidth {limit|quota}~", "account exceeded command"]),
            (
                Fetch,
                &[
                    "{bandwidth|download|traffic|transfer|retrieval|retrieve} {limit|limits|quota} {exceeded|reached}",
                    "exceeded * {bandwidth|download|traffic|transfer|retrieval} {limit|limits|quota}",
                    "account exceeded command",
                    "too many {messages|mails} {downloaded|retrieved|fetched}",
                ],
            ),
        ],
    ),
    known(
        "too-many-connections",
        "close the other mail programs and phones that use this mailbox, wait ten minutes, then try again and fetch less often",
        &[(
            Any,
            &[
                "too many {concurrent |simultaneous |open |parallel |active |smtp |pop3 |pop |imap |tcp |}{smtp |pop3 |pop |imap |tcp |}{connections|sessions|connects|clients}",
                "{maximum|max|limit|number} {number |}{of |}{concurrent |simultaneous |open |allowed |}{smtp |pop3 |pop |imap |server |tcp |client |}{connections|sessions} * {exceeded|reached|limit|allowed}",
                "{maximum|max} {number of |}{concurrent |simultaneous |}{connections|sessions} {exceeded|reached|per|from|for}",
                "{connection|connections|session|sessions} {rate |count |frequency |}limit~ {exceeded|reached|has been|for|hit}",
                "{concurrent|simultaneous|parallel} {connection|connections|sessions} {limit|exceeded|not allowed}",
                "{exceeded|reached|over} * {connections|connection|sessions} {limit|rate|quota|per}",
                "connections per {second|minute|hour|day|user|ip|account}",
                "{connect|connected|connecting} too {often|many|frequently|fast}",
                "mail_max_userip_connections",
                "too frequent {connections|connects}",
                "server ports are busy",
                "sender thread limit",
            ],
        )],
    ),
    known(
        "too-many-errors",
        "run ostler status for what was refused first: a list with wrong addresses, or a port that is not the one for mail programs",
        &[
            (
                Any,
                &[
                    "{421|450|451|500|503|550|554|-err|err|responded:} {-err |4.#.# |5.#.# |}{error: |}too many {smtp |protocol |syntax |}errors",
                    "4.7.0 * error: too many errors",
                    "too many {syntax or protocol|protocol or syntax} errors",
                    "too many {protocol|syntax} errors * connection",
                    "too many {bad|invalid|unrecognized|unrecognised|unknown|illegal|nonmail|non-mail} commands",
                    "{421|450|451|452|550|554|responded:} * too many {bad|invalid|unknown|nonexistent|non-existent|rejected} {recipients|addresses|users}",
                    "protocol error. connection is closed",
                ],
            ),
        ],
    ),
    // Ways of signing in
    known(
        // "pass-words" is what `pop3::words` makes of the server's "passwords".
        "wants-encryption",
        "write security = \"starttls\" or \"tls\" for this server in the settings, then run: ostler check",
        &[
            (
                SignIn,
                &[
                    "{plaintext|plain text|plain-text|cleartext|clear text|clear-text|unencrypted} {authentication|auth|login|logins|password|passwords|pass-word|pass-words|access|connections|connection} * {disallowed|not allowed|disabled|not permitted|denied|forbidden|not supported}",
                    "{stls|starttls|tls|ssl} {first|before}",
                ],
            ),
            (
                Any,
                &[
                    "must issue {a |an |}starttls",
                    "{encryption|tls|ssl|starttls|stls|secure connection|encrypted connection|ssl/tls} {is |}{required|needed|mandatory}",
                    "{requires|require|must use|must be|use|needs|need|please use|only over|only via} {a |an |}{tls|ssl|starttls|stls|ssl/tls|encryption|encrypted|secure}",
                    "encryption required for requested authentication",
                ],
            ),
        ],
    ),
    known(
        "mechanism-refused",
        "what you typed was not looked at, so leave it; run ostler check, and if that fails too, ask the provider which way of signing in its server takes",
        &[(
            SignIn,
            &[
                "504{ |-}5.7.4",
                "5.7.4 unrecogni{s|z}ed",
                "{unrecognized|unrecognised|unsupported|invalid|unknown|unavailable|unimplemented|bad|illegal|undefined} {auth|authentication|authorization|sasl|login} {mechanism|type|method|scheme}~",
                "{auth|authentication|authorization|sasl|login|cram-md5|plain|digest-md5|ntlm} {mechanism|type|method|scheme}~ * {not supported|unsupported|not available|unavailable|disabled|invalid|not allowed|not recognized|not recognised|not permitted|unknown|unimplemented|not implemented|not enabled|not accepted|too weak|not acceptable}",
                "{mechanism|method} {is |}{too weak|not supported|not available|unavailable|not allowed|disabled|invalid|unknown|not acceptable}",
                "no {suitable |supported |acceptable |usable |}{mechanism|mechanisms|authentication method|authentication mechanism}~ {available|found|supported|offered}",
                "no {worthy mechs|mechanism available|authentication type succeeded}",
                "auth~ {login|plain|cram-md5|ntlm|digest-md5|xoauth2} {is |}{not supported|not allowed|not available|disabled|not implemented|unsupported|not permitted|not enabled}",
                "{504|502|503}{ |-}* command parameter not implemented",
                "stronger {authentication |auth |}{mechanism|method}",
                "{cannot|can't|could not|unable to} decode {response|base64|auth|authentication|the response}",
                "{invalid|malformed|bad|incorrect} base64",
                "initial{ |-}response",
                "protocol error. #",
            ],
        )],
    ),
    known(
        "no-sign-in-here",
        "write port = 465 with security = \"tls\" (or 587 with \"starttls\") for the sending server; if the provider has neither, auth = \"none\"",
        &[(
            Any,
            &[
                "auth~ command used when not advertised",
                "{auth|authentication|smtp auth|smtp authentication|auth command|auth extension} {is |was |}not {advertised|enabled|offered}",
                "{auth|authentication} {is |}not {available|supported|allowed|permitted|accepted} {on this|on port|here|for this port}",
                "{does not|doesn't|do not} {support|offer|advertise|allow} {smtp |}{auth|authentication}",
                "smtp auth~ {extension |}{is |}not supported",
                "502{ |-}* auth~ {command |}not {implemented|supported|recognized|available}",
                "unrecognized command * auth",
                "503{ |-}* {auth|authentication} {is |}not {available|permitted|allowed|supported|enabled}",
            ],
        )],
    ),
    // What fetching meets
    known(
        "message-id-missing",
        "fetch or delete the message of that number with the provider's web mail, then fetch again; ostler check names it",
        &[(
            Any,
            &[
                "server response{:|} {'|\"|}#{ |}{'|\"|} * {0x|}800cc{c|}93",
                "{0x|}800cc{c|}93 * server response{:|} {'|\"|}#{ |}{'|\"|}",
                "message {no |number |}# {has |with }{no|without} {id|uid|uidl|unique id}",
                "uidl * {blank|empty|missing|invalid|malformed|duplicate}",
            ],
        )],
    ),
    known(
        "no-message-ids",
        "restart the mail program and fetch again; if it stays so, switch \"leave messages on server\" off, and run: ostler check",
        &[(
            Any,
            &[
                "{does not|doesn't|not} support {the |}{uidl|xtnd|uidl/top}",
                "uidl or xtnd",
                "{unimplemented|not implemented|not supported|unknown|invalid|unsupported}: {'|\"|}uidl",
                "{don't|do not} know uidl",
                "i said: uidl * said: {err|-err}",
                "{uidl|command uidl|uidl command} {is |}{not supported|unsupported|not implemented|unknown|not available|disabled|unrecognized|not recognized}",
                "{unknown|unrecognized|unrecognised|unimplemented|invalid|bad|unsupported} command{:|} {'|\"|}uidl",
                "{unable to|cannot|can't|could not|couldn't|failed to} {get|retrieve|read|obtain|build|fetch} {the |}{uidl|unique id|uid|message id}~",
                "server does not support * unique~ {id|identifier|message}~",
            ],
        )],
    ),
    known(
        "no-beginnings",
        "switch off \"fetch headers only\" and limits on the size in the mail program: then it fetches whole messages",
        &[(
            Any,
            &[
                "{does not|doesn't|not} support {the |}top",
                "i said: top * said: {err|-err} * {unknown|not|un|bad|invalid}~",
                "{top|top command|command top} {is |}{not supported|unsupported|not implemented|unknown|not available|disabled}",
                "{unknown|unrecognized|unrecognised|unimplemented|invalid|bad|unsupported} command{:|} {'|\"|}top",
                "{unimplemented|not implemented|not supported|unknown|invalid|unsupported}: {'|\"|}top",
            ],
        )],
    ),
    known(
        "message-gone",
        "fetch again; if it happens often, let only one program take the messages away from the server",
        &[(
            Fetch,
            &[
                "message {number |no |no. |}# {has been |was |is |already |}{already |}{expunged|deleted|removed|gone|marked for deletion|marked as deleted}",
                "{-err|err|responded:} * message {has been |was |is |already |}{already |}{expunged|deleted|removed|gone|marked for deletion}",
                "no such message",
                "[expungeissued]",
                "{invalid|bad|illegal|unknown|nonexistent|non-existent} message {number|id|index}",
                "message {number |no |}{# |}{not found|does not exist|doesn't exist|out of range|not available|no longer available|unavailable}",
                "no message {number |}#",
                "message {number |index |}out of range",
                "requested message * {no longer|not} available",
                "{can't|cannot|could not|unable to} {find|open|read|retrieve|get} message {number |}#",
                "{-err|err|responded:} {can't|cannot|can not|could not|couldn't|unable to} {find|open|read|retrieve|get|access} {that |the |this |requested |}message",
                "{-err|err|responded:} {unknown|non-existent|nonexistent|missing} message",
                "message number {# |}{is |}{not valid|invalid|illegal}",
                "{-err|err|responded:} out of range",
            ],
        )],
    ),
    known(
        "own-mailbox-full",
        "delete old messages with the provider's web mail, in its trash too, and switch \"leave messages on server\" off",
        &[
            (
                Any,
                &["your {mailbox|mail box|inbox|mail file} {is |has |}{almost full|full|over its|over the|over quota|exceeded its|exceeded the|exceeded one|reached its|reached the|out of space|out of storage}"],
            ),
            (
                OwnMailbox,
                &[
                    "{mailbox|inbox|maildir|disk|storage} {is |}full",
                    "{over|exceeded|exceeds|out of} {your |the |its |}{disk |storage |mail |mailbox |}{quota|storage|space}",
                    "quota {is |has been |}exceeded",
                    "overquota",
                ],
            ),
        ],
    ),
    known(
        "mailbox-broken",
        "tell the provider, with these words: only it can put the mailbox right",
        &[(
            SignIn,
            &[
                "has no $home/maildir",
                "{unable to|can't|cannot|could not|couldn't|failed to} {open|locate|access|read|scan|create|stat|find|chdir to|select} {the |your |user |}{mailbox|maildrop|mail drop|spool|maildir|$home/maildir|mail file|mail folder|mailbox file|home directory}",
                "{mailbox|maildrop|maildir|spool} {is |}{corrupt|corrupted|damaged|invalid|inconsistent|missing|not available}",
                "-err {[sys/perm] |}unable to open",
                "{error|failed|failure} opening {the |your |}{mailbox|maildrop|inbox}",
                "corrupted {mail drop|maildrop|mailbox}",
                "[sys/perm]",
            ],
        )],
    ),
    known(
        "idle-too-long",
        "fetch or send again; if it comes back, set the mail program to fetch smaller amounts, or run: ostler check",
        &[(
            Any,
            &[
                "{idle|inactive|inactivity|silent} {for |}too long",
                "{for|due to|because of|after|by} {prolonged |}{inactivity|idleness|idle time|idle timeout}",
                "autologout",
                "{inactivity|idle|session|command|read} time{-|}out",
                "{error:|smtp|pop3|pop|data|input|connection} timeout exceeded",
                "timed out waiting for {command|data|input|a command}",
                "timeout {- |waiting for |on |}{closing connection|client input|data|command|connection}~",
                "421{ |-}* connection timed out",
            ],
        )],
    ),
    // What sending meets
    known(
        "address-letters",
        "use an address in plain letters (a to z, figures): ask the recipient for one, or type the domain in its form that begins with xn--",
        &[(
            Any,
            &[
                "smtputf8",
                "utf8smtp",
                "{550|553|554|501}{ |-}5.6.7",
                "5.6.7 * {address|recipient|sender|mailbox|non-ascii|utf}~",
                "internationali{s|z}ed {email|e-mail|mail|address|sender|recipient}~",
                "{address|recipient|sender|mailbox|envelope}~ * {non-ascii|non ascii|8-bit|8bit|unicode|utf-8|utf8|international} {character|address|letter|symbol}~",
                "{address|recipient|sender|mailbox|envelope}~ * {invalid|illegal} {character|letter|symbol}~",
                "{non-ascii|non ascii|8-bit|unicode|utf-8} {address|recipient|sender|character in address|characters in address|characters in the local part}~",
                "{address|recipient|sender|mailbox|envelope}~ * {characters|letters|symbols} {that are |which are |}{not allowed|not permitted|invalid|illegal|not supported}",
                "{501|550|553}{ |-}5.1.{3|6|7} * {non-ascii|non ascii|8-bit|8bit}",
                "{8-bit|8bit|non-ascii|non ascii|invalid|illegal|strange|bad|restricted|forbidden} {character|characters|letter|letters} in {the |}{recipient|address|sender|mailbox|envelope|local part|path}~",
            ],
        )],
    ),
    known(
        "empty-sender",
        "switch read receipts off in the mail program (Outlook Express: Tools, Options, Receipts), and delete the receipt from the Outbox",
        &[(
            Send,
            &[
                "mail from:{ |}<>",
                "{null|empty|blank|missing} {envelope |return |reverse |mail |}{sender|senders|return-path|return path|reverse-path|path|from|address}",
                "sender {address |}{is |was |}{empty|missing|required|blank|null}",
                "sender {address |}{cannot|can't|must not|may not} be {empty|blank|null}",
                "sender <> {is |}{rejected|refused|not|denied|invalid}",
                "<>: {sender|domain|address|invalid|bad|null|empty|user|not|access}",
                "<> {is |}{not valid|not a valid|not allowed|not permitted|not accepted|invalid|rejected|refused}",
                "{bounces|bounce messages|null senders|delivery reports|empty senders} {are |}{not accepted|not allowed|refused|rejected}",
                "{no|does not accept|do not accept|not accept} {null senders|bounces|bounce messages|empty sender}",
            ],
        )],
    ),
    known(
        "mail-loop",
        "tell the recipient by other means that their mail is sent on in a circle: only they or their provider can end that",
        &[
            (
                Send,
                &[
                    "{mail|routing|forwarding|forward|delivery|smtp} {forwarding |routing |}loop~",
                    "too many hops",
                    "hop count {is |was |}exceeded",
                    "maximum hop count",
                    "too many {'|\"|}received{'|\"|} {header|headers|lines}",
                    "loops back to {me|myself|us}",
                    "{message|mail} {is looping|has looped}",
                    "{550|551|553|554}{ |-}5.4.{6|14}",
                ],
            ),
        ],
    ),
    known(
        "sending-limit",
        "wait an hour, and if that does not help a day; then send again, to fewer people at a time",
        &[(
            Send,
            &[
                "{daily|hourly} {user |smtp |}{sending |send |message |mail |email |outgoing |relay |recipient |smtp |submission |}{limit|limits|quota|maximum|rate|allowance}",
                "{sending|send|outgoing|outbound|submission|relay|relaying|messaging|message|email|mail|smtp} {rate |rate-|message |}{limit|limits|quota|quotas|ratelimit} {is |was |has been |have been |}{exceeded|reached|hit|over|surpassed}",
                "exceed~ * {sending|send|outgoing|outbound|submission|messaging|relay|hourly|daily|emails|messages|mails|recipients|email|mail} {rate|limit|limits|quota|allowance|per|in}",
                "{messages|emails|e-mails|mails|recipients|email|mail} per {hour|day|minute|second|24|session|month}",
                "max defers and failures",
                "550{ |-}5.4.5",
                "too many {messages|emails|e-mails|mails} {sent|from|in|per|today|for|submitted|this}",
                "too much mail",
                "{sent|sending|send|submitted} too {many|much} {messages|message|mail|mails|emails|e-mails|email}",
                "sending {mail |messages |}too {fast|quickly|often|frequently}",
                "{sending|send|message|mail|email} {rate|volume} {is |}too {high|fast|much}",
                "rate limit~ {exceeded|reached|hit}",
                "ratelimit~",
                "{reached|exceeded|over|hit} {your |the |its |their |a |}{daily|hourly|sending|messaging|outgoing}",
                "{limit|quota} {of|for} {sent|outgoing|sending} {mail|mails|messages|emails}",
                "submission rate * exceeded",
                "{recipients|messages|emails|e-mails|mails} * {today|this hour|this day|24 hours|last hour|an hour|per day}",
                "too many {new |}recipients {from|today|this hour|in the last|in the past|received this|per hour|per day}",
                "too many new recipients",
                "submissionquotaexceeded~",
                "tenant has exceeded",
                "{sending|send|outgoing|outbound|relay} limit * {reached|exceeded}",
                "exceed~ * {number of|limit of #} {mails|messages|emails|e-mails}",
                "unusual rate of {email|mail|e-mail} originating from your account",
            ],
        )],
    )
    .unless(&[
        "too much mail data",
    ]),
    known(
        "too-many-recipients",
        "send the message in parts, each to fewer people",
        &[(
            Send,
            &[
                "too many {recipients|rcpts|rcpt|addresses|receivers|addressees|destinations|to addresses}",
                "{maximum|max|allowed} {number of |}{recipients|recipient|addressees}",
                "number of recipients * {exceed|exceeds|exceeded|limit|allowed|too}",
                "{recipient|recipients|rcpt} {count |number |}{limit|limits|exceeded|exceeds|exceed|maximum}",
                "{452|450|451|550|552|554}{ |-}{4|5}.5.3",
                "recipients per {message|mail|email|transaction}",
                "{out of|over} {allow|allowed} rcpt",
                "{more|greater} than {the |}{allowed |maximum |}{# |}recipients",
            ],
        )],
    ),
    known(
        "line-too-long",
        "begin a new message in place of answering in the long thread, copy the text into it, and send that",
        &[(
            Send,
            &[
                "line~ {is |are |was |}{too long|longer}",
                "{maximum|max|allowed|legal} {allowed |}{line|header} length",
                "{line|header} {length |size |}{limit|exceed|exceeds|exceeded|exceeding|overflow|too long|too large|too big}",
                "too long {a |}line",
                "line~ {longer|exceeding|over|above|of more} than",
                "lines longer than",
                "{line|lines} * {998|1000|1001|2048} {octets|characters|bytes|chars}",
                "{header|headers} {size |line |}{is |are |}too {large|long|big}",
                "message header~ {size |}{exceed|exceeds|exceeded|is too|too|are too}",
                "500{ |-}* line~ too long",
            ],
        )],
    ),
    known(
        "message-malformed",
        "write the message anew as plain text and send that; if the same is said again, tell the makers of ostler",
        &[(
            Send,
            &[
                "bare {lf|linefeed|linefeeds|line feed|line feeds|newline|newlines|carriage return|cr}",
                "{not|isn't} {rfc |}{5322|2822|822} {compliant|conform}~",
                "{missing|duplicate|multiple|malformed|invalid|bad|no valid|more than one} * header~",
                "header~ {syntax|is malformed|are malformed|is missing|are missing}",
                "{missing|without} a valid address in from",
                "bare <{lf|cr}>",
                "barelinefeeds~",
                "smtplf.html",
                "invalid message content",
                "must be rfc {5322|2822|822}",
            ],
        )],
    ),
    known(
        "recipient-restricted",
        "ask the recipient, or the people who run the list, to let your address in",
        &[
            (
                Send,
                &[
                    "resolver.rst.{authrequired|notauthorized}",
                    "resolver.rst.{sendernot|restricted}~",
                    "allowed-senders list",
                    "{550|554}{ |-}5.7.{124|129|133|134|135|136|193|504|505|507|703}",
                    "not {allowed|authorized|authorised|permitted} to {post|send} to {this|the|that|recipient}",
                    "{posting|posts|post} to this {list|group}",
                    "not a member of {this|the} {list|group|mailing list}",
                    "{members-only|closed|moderated} {list|mailing list}",
                    "only {accepts|accept|takes|allows} {mail |messages |e-mail |email |}from {known|authenticated|internal|allowed|approved|members|certain}",
                    "{address|sender|you|access denied,} {has been |have been |is |was |are |}{blocked|blacklisted|rejected} by {the |this |}recipient",
                    "recipient has {blocked|rejected}",
                    "recipient's {block|blocked|black} {list|senders}",
                    "transport.rules.rejectmessage",
                    "blocked by your organization",
                    "5.7.# * recipient address rejected: access denied",
                ],
            ),
        ],
    ),
    known(
        "attachment-refused",
        "send the file in another form (a picture, a PDF, or by a web link); check this computer for viruses if you know of no such file",
        &[(
            Send,
            &[
                "{blocked|forbidden|prohibited|banned|dangerous|executable|illegal|unsafe|disallowed|bad|restricted} {attachment|file|filename|file name|file type|attachment type|content type}~",
                "{attachment|attachments|attached file|file type|filename|file extension|extension} * {blocked|not allowed|not permitted|not accepted|rejected|forbidden|prohibited|banned|disallowed|refused}",
                "potential security issue",
                "for security reasons * {attachment|file|content}",
                "{contains|contained|found|detected|has|carries|with} {a |the |}{virus|malware|worm|trojan}~",
                "{virus|malware|worm|trojan}~ {was |has been |}{found|detected|infected|in message|alert|rejected}",
                "infected with",
                "{message|mail|email} * {infected|contains malware|contains viruses}",
                "reject, id= * {banned|infected}",
                "infected by",
                "eicar~",
            ],
        )],
    ),
    known(
        "sender-domain",
        "correct your mail address in the mail program's settings, above all what stands after the @",
        &[(
            Send,
            &[
                "sender address rejected: {domain|malformed|undeliverable|unverified|unknown|does not exist|need}",
                "domain of {the |}sender {address |}* {not|no|resolve|exist}",
                "sender domain * {not|no|must|invalid|unknown|resolve}",
                "{sender|envelope sender} {verify|verification} failed",
                "verification failed for <",
                "{could not|cannot|can't|unable to} verify {the |}sender",
                "unverified sender",
                "{invalid|bad|illegal|malformed} {sender|return|envelope sender|sender's|from} {address|domain|mailbox|path}",
                "{bad|invalid} sender",
                "{501|550|553|554}{ |-}5.1.{7|8}",
                "{does not|doesn't} {resolve|accept mail} * sender",
                "domain name required",
                "sender {address |}must {have|contain|include} a domain",
            ],
        )],
    )
    .unless(&[
        "spf validation",
    ]),
    known(
        "sender-not-yours",
        "make that address an alias of the mailbox at the provider, or choose in the mail program the account that the address belongs to",
        &[(
            Send,
            &[
                "not owned by {user|auth|authenticated|the|account|login}",
                "sender address rejected: not {owned|authorized|authorised|permitted|allowed|yours}",
                "sender address {is |}not {allowed|authorized|authorised|permitted|owned|valid for|accepted|verified|yours}",
                "sender {is |}not {allowed|authorized|authorised|permitted|owned}",
                "not {allowed|authorized|authorised|permitted} to {send|send mail|send email|submit|mail|use} {as|from|on behalf|mail as|mail from|email as|email from|messages as|messages from|with|this|the|that}",
                "permission~ to send as",
                "send as this sender",
                "sendasdenied",
                "{from|sender|envelope|return} {address |}* {not verified|not one of your|does not match|doesn't match|not match|not yours|does not belong|not belong|mismatch}",
                "mail from * must {equal|match|be same|be the same}",
                "{from|sender|return} address {is |}not {allowed|authorized|authorised|permitted|accepted|valid}",
                "{must be|is not|not|be} {the |}same as authori{s|z}~ user",
                "must {equal|match} {the |}{authorized|authenticated|login|logged}",
                "{unauthorized|unauthorised|forbidden|disallowed} {sender|from|envelope sender}",
                "{not local|not a local|non-local} sender",
                "relaying disallowed as",
                "sender {is |}{unvalidated|not validated}",
                "authenticated {user|as} * {not authorized|not allowed|not permitted|cannot send|may not send}",
                "{user|login|account|you} {cannot|can't|may not|must not|are not allowed to} send {mail |messages |email |}{as|from}",
                "envelope {from|sender} * not allowed",
                "{sender|from} * use your own {address|e-mail address|email address}",
                "use your own {address|e-mail address|email address} as sender",
                "must be your own",
                "from: {address |}not verified",
                "not allowed for {this|your} {login|account|user}",
                "sendasdenied~",
            ],
        )],
    ),
    known(
        "sender-not-believed",
        "send through the server of the provider that your address belongs to: in ostler, the account of that address",
        &[(
            Send,
            &[
                "dmarc",
                "{spf|sender policy framework|dkim} * {fail|failed|fails|failure|did not pass|not pass|softfail|error|invalid|reject|rejected|unauthorized|not authorized|not permitted}",
                "{fail|failed|fails|failure|does not pass|did not pass} * {spf|dkim|dmarc}",
                "{550|421|554|450}{ |-}{4|5}.7.{23|26|27|32}",
                "unauthenticated {email|mail|message|sender|e-mail}",
                "{mail|message|email} is unauthenticated",
                "openspf",
                "spf validation",
                "sender id (pra)",
                "required authentication level",
                "{550|554}{ |-}5.7.{509|515}",
            ],
        )],
    ),
    known(
        "relay-refused",
        "run ostler check; if fetching first helps, write auth = \"pop-before-smtp\" under [account.smtp]",
        &[(
            Send,
            &[
                "{relaying|relay|relay access} {is |was |temporarily |}{denied|rejected|disallowed|not allowed|not permitted|prohibited|refused|forbidden}",
                "we do not relay",
                "{does not|doesn't|not} allow relaying",
                "unable to relay",
                "allowed rcpthosts",
                "check your mail first",
                "pop before smtp",
                "relay {not|is not} {permitted|allowed|authorized}",
                "{authentication|authentification|smtp auth|smtp authentication|auth|login} {is |}required",
                "{must|please|need to|have to|should} {first |}{authenticate|log in|login|log on|sign in|be authenticated}",
                "{not|was not|is not} {logged in|authenticated}",
                "authenticate first",
                "requires {smtp |}authentication",
                "invalid credentials for relay",
                "permission~ to submit to this server",
                "client host rejected: access denied",
                "{5.7.0|5.7.57|5.5.1} * {authentication required|not authenticated}",
                "503{ |-}{5.5.1 |}{error: |}auth first",
            ],
        )],
    ),
    known(
        "helo-refused",
        "let the mail program go through ostler (127.0.0.1), which introduces itself in the form that servers expect; if ostler itself is refused so, tell the provider",
        &[
            (
                Any,
                &[
                    "{helo|ehlo} {command |name |argument |host |hostname |}{rejected|refused|invalid|is invalid|not accepted}",
                    "{bad|invalid|illegal|malformed} {helo|ehlo}",
                    "{helo|ehlo} {requires|should be|must be|needs}",
                    "need fully-qualified hostname",
                    "{say|send} {helo|ehlo|helo/ehlo} first",
                    "501{ |-}5.0.0 invalid domain name",
                ],
            ),
        ],
    ),
    known(
        "recipient-full",
        "tell the recipient by other means; send again once they have made room",
        &[(
            Send,
            &[
                "{mailbox|mail box|inbox|maildir|user's mailbox|account|user} {is |size |}{full|over quota|overquota|over its quota|over the quota|over their quota}",
                "{over|exceeded|exceeds|out of} {its |his |their |the |your |}{disk |storage |mail |mailbox |allocated |allowed |}{quota|storage}",
                "quota {is |was |has been |would be |}exceed~",
                "{mailbox|storage|disk|inbox|user} {size |storage |space |quota |}{limit|quota|allocation} {is |has been |was |}{exceeded|reached|full}",
                "exceeded {storage|its storage|the storage|mailbox|allowed|allocated}",
                "{out of|no|insufficient|not enough|no more} {storage|space|room} {space |left |available |}{in|for|on} {the |}{mailbox|user|recipient|inbox}",
                "out of storage space",
                "{recipient|user|mailbox|inbox|account}~ * {full|over quota|overquota|out of storage|exceeded its storage|exceeded its quota|exceeded mailbox}",
                "has exhausted allowed storage",
                "too many messages on the server",
                "{452|422|550|552|554}{ |-}{4|5}.2.2",
                "overquota",
                "trouble in home directory",
            ],
        )],
    )
    .unless(&[
        "can't hold any more",
    ]),
    known(
        "recipient-domain",
        "correct what stands after the @ in the recipient's address, and send again; nothing is wrong with your account",
        &[(
            Send,
            &[
                "recipient address rejected: {domain|host}",
                "{host or domain name|domain name|domain|mail domain|recipient domain} {not found|does not exist|doesn't exist|unknown|could not be found|couldn't be found|is not valid|lookup failed}",
                "unrouteable {mail |}{address|domain}",
                "unroutable {mail |}{address|domain}",
                "host {unknown|not found} {(name|by}",
                "bad destination {system|host|domain|mailbox domain}",
                "{no|couldn't find any host named} {mx|such domain|mx record|mx records|valid mx|mail exchanger}",
                "mx records point to non-existent",
                "name service error for",
                "{550|554|553}{ |-}5.1.2",
                "{couldn't|could not} find {any |a |the |}host",
                "recipient address rejected: need fully-qualified",
                "recipient {address |}must {have|contain|include} a domain",
                "{550|554}{ |-}5.4.{4|310|312}",
                "nonexistent domain",
                "lowest numbered mx",
            ],
        )],
    ),
    known(
        "address-malformed",
        "look for a blank, a comma or a missing @ in the To field, and in your own mail address in the mail program's settings",
        &[
            (
                Send,
                &[
                    "501{ |-}{5.5.4|5.1.0} invalid address",
                    "501 {invalid|bad|malformed} address",
                    "malformed address",
                    "syntax error in {the |}address",
                    "{address|bad address} syntax",
                    "{missing or malformed|malformed} local part",
                    "colon illegal",
                ],
            ),
        ],
    )
    .unless(&[
        "{sender|recipient} address",
    ]),
    known(
        "no-such-recipient",
        "correct the address and send again; nothing is wrong with your account",
        &[(
            Send,
            &[
                "user {is |}{unknown|not known|not found|inactive|doesn't exist|does not exist|not exist|invalid|not local}",
                "unknown {user|recipient|address|mailbox|account|addressee|local part|local-part|or illegal alias|or illegal user}",
                "no such {user|recipient|mailbox|address|person|account|addressee|local user}",
                "{recipient|mailbox|address|addressee|e-mail address|email address|account} {is |was |}{not found|unknown|does not exist|doesn't exist|not exist|couldn't be found|could not be found|wasn't found|not known|invalid|unavailable|unrecognized|undeliverable|not recognized}",
                "{recipient|mailbox} * {does not exist|doesn't exist|not found|could not be found|couldn't be found|wasn't found}",
                "{email|e-mail} account that you tried to reach",
                "{invalid|bad|illegal|nonexistent|non-existent} {recipient|mailbox|address|destination mailbox|destination address|user}",
                "no {mailbox|account|user|one} {here |with |}by {that|this} name",
                "doesn't have a * account",
                "not listed in * directory",
                "{account|mailbox|address|user|recipient} {has been |is |was |}{disabled|closed|discontinued|inactive|deactivated|suspended|expired|cancelled}",
                "mailbox disabled",
                "no longer {valid|available|in use|exists|accepts|active|accepting}",
                "{recipient|address} {address |}rejected: {user|no such|undeliverable|unknown|invalid|account}",
                "{450|550|551|553|554|559}{ |-}5.1.{1|3|6|10}",
                "status: 5.1.{1|10}",
                "does not exist {here|at|on this|in}",
                "not our customer",
                "recipient not found",
                "5.1.0 address rejected",
                "mailbox unavailable",
                "5.4.1 * recipient address rejected",
                "550{ |-}5.4.1 recipient address rejected",
                "not a valid recipient",
                "address not present in directory",
                "user you are trying to contact is inactive",
            ],
        )],
    )
    .unless(&[
        "user {cancelled|canceled} {the |}operation",
        "{450|451|421}{ |-}{4.2.1 |}{requested |}* mailbox {is |}{unavailable|busy}",
        "{450|451|421}{ |-}mailbox {is |}{unavailable|busy}",
    ]),
    known(
        "blocked-address",
        "send through a server that you sign in at, or try another network; run: ostler check",
        &[(
            Any,
            &[
                "blocked {using|by|at} * {.org|.net|.com|.de|list|rbl|spamhaus|dnsbl}",
                "{dnsbl|dnsrbl|rbl|rbls|spamhaus|spamcop|sorbs|barracudacentral|blacklist|blacklisted|blocklist|blocklisted|block list|black list}",
                "listed {at|in|on|by} * {bl.|zen.|list|http|www.}",
                "client host * {blocked|rejected: cannot find|rejected: bad|rejected: dynamic}",
                "{your|client|sending|sender|source|connecting|remote} {ip|ip address|network|isp} * {blocked|banned|blacklisted|listed|refused|rejected|reputation|not allowed|denied}",
                "{your|client|sending|source|connecting|remote} {host|server|mail server|computer} * {blocked|banned|blacklisted|blocklisted|bad reputation}",
                "{ip|ip address} * {is |has been |was |}{blocked|banned|blacklisted|blocklisted|listed|refused}",
                "{poor|bad|low} {ip |sender |network |}reputation",
                "cannot find your {reverse |}hostname",
                "{reverse dns|reverse lookup|ptr record|ptr|rdns} * {missing|required|fail|failed|not|no|invalid|mismatch}",
                "{no|missing|without|invalid} {reverse dns|ptr|rdns|reverse lookup}",
                "{dynamic|residential|dial-up|dialup} {ip|address|ips|addresses|pool|range|host}~",
                "unusual {rate of unsolicited|traffic}",
                "part of their network",
                "messages from * {temporarily|permanently} deferred",
                "connections {will not be|not} accepted from",
                "banned sending ip",
                "s3140",
                "s3150",
                "{550|554}{ |-}5.7.{25|511|513|708}",
                "traffic not accepted from",
                "not authori{s|z}ed to send {email|mail|e-mail} directly",
                "bad dns ptr",
                "tosa@rx.t-online.de",
                "will not accept delivery of this message",
                "not allowed to connect",
                "{sc|dy}-00#",
                "does not have a ptr record",
                "comcast block",
                "connections from {dial-up|dialup|dynamic}",
                "mail refused - address",
            ],
        )],
    )
    .unless(&[
        GREYLISTED,
        "tcp/ip connection",
        "blacklisted {link|links|url|urls|uri|domain}",
    ]),
    known(
        "looks-like-spam",
        "send it without links and attachments; if that does not help, check that the sender address is the account's own",
        &[(
            Send,
            &[
                "{rejected|detected|identified|classified|considered|flagged|marked|treated|refused|recognized|recognised|blocked} {as |by |to be |}{possible |likely |probable |suspected |potential |being |}{spam|junk|unsolicited|bulk}",
                "{spam|junk|unsolicited} {message|mail|email|content|score|filter|detected|rejected|refused|e-mail|bulk}~",
                "looks like {spam|junk}",
                "{probability|suspected|suspicion|considered|no} {of |}spam",
                "is spam",
                "{message|content|mail} {content |was |has been |is |}{rejected|refused|blocked|not accepted} {due to|because of|for|by|on} * {content|policy|filter|spam|reputation}",
                "message content rejected",
                "{content|policy} {rejection|filter|restriction|restrictions|violation|violations|reasons|reject}",
                "{local|security|message|site|administrative|our} policy",
                "violates * policy",
                "blocked because * {url|urls|link|links|content|spam}",
                "administrative prohibition",
                "dt:spm",
                "phishing",
                "{anti-spam|antispam|spamassassin}",
                "message refused",
                "likely suspicious",
                "spam scale",
                "gtube",
                "reject, id= * spam",
                "contains {possible |}spam",
                "junkmail rejected",
                "your url domains",
            ],
        )],
    )
    .unless(&[
        GREYLISTED,
    ]),
    // What passes by itself
    known(
        "provider-trouble",
        "wait half an hour, then try again; change nothing, for neither what you typed nor the settings are the cause",
        &[(
            Any,
            &[
                "connection lost to authentication server",
                "internal {login |server |system |processing |software |}{failure|error|problem|authentication failure}",
                "temporary {system |server |lookup |internal |service |local |mail server |dns |database |}{problem|failure|error|trouble|difficulty}",
                "{authentication|auth|password|login|account|user database|ldap|directory} {server|service|system|backend|daemon|database} {is |is temporarily |temporarily |is currently |}{unavailable|down|not responding|not available|unreachable|overloaded|out of service}",
                "{server|mailbox} {is |}not available",
                "{server|system|service|mail server|mail service} {is |}{temporarily |currently |}{unavailable|down|overloaded|out of order|too busy|busy}",
                "mailbox {is |}{temporarily |currently |}unavailable {temporarily|just now|at the moment}",
                "{scheduled |}maintenance",
                "local {error in processing|configuration error|problem|error}",
                "{server|system} {configuration|internal} {error|problem|failure}",
                "{insufficient|out of|not enough|low on} {system |disk |memory |}{storage|resources|memory|space|disk|disk space}",
                "system {is |}not accepting",
                "{server|service|system} {is |}shutting down",
                "server temporarily rejected",
                "queue file write error",
                "qq * {trouble|problem|error|fail}~",
                "no space left",
                "{system|database} {error|failure}",
                "{-err|err|responded:} server {error|failure}",
                "database {connection |}{error|failed|failure}",
                "{pop3 |mail |imap |}server {is |}{temporarily |}not {ready|available}",
                "{cannot|can't|could not|unable to} connect to {the |}{backend|database|ldap|mail store}",
                "system {is |}going down",
            ],
        )],
    )
    .unless(&[
        GREYLISTED,
        "alert internal error",
        "storedrv",
        "5.7.{501|708|750}",
        "4.7.{5|6}#",
        "disk space to {download|copy}",
    ]),
    known(
        "come-back-later",
        "leave the message in the Outbox, and send again in ten minutes",
        &[(
            Send,
            &[
                GREYLISTED,
                "service {is |}not available",
                "{try|please try|retry} {again |it |}later",
                "{try|please try|retry} again in {#|a few} {second|minute|hour}~",
                "{temporarily|temporary} {deferred|rejected|unavailable|refused|rejection|delayed|reject}",
                "receiving mail {too quickly|at a rate}",
                "resources temporarily",
                "{defer|deferred|deferring} {for|due|your|until}",
                "delivery time expired",
                "delivery * {has been|is} delayed",
                "{432|450|452|421}{ |-}4.3.{1|2} storedrv~",
                "recipient thread limit",
                "{421|450|451}{ |-}4.7.{5|6}#",
                "unverified address",
                "{450|451|421}{ |-}* mailbox {is |}{unavailable|busy}",
                "rp-00#",
            ],
        )],
    ),
    known(
        "command-not-known",
        "if mail comes all the same, ignore it: programs try such commands and do without them; otherwise run: ostler check",
        // Not at the sign-in: there it is the way of signing in that is not known.
        &[(Fetch, UNKNOWN_COMMAND), (Send, UNKNOWN_COMMAND)],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_entry_is_well_formed() {
        let mut causes = HashSet::new();
        let mut patterns = HashSet::new();
        for known in KNOWN_WORDS {
            assert!(causes.insert(known.cause), "{} is there twice", known.cause);
            for pattern in known.patterns() {
                assert_eq!(*pattern, pattern.to_ascii_lowercase(), "{}", known.cause);
                // A star divides a pattern before anything else does.
                assert!(
                    pattern.split('*').all(|part| part.matches('{').count() == part.matches('}').count()),
                    "{pattern}"
                );
                patterns.insert(pattern);
            }
            for host in known.hosts {
                assert_eq!(*host, host.to_ascii_lowercase(), "{}", known.cause);
            }
            if let Some(advice) = known.advice {
                assert!(advice.len() > 15 && advice.len() < 200 && advice.is_ascii(), "{}: {advice}", known.cause);
                assert!(!advice.ends_with('.') && !advice.contains("--explain"), "{}: {advice}", known.cause);
            }
        }
        assert!(patterns.len() > 200);
    }

    /// A reply of ostler's holds its advice, and is searched as a whole when it is pasted.
    #[test]
    fn no_advice_has_the_words_of_another_cause() {
        for one in KNOWN_WORDS {
            let text = Text::new(one.advice.unwrap_or_default());
            for other in KNOWN_WORDS.iter().filter(|other| other.cause != one.cause) {
                let found = other.find(&text, &[SignIn, Fetch, OwnMailbox, Send, Tls]);
                assert_eq!(found, None, "the advice of {} has words of {}", one.cause, other.cause);
            }
        }
    }

    #[test]
    fn the_same_words_mean_what_the_stage_makes_of_them() {
        let cause = |said: &str, stage| by_words(said, &[stage]).map(|known| known.cause);
        assert_eq!(cause("no such user", Send), Some("no-such-recipient"));
        assert_eq!(cause("no such user", SignIn), None);
        assert_eq!(cause("mailbox is full", Send), Some("recipient-full"));
        assert_eq!(cause("mailbox is full", OwnMailbox), Some("own-mailbox-full"));
    }

    #[test]
    fn a_server_is_known_by_its_name_where_its_words_say_little() {
        let cause = |host, said| of_refused_sign_in(host, said).map(|known| known.cause);
        let vague = "Logon failure: unknown user name or bad password.";
        assert_eq!(cause("mail.example.net", vague), Some("exchange-logon"));
        assert_eq!(cause("Outlook.Office365.com", vague), Some("microsoft-web-sign-in"));
        assert_eq!(cause("pop.gmail.com", "no"), Some("gmail-password"));
        assert_eq!(cause("pop.gmail.com", "Too many login attempts"), Some("too-many-sign-ins"));
        assert_eq!(cause("mail.example.net", "no"), None);
    }
}
