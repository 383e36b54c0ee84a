//! A pasted text: the codes, replies and servers that it names, and where in a session it comes from.

use std::ops::Deref;

use ostler_mail::account::is_this_computer;
use ostler_mail::failure::known_words::Stage;
use ostler_mail::failure::wording::Text;
use ostler_mail::smtp::Reply;

/// A text from a mail program's dialog, a log or a returned mail.
pub(super) struct Pasted(Text);

impl Deref for Pasted {
    type Target = Text;

    fn deref(&self) -> &Text {
        &self.0
    }
}

/// What only a POP3 session has.
const FETCHING: [&str; 6] = [
    "-err",
    "said: err",
    "protocol: {pop|pop3}",
    "{pop|pop3} {mail |}server",
    "sending of {password|username} did not succeed",
    "retr~ #",
];
/// What only an SMTP session or a returned mail has, beside a reply with a number.
const SENDING: [&str; 6] = [
    "protocol: smtp",
    "smtp {mail |}server",
    "{rcpt to|mail from|data} command",
    "diagnostic-code: smtp",
    "{rcpt to|mail from}:",
    "{undelivered|undeliverable|returned mail}",
];
/// What only a text about mail has.
const OF_MAIL: [&str; 3] = [
    "{mail~|e-mail~|email~|maildrop~|mailbox~|message~|inbox|outbox|recipient~|sender|attachment~|attached}",
    "{server~|service|smtp|pop|pop3|imap|uidl|tls|ssl|account~|login~|logon~|sign-in~|authentication|spam|grey~|gray~}",
    "{outlook|eudora|netscape|mozilla|thunderbird|entourage|ostler}",
];
/// Words of a sign-in in a refusal whose number is mostly about a message.
const SIGNING_IN: [&str; 1] = [
    "{auth|authentication|authenticated|login|logins|logon|log in|logged in|password|sign in|sign-in|credentials|no permission|pop|pop3|imap|smtpclientauthentication}",
];
/// The replies to MAIL, RCPT and DATA (RFC 5321, section 4.3.2). Only some servers have them for a sign-in.
const ABOUT_MESSAGE: [u16; 9] = [450, 451, 452, 550, 551, 552, 553, 554, 555];
/// The replies to AUTH. A few servers have some of them for MAIL and RCPT.
const ABOUT_SIGN_IN: [u16; 6] = [432, 435, 454, 534, 535, 538];
/// Words that want a sign-in, and refuse none.
const SIGN_IN_WANTED: [&str; 2] =
    ["{required|requires|first|before|not authenticated}", "{must|please|need to|have to}"];

impl Pasted {
    pub(super) fn new(text: &str) -> Self {
        Self(Text::new(text))
    }

    /// Where in a session the text may come from; everything, if it does not tell.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let codes: Vec<u16> = self.replies().filter(|(.., is_quoted)| *is_quoted).map(|(code, ..)| code).collect();
        let sends = !codes.is_empty() || self.has_any(&SENDING);
        let fetches = !sends && self.has_any(&FETCHING);
        let is_about_message = !codes.is_empty() && codes.iter().all(|code| ABOUT_MESSAGE.contains(code));
        let said = self.quote();
        let said: &Text = said.as_ref().unwrap_or(self);
        // RFC 4954, section 6: these answer AUTH, and no command of a message, unless it is told to sign in first.
        let is_about_sign_in = !codes.is_empty()
            && codes.iter().all(|code| ABOUT_SIGN_IN.contains(code))
            && said.has_any(&SIGNING_IN)
            && !said.has_any(&SIGN_IN_WANTED);
        let mut stages = vec![Stage::Tls];
        stages.extend((!is_about_message || said.has_any(&SIGNING_IN)).then_some(Stage::SignIn));
        stages.extend((!sends).then_some(Stage::Fetch));
        stages.extend(fetches.then_some(Stage::OwnMailbox));
        stages.extend((!fetches && !is_about_sign_in).then_some(Stage::Send));
        stages
    }

    /// Whether it is about mail at all, and not the message of any program.
    pub(super) fn is_of_mail(&self) -> bool {
        self.replies().any(|(.., is_quoted)| is_quoted)
            || self.plain().contains('@')
            || self.has_any(&FETCHING)
            || self.has_any(&OF_MAIL)
    }

    /// The part of a dialog in which the program quotes the server, with the words that introduce it.
    pub(super) fn quote(&self) -> Option<Text> {
        const INTRODUCTIONS: [&str; 7] = [
            "i said:",
            "server response",
            "server * said:",
            "responded:",
            "gives this reason:",
            "response was:",
            "returned the error",
        ];
        let (at, _) = INTRODUCTIONS.iter().find_map(|words| self.place_of(words))?;
        let quote = self.plain().get(at..)?;
        // Outlook Express goes on behind it: `Server Response: '550 ..', Port: 25`.
        let end = quote.find("', ").map_or(quote.len(), |end| end + 1);
        quote.get(..end).map(Text::new)
    }

    /// A server's refusal, whatever its words are: its number, if it has one, and its words.
    pub(super) fn refusal(&self) -> Option<(Option<u16>, String)> {
        let numbered = self.replies().find(|(.., is_quoted)| *is_quoted);
        let numbered = numbered.map(|(code, words, _)| (Some(code), Reply::new(code, words).one_line()));
        numbered.or_else(|| {
            // Eudora leaves the hyphen out, and Netscape the whole -ERR.
            let marks = ["-err", "said: err", "server * responded: "];
            self.first_of(&marks).map(|words| (None, words))
        })
    }

    /// Every code in the text: as [`normalize_code`] writes it, and as it stands in the text.
    pub(super) fn codes(&self) -> Vec<(String, String)> {
        let words = self.plain().split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        // A hyphen before a word is the minus of a Mac program's number; elsewhere it divides words.
        let parts =
            words.flat_map(|word| std::iter::once(word).chain(word.split('-').filter(move |part| *part != word)));
        parts.filter_map(|word| normalize_code(word).map(|code| (code, word.to_owned()))).collect()
    }

    /// Every number that may be a server's reply: its code, the words after it, and whether it stands where programs
    /// quote a reply, which makes it more than any number.
    pub(super) fn replies(&self) -> impl Iterator<Item = (u16, &str, bool)> {
        let plain = self.plain();
        let octets = plain.as_bytes();
        let digit = move |at: usize| octets.get(at).is_some_and(u8::is_ascii_digit);
        (0..octets.len()).filter_map(move |at| {
            let begins =
                at.checked_sub(1).is_none_or(|before| octets.get(before).is_some_and(|b| b" '\"(:#<>[".contains(b)));
            // Not as in a telephone number; `550-5.1.1` is a reply.
            let is_number = |at: usize| digit(at) && octets.get(at + 1) != Some(&b'.');
            let ends = octets.get(at + 3).is_none_or(|b| match b {
                b'-' => !is_number(at + 4),
                // XMail and others end their number with a full stop.
                b'.' => octets.get(at + 4) == Some(&b' '),
                other => *other == b' ',
            });
            if !(begins && ends && digit(at) && digit(at + 1) && digit(at + 2)) {
                return None;
            }
            let code: u16 = plain.get(at..at + 3)?.parse().ok().filter(|code| (400..600).contains(code))?;
            let rest = plain.get(at + 3..).unwrap_or_default();
            // Outlook Express goes on behind the reply: `Server Response: '550 ..', Port: 25`.
            let end = rest.find("', ").unwrap_or(rest.len()).min(512);
            let before = plain.get(..at).unwrap_or_default().trim_end();
            let is_quoted = before.is_empty()
                || before.to_ascii_lowercase().ends_with("smtp;")
                || before.ends_with(['\'', '"', ':', '(', '#', '<', '>', '[']);
            Some((code, rest.get(..end)?.trim_start_matches([' ', '-', '.']), is_quoted))
        })
    }

    /// The server that a Microsoft program names in its dialog, if it is not this computer: then the mail program does
    /// not use ostler.
    pub(super) fn server_elsewhere(&self) -> Option<String> {
        self.lower().match_indices("server:").find_map(|(at, word)| {
            let rest = self.plain().get(at + word.len()..)?.trim_start();
            // Quotes, for the "Generating server:" of a returned mail has none.
            let name: String = rest.strip_prefix(['\'', '"'])?.chars().take_while(|c| !"'\", ".contains(*c)).collect();
            let lower = name.to_ascii_lowercase();
            // A name without a dot, or an address, is in the local network, and may be the computer that ostler runs
            // on.
            let far = lower.contains('.') && lower.chars().any(|c| c.is_ascii_alphabetic());
            (far && !is_this_computer(&lower)).then(|| format!("Server: '{name}'"))
        })
    }
}

/// A code in the form that is compared: `800ccc0e`, `10061`, `-3260`. People write it with or without `0x`, with the letter O
/// for zero, and with one of the three Cs missing.
pub(super) fn normalize_code(word: &str) -> Option<String> {
    if word.len() > 10 || !word.is_ascii() {
        return None;
    }
    if let Some(digits) = word.strip_prefix('-') {
        let is_number = matches!(digits.len(), 4 | 5) && digits.bytes().all(|b| b.is_ascii_digit());
        return is_number.then(|| word.to_owned());
    }
    let lower = word.to_ascii_lowercase();
    if lower.len() == 5 && lower.starts_with('1') && lower.bytes().all(|b| b.is_ascii_digit()) {
        return Some(lower);
    }
    let zeros = lower.replace('o', "0");
    let hex = zeros.strip_prefix("0x").unwrap_or(&zeros);
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match hex.len() {
        8 if hex.starts_with("800") => Some(hex.to_owned()),
        7 => hex.strip_prefix("800cc").map(|end| format!("800ccc{end}")),
        _ => None,
    }
}
