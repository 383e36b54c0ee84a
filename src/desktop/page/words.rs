//! Advice as the page gives it. The engine's sentences name commands, for logs and terminals; on the page the same is a click.

use std::cmp::Reverse;

/// What the page has in place of a command: to do, and as a thing.
struct OnPage {
    command: &'static str,
    to_do: &'static str,
    thing: &'static str,
}

const COMMANDS: [OnPage; 13] = [
    OnPage {
        command: "ostler guide oauth2-microsoft",
        to_do: "read \"Sign in at Microsoft\" in the manual",
        thing: "\"Sign in at Microsoft\" in the manual",
    },
    OnPage {
        command: "ostler guide oauth2-google",
        to_do: "read \"Sign in at Google\" in the manual",
        thing: "\"Sign in at Google\" in the manual",
    },
    OnPage {
        command: "ostler guide oauth2-yahoo",
        to_do: "read \"Sign in at Yahoo\" in the manual",
        thing: "\"Sign in at Yahoo\" in the manual",
    },
    OnPage {
        command: "ostler list --passwords",
        to_do: "look at the page of the account",
        thing: "the page of the account",
    },
    OnPage {
        command: "ostler password --oauth2",
        to_do: "type it under Settings, on the page of that company",
        thing: "the page of that company under Settings",
    },
    OnPage {
        command: "ostler password",
        to_do: "type it under \"Another password\" on the page of the account",
        thing: "\"Another password\" on the page of the account",
    },
    OnPage {
        command: "ostler sign-out",
        to_do: "sign out on the page of the account",
        thing: "the page of the account",
    },
    OnPage {
        command: "ostler sign-in",
        to_do: "use the button on the page of the account",
        thing: "the button on the page of the account",
    },
    OnPage {
        command: "ostler check",
        to_do: "click \"Test now\" on the page of the account",
        thing: "the test of the account",
    },
    OnPage { command: "ostler remove", to_do: "use its page", thing: "the page of the account" },
    OnPage { command: "ostler resume", to_do: "use the button on the overview", thing: "the overview" },
    OnPage { command: "ostler status", to_do: "look at the overview", thing: "the overview" },
    OnPage { command: "ostler list", to_do: "look at the overview", thing: "the overview" },
];

/// Where an account is being added, and has no page of its own yet: above the form that tries again.
const COMMANDS_ABOVE_FORM: [OnPage; 3] = [
    OnPage { command: "ostler password", to_do: "type it below", thing: "the form below" },
    OnPage { command: "ostler sign-in", to_do: "use the button below", thing: "the button below" },
    OnPage { command: "ostler check", to_do: "try again below", thing: "the page of the account, once it is saved," },
];

/// The text with each command replaced by its place on the page.
pub(crate) fn on_page(text: &str) -> String {
    replace_commands(text, &[])
}

/// As [`on_page`], above the form of an account that is not saved yet.
pub(super) fn above_form(text: &str) -> String {
    replace_commands(text, &COMMANDS_ABOVE_FORM)
}

/// As a sentence, with its full stop.
pub(super) fn stopped(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

/// The places in `first` count before the usual ones.
fn replace_commands(text: &str, first: &'static [OnPage]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, place)) = first_command(rest, first) {
        let (before, after) = (&rest[..at], &rest[at + place.command.len()..]);
        let after = skip_arguments(after);
        let acts = after.strip_prefix(' ').is_some_and(is_verb);
        let noun = before.strip_suffix(": ").filter(|start| start.ends_with(" with") || start.ends_with(" of"));
        let before = before.trim_end_matches('`');
        match noun {
            Some(start) => out.extend([start, " ", place.thing]),
            None if acts => out.extend([before, place.thing]),
            None => {
                let start = before.strip_suffix("run: ").or_else(|| before.strip_suffix("run ")).unwrap_or(before);
                out.extend([start, place.to_do]);
            }
        }
        rest = after;
    }
    out + rest
}

fn first_command(text: &str, first: &'static [OnPage]) -> Option<(usize, &'static OnPage)> {
    let places = first.iter().chain(&COMMANDS);
    let all = places.filter_map(|place| Some((text.find(place.command)?, place)));
    // Of two at the same place the longer one.
    all.min_by_key(|(at, place)| (*at, Reverse(place.command.len())))
}

/// Whether the command before these words does something by itself, as in `ostler check shows it`.
fn is_verb(words: &str) -> bool {
    ["shows", "names", "sets", "says", "tries"].iter().any(|verb| words.starts_with(verb))
}

/// What follows a command and its arguments: options, and the name of an account, which may stand in quotes.
fn skip_arguments(text: &str) -> &str {
    let mut rest = text;
    while let Some(word) = rest.strip_prefix(' ') {
        let is_name = word.starts_with(|c: char| c == '\'' || c == '"' || c.is_uppercase()) || word.contains('@');
        let is_last = !word.contains([' ', ',', ';']) || word.split(' ').next().is_some_and(|word| word.contains('`'));
        if is_verb(word) || !word.starts_with("--") && !is_name && !is_last {
            break;
        }
        rest = match word.chars().next() {
            Some(quote @ ('\'' | '"')) => word[1..].split_once(quote).map_or("", |(_, behind)| behind),
            _ => word.find([' ', ',', ';', '`']).map_or("", |end| &word[end..]),
        };
    }
    rest.strip_prefix('`').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::explain::causes;

    #[test]
    fn a_command_becomes_its_place_on_the_page() {
        for (said, shown) in [
            (
                "compare them, then run: ostler check",
                "compare them, then click \"Test now\" on the page of the account",
            ),
            ("run: ostler password club", "type it under \"Another password\" on the page of the account"),
            (
                "run: ostler password 'my club', or wait",
                "type it under \"Another password\" on the page of the account, or wait",
            ),
            ("try everything with: ostler check", "try everything with the test of the account"),
            ("trust it by pin, which ostler check shows", "trust it by pin, which the test of the account shows"),
            (
                "run `ostler password --oauth2 corp`, and try again",
                "type it under Settings, on the page of that company, and try again",
            ),
            ("otherwise run ostler status", "otherwise look at the overview"),
            ("run ostler status for the last failure", "look at the overview for the last failure"),
            ("paused: run ostler resume", "paused: use the button on the overview"),
            ("nothing to do", "nothing to do"),
        ] {
            assert_eq!(on_page(said), shown);
        }
    }

    #[test]
    fn what_is_not_saved_yet_has_no_page() {
        for (said, shown) in [
            (
                "try another password: ostler password NAME, then run: ostler check",
                "try another password: type it below, then try again below",
            ),
            (
                "check user name and password: ostler password sets a new one",
                "check user name and password: the form below sets a new one",
            ),
            ("sign in again: ostler sign-in ann@example.net", "sign in again: use the button below"),
            (
                "is not in the keyring: run `ostler password --oauth2 corp`",
                "is not in the keyring: type it under Settings, on the page of that company",
            ),
            (
                "trust it by pin, which ostler check shows",
                "trust it by pin, which the page of the account, once it is saved, shows",
            ),
            ("otherwise run ostler status", "otherwise look at the overview"),
        ] {
            assert_eq!(above_form(said), shown);
        }
        assert_eq!(["no", "no.", "why?"].map(stopped), ["no.", "no.", "why?"]);
    }

    #[test]
    fn no_advice_names_a_command_there() {
        for cause in causes() {
            for text in [&cause.next, &cause.likely] {
                let shown = on_page(text);
                for place in &COMMANDS {
                    assert!(!shown.contains(place.command), "{}: {shown}", cause.id);
                }
                assert!(!shown.contains("NAME"), "{}: {shown}", cause.id);
            }
        }
    }
}
