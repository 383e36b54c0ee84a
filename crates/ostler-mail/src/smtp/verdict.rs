//! Tells whether a refusal means that the gate is shut or that the message is unwanted. Servers say the former in a hundred
//! wordings and with a dozen codes, and the same codes mean spam, policy and unknown users. So both code and words count,
//! in the order below. The wordings are those of sendmail, Postfix, qmail, Exim, cPanel, Exchange, XMail, MDaemon, Courier,
//! IMail, Mercury, CommuniGate, VPOP3, Gordano and of hosts' own help pages.

use crate::smtp::Reply;

/// What a refusal says about the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It means the message, or it is not a refusal.
    NotTheGate,
    /// The gate is shut.
    Shut,
    /// The gate may be shut: the refusal gives no reason.
    Perhaps,
}

/// How much of a reply is searched for its reason. Real refusals have a few hundred characters; a hostile one of 200 full
/// lines would keep the thread busy for seconds.
const MAX_REASON_CHARS: usize = 4096;

/// What a refusal means.
pub fn verdict(reply: &Reply) -> Verdict {
    // 421 closes the connection (RFC 5321, 3.8), whatever its words are.
    if reply.code == 421 || !(400..600).contains(&reply.code) {
        return Verdict::NotTheGate;
    }
    // Enhanced codes (RFC 3463): x.1 recipient, x.2 mailbox, x.3 system, x.5 protocol. Such a server means what it says,
    // whatever its words are. x.7, policy, may be either.
    if let Some(code) = reply.enhanced()
        && matches!(code.split('.').nth(1), Some("1" | "2" | "3" | "5"))
    {
        return Verdict::NotTheGate;
    }
    let text: String = reply.text().chars().take(MAX_REASON_CHARS).collect();
    let text = words_of(&text);
    if says_shut(&text) {
        return Verdict::Shut;
    }
    // Greylisting has many wordings; most of them end in the same words.
    if NOT_THE_GATE.iter().any(|words| has_words(&text, words)) || text.ends_with("try again later") {
        return Verdict::NotTheGate;
    }
    // A server that asks for AUTH without offering it takes a POP3 login instead.
    let wants_sign_in = ["authentication required", "must authenticate", "not authenticated", "log in first"];
    if matches!(reply.code, 530 | 535 | 571) || wants_sign_in.iter().any(|w| text.contains(w)) {
        return Verdict::Shut;
    }
    match reply.code {
        // Busy, out of space, syntax, sequence, size, no mail: these codes have meanings of their own.
        450 | 451 | 452 | 501 | 502 | 503 | 505 | 552 | 556 => Verdict::NotTheGate,
        _ => Verdict::Perhaps,
    }
}

/// Refusals that mean the recipient, the sender, the content or the state of the server.
const NOT_THE_GATE: [&str; 38] = [
    "no such user",
    "user unknown",
    "unknown user",
    "unknown recipient",
    "no mailbox",
    "mailbox unavailable",
    "mailbox full",
    "mailbox disabled",
    "mailbox not found",
    "address unavailable",
    "does not exist",
    "over quota",
    "greylist",
    "graylist",
    "spam",
    "blacklist",
    "blocklist",
    "blocked using",
    "blocked by",
    "rbl",
    "dnsbl",
    "listed at",
    "listed in",
    "listed by",
    "listed on",
    "virus",
    "too many",
    "size limit",
    "databytes limit",
    "message size",
    "too large",
    "no dns",
    "no mx",
    "reverse dns",
    "bad sender",
    "sender address syntax",
    "need mail",
    "need rcpt",
];

/// Words that refuse, after "relay".
const REFUSED: [&str; 7] =
    ["denied", "not permitted", "not allowed", "prohibited", "forbidden", "unavailable", "refused"];

/// Words that refuse, before "relay".
const UNABLE: [&str; 15] = [
    "denied",
    "not permitted",
    "not allowed",
    "not authorised",
    "not authorized",
    "unable",
    "cannot",
    "can't",
    "don't",
    "doesn't",
    "won't",
    "will not",
    "we do not",
    "do not",
    "not currently permitted",
];

/// Words for fetching mail.
const COLLECT: [&str; 15] = [
    "check",
    "checked",
    "read",
    "retrieve",
    "retrieved",
    "receive",
    "received",
    "fetch",
    "pop",
    "download",
    "collect",
    "logged in",
    "log in",
    "login",
    "logged into",
];

/// Words for mail.
const MAIL: [&str; 7] = ["mail", "e-mail", "email", "pop", "pop3", "imap", "messages"];

/// Words for "first".
const BEFORE: [&str; 4] = ["first", "before", "within", "minutes"];

/// Phrases that mean a shut gate by themselves: qmail's "allowed rcpthosts", sendmail's "not local host", and hosts' own.
const PHRASES: [&str; 20] = [
    "allowed rcpthosts",
    "not a gateway",
    "not local host",
    "no relay",
    "pop3 authorization",
    "pop3 authorisation",
    "pop authorization",
    "pop/apop",
    "pop authentication",
    "pop3 authentication",
    "smtp after pop",
    "smtp-after-pop",
    "smtp-after-pop3",
    "pop before smtp",
    "pop-before-smtp",
    "pop3-before-smtp",
    "authenticate with pop",
    "authenticate via pop",
    "authenticate using pop",
    "access denied for",
];

/// Whether the words mean a shut gate, whatever the code.
fn says_shut(text: &str) -> bool {
    PHRASES.iter().any(|phrase| has_words(text, phrase))
        || text.contains("server use forbidden")
        || text.contains("server access forbidden")
        // "Relay access denied", "unable to relay".
        || near(text, &["relay", "relayed", "relaying", "relays"], 40, &REFUSED)
        || near(text, &UNABLE, 40, &["relay", "relaying", "relayed"])
        // "You must check your mail before you send", "first read your messages".
        || three_near(text, &COLLECT, 60, &MAIL, &BEFORE)
        || three_near(text, &["first"], 30, &COLLECT, &MAIL)
}

/// The words of a reply in lower case with single blanks. `<...>` and addresses are left out: a mailbox may be called
/// "relay".
fn words_of(text: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    for c in text.to_lowercase().chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            _ => plain.push(c),
        }
    }
    plain.split_whitespace().filter(|word| !word.contains('@')).collect::<Vec<_>>().join(" ")
}

/// Whether `words` stands in `text` as whole words.
fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| is_whole(text, &(at..at + words.len())))
}

fn is_whole(text: &str, range: &std::ops::Range<usize>) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !letter(text[..range.start].chars().next_back()) && !letter(text[range.end..].chars().next())
}

/// The ends of all words of `second` that follow one of `first` after at most `gap` octets.
fn follow_ups(text: &str, first: &[&str], gap: usize, second: &[&str]) -> Vec<usize> {
    let ends = |words: &&str| -> Vec<usize> {
        text.match_indices(*words)
            .map(|(at, _)| at..at + words.len())
            .filter(|range| is_whole(text, range))
            .map(|range| range.end)
            .collect()
    };
    let first_ends: Vec<usize> = first.iter().flat_map(ends).collect();
    second
        .iter()
        .flat_map(|words| ends(words).into_iter().map(|end| (end - words.len(), end)))
        .filter(|(start, _)| first_ends.iter().any(|end| start >= end && start - end <= gap + 1))
        .map(|(_, end)| end)
        .collect()
}

/// Whether any of `second` follows any of `first` after at most `gap` octets.
fn near(text: &str, first: &[&str], gap: usize, second: &[&str]) -> bool {
    !follow_ups(text, first, gap, second).is_empty()
}

/// As [`near`], with any of `third` after the second at the same distance.
fn three_near(text: &str, first: &[&str], gap: usize, second: &[&str], third: &[&str]) -> bool {
    follow_ups(text, first, gap, second).into_iter().any(|from| {
        third.iter().any(|words| {
            text.match_indices(*words)
                .map(|(at, _)| at..at + words.len())
                .any(|range| range.start >= from && range.start - from <= gap + 1 && is_whole(text, &range))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MAX_REPLY_LINE_OCTETS, MAX_REPLY_LINES};

    fn at_rcpt(said: &str) -> Verdict {
        let (code, text) = said.split_at(3);
        verdict(&Reply::new(code.parse().unwrap(), text.trim_start()))
    }

    #[test]
    fn every_known_wording_of_a_shut_gate_is_known() {
        for said in [
            "550 5.7.1 <a@b>... Relaying denied",
            "550 5.7.1 <a@b>... Relaying denied. Proper authentication required.",
            "550 5.7.1 <a@b>... Relaying denied. IP name lookup failed [1.2.3.4]",
            "450 4.4.0 <a@b>... Relaying temporarily denied. Cannot resolve PTR record for 1.2.3.4",
            "451 relay unavailable",
            "554 5.7.1 <a@b>: Relay access denied",
            "554 <a@b>: Recipient address rejected: Relay access denied",
            "454 4.7.1 <a@b>: Relay access denied",
            "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
            "553 sorry, relaying denied from your location [1.2.3.4] (#5.7.1)",
            "553 sorry, we don't relay for [1.2.3.4] (#5.7.1)",
            "550 relay not permitted",
            "550 host (x) [1.2.3.4]:1 is currently not permitted to relay through this server. Perhaps you have not logged into the pop/imap server in the last 30 minutes or do not have SMTP Authentication turned on in your email client.",
            "550 5.7.1 Unable to relay for a@b",
            "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
            "550 Sorry, you must check your mail first",
            "504 You did not authenticate properly using SMTP-after-POP3",
            "550 Relay denied",
            "551 Server use forbidden",
            "530 SMTP authentication is required.",
            "513 Relaying denied.",
            "571 a@b we do not relay",
            "571 a@b prohibited. We do not relay",
            "550 not local host b, not a gateway",
            "553 We do not relay non-local mail, sorry.",
            "550 5.7.1 Relaying not allowed! Bad sender IP address",
            "550 Mail Relay not allowed",
            "550 Relaying denied - please see http://example.net/",
            "550 sorry, you must get POP/APOP authorization.",
            "550 sorry, you must first check your e-mail before you are allowed to send e-mail through this server.",
            "550 Relaying Denied: Authenticate with POP first",
            "503 5.7.0 Error: access denied for unknown[1.2.3.4]",
        ] {
            assert_eq!(at_rcpt(said), Verdict::Shut, "{said}");
        }
    }

    #[test]
    fn refusals_about_the_message_are_passed_on() {
        for said in [
            "550 5.1.1 <a@b>: Recipient address rejected: User unknown",
            "550 No such user here",
            "450 4.2.0 <a@b>: Recipient address rejected: Greylisted",
            "451 4.7.1 Greylisting in action, please try again later",
            "552 5.2.2 mailbox full",
            "552 message size exceeds limit",
            "554 5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen.example.org",
            "550 5.7.1 Message rejected as spam",
            "553 5.1.8 bad sender address",
            "421 4.7.0 too many connections, relaying denied",
            "250 2.1.5 OK, no relaying denied",
            "452 4.5.3 too many recipients",
            "501 syntax error",
        ] {
            assert_eq!(at_rcpt(said), Verdict::NotTheGate, "{said}");
        }
    }

    #[test]
    fn a_bare_refusal_may_be_the_gate() {
        for said in [
            "550 Administrative prohibition",
            "550 Invalid recipient: <a@b>",
            "550 5.7.1 Access denied",
            "554 no",
            "550 5.7.1 Message rejected by local policy",
        ] {
            assert_eq!(at_rcpt(said), Verdict::Perhaps, "{said}");
        }
    }

    #[test]
    fn a_refusal_wrapped_in_mid_phrase_is_read_whole() {
        let reply = Reply { code: 550, lines: vec!["5.7.1 <x@y>... Relaying".into(), "5.7.1 denied.".into()] };
        assert_eq!(verdict(&reply), Verdict::Shut);
    }

    /// The work of reading is bounded because what is read is: the search costs the square of the text at worst.
    #[test]
    fn the_longest_reply_there_can_be_is_read_up_to_its_limit() {
        let relay = "relay ".repeat(MAX_REPLY_LINE_OCTETS / 6);
        let denied = "denied ".repeat(MAX_REPLY_LINE_OCTETS / 7);
        let mut lines = vec![relay; MAX_REPLY_LINES / 2];
        lines.push("x".repeat(60));
        lines.resize(MAX_REPLY_LINES, denied);
        // "denied" comes 800,000 octets after the first "relay".
        assert_eq!(verdict(&Reply { code: 550, lines }), Verdict::Perhaps);
        let said = |before: usize| Reply::new(550, &format!("{} relay denied", "x".repeat(before)));
        assert_eq!(verdict(&said(MAX_REASON_CHARS - 13)), Verdict::Shut);
        assert_eq!(verdict(&said(MAX_REASON_CHARS - 12)), Verdict::Perhaps);
    }

    #[test]
    fn words_inside_other_words_do_not_count() {
        assert_eq!(at_rcpt("550 verbless marblepop first"), Verdict::Perhaps);
    }

    #[test]
    fn what_stands_in_brackets_is_no_reason() {
        for said in ["550 <relay denied> no", "550 a > b <relay denied> no", "550 <relay> is what I <denied>"] {
            assert_eq!(at_rcpt(said), Verdict::Perhaps, "{said}");
        }
        assert_eq!(at_rcpt("550 <a@b>, relay denied"), Verdict::Shut);
    }

    #[test]
    fn words_inside_other_words_do_not_count_whichever_end_they_are() {
        for said in ["550 casino relay", "550 no relayer", "550 relay undenied", "550 before you read mail"] {
            assert_eq!(at_rcpt(said), Verdict::Perhaps, "{said}");
        }
        assert_eq!(at_rcpt("550 (no relay)"), Verdict::Shut);
    }

    #[test]
    fn words_far_from_each_other_do_not_belong_together() {
        for (before, between, behind) in [("relay", 39, "denied"), ("cannot", 39, "relay"), ("read mail", 59, "first")]
        {
            let said = |more: usize| format!("550 {before} {} {behind}", "-".repeat(between + more));
            assert_eq!(at_rcpt(&said(0)), Verdict::Shut, "{before}, {behind}");
            assert_eq!(at_rcpt(&said(1)), Verdict::Perhaps, "{before}, {behind}");
        }
    }
}
