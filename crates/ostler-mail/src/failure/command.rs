//! Commands of ostler in texts for people, and the option that each of them has to repeat.
//!
//! A user who works with `--config FILE` types every command with it. A hint that leaves it out leads them to the settings in
//! the usual place, where there is no such account. Texts are made far from the command line, by code that does not know how
//! ostler was called, so the option is put in where a text is shown.

/// The commands that read the settings file. `demo` does not.
pub const COMMANDS: [&str; 18] = [
    "run",
    "add",
    "list",
    "password",
    "sign-in",
    "sign-out",
    "token",
    "remove",
    "check",
    "providers",
    "guide",
    "status",
    "settings",
    "pause",
    "resume",
    "quit",
    "autostart",
    "setup-service",
];

/// Puts the option into every command of a text: at the end of a command in backquotes, and behind the name of one without,
/// whose end is not marked. A command that has a `--config` already stays as it is.
pub fn repeat_option(text: &str, option: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, name_end)) = find_command(rest) {
        let is_quoted = rest[..start].ends_with('`');
        let quoted_end = rest[name_end..].find('`').filter(|_| is_quoted).map(|length| name_end + length);
        let end = quoted_end.unwrap_or(name_end);
        out.push_str(&rest[..end]);
        let has_it = rest[start..end].contains("--config") || rest[end..].starts_with(" --config");
        if !has_it {
            out.push(' ');
            out.push_str(option);
        }
        rest = &rest[end..];
    }
    out + rest
}

/// The next `ostler COMMAND`: where it begins, and where the name of the command ends.
fn find_command(text: &str) -> Option<(usize, usize)> {
    const PROGRAM: &str = "ostler ";
    let is_word = |c: char| c.is_alphanumeric() || "-_./\\".contains(c);
    text.match_indices(PROGRAM).find_map(|(start, _)| {
        if text[..start].ends_with(is_word) {
            return None;
        }
        let name = text[start + PROGRAM.len()..].split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next()?;
        let end = start + PROGRAM.len() + name.len();
        // A full stop may end the sentence.
        let goes_on = text[end..].starts_with(|c: char| is_word(c) && c != '.');
        (COMMANDS.contains(&name) && !goes_on).then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_in_a_text_repeats_the_option() {
        for (text, shown) in [
            ("run: ostler check", "run: ostler check --config x.toml"),
            ("run ostler check: it tries", "run ostler check --config x.toml: it tries"),
            ("sign in again: ostler sign-in home", "sign in again: ostler sign-in --config x.toml home"),
            ("then run ostler check.", "then run ostler check --config x.toml."),
            ("ostler password sets a new one", "ostler password --config x.toml sets a new one"),
            ("set it: ostler password \"my home\"", "set it: ostler password --config x.toml \"my home\""),
            ("type the text into ostler check --explain", "type the text into ostler check --config x.toml --explain"),
            (
                "`ostler add ADDRESS --pop3 tls://HOST`, or",
                "`ostler add ADDRESS --pop3 tls://HOST --config x.toml`, or",
            ),
            (
                "`ostler remove a` removes it, `ostler password a` changes it",
                "`ostler remove a --config x.toml` removes it, `ostler password a --config x.toml` changes it",
            ),
        ] {
            assert_eq!(repeat_option(text, "--config x.toml"), shown);
            assert_eq!(repeat_option(shown, "--config x.toml"), shown, "once is enough");
        }
    }

    #[test]
    fn what_is_no_command_stays() {
        for text in [
            "ostler is not running",
            "`ostler demo`",
            "this version of ostler cannot list",
            "/home/ostler list",
            "my-ostler run",
            "ostler runs on this computer",
            "ostler check-up",
            "ostler sign-",
            "ostler guidelines",
            "",
        ] {
            assert_eq!(repeat_option(text, "--config x.toml"), text);
        }
    }
}
