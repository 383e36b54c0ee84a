//! Whether a server that refuses a sign-in refuses the user name and password, or the way in which they were given. After
//! the first nothing may be tried again: providers lock accounts for that. After the second the next way may work. A server
//! that wants TLS before a sign-in has judged nothing, but must not be given the password in another way in clear.
//!
//! The rule is the table [`RULES`]; nothing else decides it.

/// What a refused sign-in is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalOf {
    /// The user name, the password, or what this account may do.
    Credentials,
    /// The way of giving them. The server has not judged the password.
    Way,
    /// The password on a connection that is not encrypted, in any way that gives it. The server wants TLS first.
    InClear,
    /// The form of the command, perhaps only that it had the answer in it (RFC 4954, section 4: an initial response).
    CommandForm,
}

use RefusalOf::{CommandForm, Credentials, InClear, Way};

/// A reply with one of `codes` (any code if there are none; POP3 has none) and one of `words` (any text if there are none)
/// refuses `what`. The first rule that fits decides.
struct Rule {
    codes: &'static [u16],
    words: &'static [&'static str],
    what: RefusalOf,
}

/// Words are in lower case, and parts of words count.
const RULES: &[Rule] = &[
    // Words that name TLS. Before everything else: "password authentication requires TLS", also with 535 and with [AUTH].
    Rule {
        codes: &[],
        words: &[
            "tls first",
            "ssl first",
            "use tls",
            "use ssl",
            "use starttls",
            "use stls",
            "issue starttls",
            "issue a starttls",
            "requires ssl",
            "requires tls",
            "requires starttls",
            "requires encryption",
            "tls required",
            "tls is required",
            "ssl required",
            "ssl is required",
            "encryption required",
            "encryption is required",
            // RFC 5248, X.7.10.
            "encryption needed",
        ],
        what: InClear,
    },
    // RFC 5321, 4.2.2, and RFC 4954, section 4: not implemented, not at this time, unknown parameter. Exchange: "504 5.7.4
    // Unrecognized authentication type". Exim: "504 PLAIN authentication mechanism not supported", "503 AUTH command used
    // when not advertised". Postfix: "503 5.5.1 Error: authentication not enabled". qmail: "504 auth type unimplemented".
    Rule { codes: &[502, 503, 504], words: &[], what: Way },
    // RFC 4954, section 6: encryption required for the requested mechanism. Sendmail and qmail ("530 auth type prohibited").
    Rule { codes: &[530, 538], words: &[], what: InClear },
    // Microsoft 365: no mechanism with a password will do, so another one is a try in vain.
    Rule { codes: &[], words: &["basic authentication"], what: Credentials },
    // Dovecot: "Plaintext authentication disallowed"; others: "cleartext passwords not allowed". Before the word "password".
    Rule {
        codes: &[],
        words: &["plaintext", "plain text", "plain-text", "cleartext", "clear text", "clear-text", "unencrypted"],
        what: InClear,
    },
    // Before the words about mechanisms: "invalid password for this authentication method" is final.
    Rule {
        codes: &[],
        words: &["password", "credential", "username", "user name", "log in via your web"],
        what: Credentials,
    },
    // Servers that want AUTH and its answer on two lines.
    Rule { codes: &[], words: &["initial response", "initial-response"], what: CommandForm },
    // Postfix with Cyrus SASL: "535 5.7.8 Error: authentication failed: " and then "Invalid authentication mechanism", "no
    // mechanism available", "bad protocol / cancel" or "generic failure" (no word of the password, and none was looked at).
    // RFC 4954, section 6: "534 5.7.9 Authentication mechanism is too weak". Dovecot: "Unsupported authentication mechanism".
    Rule {
        codes: &[],
        words: &[
            "mechanism",
            "authentication type",
            "auth type",
            "authtype",
            "authentication method",
            "auth method",
            "login method",
            "authentication scheme",
            "too weak",
            "unsupported auth",
            "unrecognized auth",
            "unknown auth",
            "authentication not supported",
            "authentication is not supported",
            "authentication not enabled",
            "authentication is not enabled",
            "authentication not available",
            "auth not available",
            "auth not supported",
            "not advertised",
            "bad protocol / cancel",
            "generic failure",
        ],
        what: Way,
    },
    // The command itself. POP3 servers say so without a code: "-ERR Unknown command.", "-ERR Unimplemented".
    Rule {
        codes: &[],
        words: &[
            "unknown command",
            "unrecognized command",
            "unrecognised command",
            "invalid command",
            "bad command",
            "illegal command",
            "no such command",
            "unsupported command",
            "command not",
            "command is not",
            "command unrecognized",
            "command unknown",
            "not implemented",
            "unimplemented",
            "syntax error",
        ],
        what: CommandForm,
    },
    // RFC 5321, 4.2.2: syntax errors; RFC 4954, section 4: an answer that is malformed or not base64.
    Rule { codes: &[500, 501], words: &[], what: CommandForm },
    // RFC 4954, section 6. Without words about the way this means the password, also right after the command.
    Rule { codes: &[534, 535], words: &[], what: Credentials },
];

/// What a refusal is about. `code` is that of SMTP. `had_name`: the server was given at least the user name; else there was
/// nothing to refuse but the way.
pub(crate) fn refusal_of(code: Option<u16>, text: &str, had_name: bool) -> RefusalOf {
    let text = text.to_ascii_lowercase();
    let fits = |rule: &&Rule| {
        (rule.codes.is_empty() || code.is_some_and(|code| rule.codes.contains(&code)))
            && (rule.words.is_empty() || rule.words.iter().any(|words| text.contains(words)))
    };
    let otherwise = if had_name { Credentials } else { Way };
    RULES.iter().find(fits).map_or(otherwise, |rule| rule.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the doctor's wordings has the refusals of a sign-in too. What `ostler check` blames and what ostler tries
    /// next must not disagree, and no account may be locked by a second try.
    #[test]
    fn the_wordings_of_the_doctor_are_judged_alike() {
        let table = include_str!("../../../../tests/field/wordings.tsv");
        let (mut ways, mut in_clear, mut final_ones) = (0, 0, 0);
        for line in
            table.lines().filter(|line| line.starts_with("sign-in-smtp\t") || line.starts_with("sign-in-pop3\t"))
        {
            let [_, cause, _, text] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let code = text.get(..3).and_then(|code| code.parse().ok());
            let what = refusal_of(code, text, true);
            match cause {
                "mechanism-refused" | "no-sign-in-here" => {
                    assert_ne!(what, Credentials, "{line}");
                    ways += 1;
                }
                "wants-encryption" => {
                    assert_eq!(what, InClear, "{line}");
                    in_clear += 1;
                }
                "password-refused"
                | "app-password"
                | "yahoo-app-password"
                | "gmail-app-password"
                | "gmail-password"
                | "gmail-web-login"
                | "account-blocked"
                | "password-expired"
                | "microsoft-web-sign-in"
                | "exchange-logon" => {
                    assert_eq!(what, Credentials, "{line}");
                    final_ones += 1;
                }
                _ => {}
            }
        }
        assert!(ways >= 8 && in_clear >= 6 && final_ones >= 35, "{ways} {in_clear} {final_ones}");
    }

    #[test]
    fn a_refusal_of_the_password_is_told_from_one_of_the_way() {
        for (code, text, what) in [
            (502, "5.5.2 Error: command not recognized", Way),
            (503, "AUTH command used when not advertised", Way),
            (503, "5.5.1 Error: authentication not enabled", Way),
            (504, "5.7.4 Unrecognized authentication type", Way),
            (504, "auth type unimplemented (#5.5.1)", Way),
            (504, "plain password authentication is off", Way),
            (530, "auth type prohibited (#5.7.0)", InClear),
            (538, "5.7.11 Encryption required for requested authentication mechanism", InClear),
            (538, "auth not available without TLS (#5.3.3)", InClear),
            (535, "5.7.8 Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", InClear),
            (535, "5.7.8 Password authentication requires TLS", InClear),
            (503, "5.5.1 STARTTLS first", InClear),
            (535, "5.7.8 Error: authentication failed: Invalid authentication mechanism", Way),
            (535, "5.7.8 Error: authentication failed: no mechanism available", Way),
            (535, "5.7.8 Unsupported authentication type", Way),
            (535, "5.7.8 PLAIN is not a supported authentication method", Way),
            (534, "5.7.9 Authentication mechanism is too weak", Way),
            (534, "5.7.9 cleartext passwords are not allowed here", InClear),
            (550, "5.7.0 mechanism not supported", Way),
            (535, "5.7.8 no initial response, please", CommandForm),
            (500, "5.5.1 Command unrecognized", CommandForm),
            (501, "5.5.2 Cannot decode response", CommandForm),
            (501, "malformed auth input (#5.5.4)", CommandForm),
            (501, "5.7.8 bad password", Credentials),
            (535, "5.7.8 Error: authentication failed:", Credentials),
            (535, "5.7.8 Error: authentication failed: authentication failure", Credentials),
            (535, "5.7.8 Username and Password not accepted", Credentials),
            (535, "5.7.8 invalid password for this authentication mechanism", Credentials),
            (535, "5.7.3 Authentication unsuccessful", Credentials),
            (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled.", Credentials),
            (550, "5.7.30 Basic authentication is not supported for Client Submission.", Credentials),
            (534, "5.7.9 Application-specific password required", Credentials),
            (534, "5.7.14 Please log in via your web browser and then try again.", Credentials),
            (550, "no", Credentials),
            (535, "", Credentials),
        ] {
            assert_eq!(refusal_of(Some(code), text, true), what, "{code} {text}");
        }
    }

    #[test]
    fn where_no_name_was_given_only_words_about_it_refuse_it() {
        assert_eq!(refusal_of(None, "no", false), Way);
        assert_eq!(refusal_of(None, "no", true), Credentials);
        assert_eq!(refusal_of(None, "bad password", false), Credentials);
        assert_eq!(refusal_of(Some(550), "no", false), Way);
        assert_eq!(refusal_of(Some(535), "authentication failed", false), Credentials);
    }

    #[test]
    fn every_rule_can_decide() {
        for (n, rule) in RULES.iter().enumerate() {
            assert!(!(rule.codes.is_empty() && rule.words.is_empty()), "rule {n} fits everything");
            for words in rule.words {
                assert_eq!(*words, words.to_ascii_lowercase());
                let first = RULES.iter().position(|other| {
                    other.codes.is_empty() && other.words.iter().any(|earlier| words.contains(earlier))
                });
                assert_eq!(first, Some(n), "\"{words}\" is never reached");
            }
        }
    }
}
