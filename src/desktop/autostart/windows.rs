//! Windows: a value in the key `Run` of the current user. The Task Manager's switch is a value of the same name in
//! `StartupApproved\Run`, whose first octet is odd when the entry is off (seen on Windows 10; Microsoft does not document
//! it).

#[cfg_attr(not(windows), allow(unused_imports))]
use super::{AutostartError, Start, State};

#[cfg(windows)]
const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
#[cfg(windows)]
const APPROVED: &str = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run";
#[cfg(windows)]
const NAME: &str = "ostler";

/// The command line: every argument in quotes, in the way `CommandLineToArgvW` reads them.
fn build(start: &Start) -> Result<String, AutostartError> {
    let quoted: Vec<_> = start.words()?.into_iter().map(quote).collect();
    Ok(quoted.join(" "))
}

/// Quotes an argument. Backslashes are special only before a quotation mark, where they are doubled.
fn quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for c in word.chars() {
        if c == '"' {
            quoted.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        quoted.push(c);
    }
    quoted + &"\\".repeat(backslashes) + "\""
}

/// Splits a command line into arguments. In the first one, the path of the program, backslashes are never escapes.
fn split(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let (program, rest) = match line.strip_prefix('"') {
        Some(line) => line.split_once('"')?,
        None => line.split_once([' ', '\t']).unwrap_or((line, "")),
    };
    let mut words = vec![program.to_owned()];
    let mut chars = rest.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if chars.peek().is_none() {
            return (!program.is_empty()).then_some(words);
        }
        let (mut word, mut is_quoted, mut backslashes) = (String::new(), false, 0);
        while let Some(c) = chars.next_if(|c| is_quoted || !matches!(c, ' ' | '\t')) {
            match c {
                '\\' => backslashes += 1,
                '"' => {
                    word.push_str(&"\\".repeat(backslashes / 2));
                    // Before a quotation mark two backslashes stand for one, and an odd one escapes the mark.
                    if backslashes % 2 == 1 {
                        word.push('"')
                    } else {
                        is_quoted = !is_quoted
                    }
                    backslashes = 0;
                }
                c => {
                    word.push_str(&"\\".repeat(std::mem::take(&mut backslashes)));
                    word.push(c);
                }
            }
        }
        word.push_str(&"\\".repeat(backslashes));
        words.push(word);
    }
}

/// Whether the user has switched the entry off in the Task Manager.
fn is_switched_off(approved: &[u8]) -> bool {
    approved.first().is_some_and(|octet| octet & 1 == 1)
}

#[cfg(windows)]
mod registry {
    use std::io;

    use windows_registry::{CURRENT_USER, Result};

    use super::*;

    /// `ERROR_FILE_NOT_FOUND` as Windows' own functions return it.
    const NOT_FOUND: i32 = 0x8007_0002_u32.cast_signed();

    fn place() -> String {
        format!(r"HKEY_CURRENT_USER\{RUN}, value {NAME}")
    }

    fn there<T>(result: Result<T>) -> std::result::Result<Option<T>, io::Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code().0 == NOT_FOUND => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(key: &str) -> io::Result<()> {
        let Some(key) = there(CURRENT_USER.options().read().write().open(key))? else { return Ok(()) };
        there(key.remove_value(NAME)).map(drop)
    }

    pub(in super::super) fn status(start: &Start) -> std::result::Result<State, AutostartError> {
        let unreadable = |source| AutostartError::Read { place: place(), source };
        let approved = there(CURRENT_USER.open(APPROVED).and_then(|key| key.get_value(NAME))).map_err(unreadable)?;
        if approved.is_some_and(|value| is_switched_off(&value)) {
            return Ok(State::Off);
        }
        let line = there(CURRENT_USER.open(RUN).and_then(|key| key.get_string(NAME))).map_err(unreadable)?;
        Ok(line.map_or(State::Off, |line| start.judge(place(), split(&line), &line)))
    }

    pub(in super::super) fn on(start: &Start) -> std::result::Result<(), AutostartError> {
        let line = build(start)?;
        let unwritable = |source| AutostartError::Change { place: place(), source };
        let written = CURRENT_USER.create(RUN).and_then(|key| key.set_string(NAME, &line));
        written.map_err(|error| unwritable(error.into()))?;
        // Otherwise the Task Manager's switch could still say off.
        remove(APPROVED).map_err(unwritable)
    }

    pub(in super::super) fn off() -> std::result::Result<(), AutostartError> {
        let unwritable = |source| AutostartError::Change { place: place(), source };
        remove(RUN).and_then(|()| remove(APPROVED)).map_err(unwritable)
    }
}

#[cfg(windows)]
pub(super) use registry::{off, on, status};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_command_is_quoted() {
        let start =
            Start { program: r"C:\Users\Änn Lee\ostler.exe".into(), settings: Some(r"D:\100% mail\my.toml".into()) };
        let line = build(&start).unwrap();
        assert_eq!(line, r#""C:\Users\Änn Lee\ostler.exe" "--config" "D:\100% mail\my.toml" "--silent""#);
        assert_eq!(split(&line).unwrap(), start.words().unwrap());
        assert_eq!(quote(r"C:\"), r#""C:\\""#);
    }

    /// The table in Microsoft's "Parsing C command-line arguments".
    #[test]
    fn arguments_are_taken_apart_as_windows_does() {
        let rest = |line: &str| split(&format!("x {line}")).unwrap().split_off(1);
        assert_eq!(rest(r#""a b c" d e"#), ["a b c", "d", "e"]);
        assert_eq!(rest(r#""ab\"c" "\\" d"#), ["ab\"c", "\\", "d"]);
        assert_eq!(rest(r#"a\\\b d"e f"g h"#), [r"a\\\b", "de fg", "h"]);
        assert_eq!(rest(r#"a\\\"b c d"#), [r#"a\"b"#, "c", "d"]);
        assert_eq!(rest(r#"a\\\\"b c" d e"#), [r"a\\b c", "d", "e"]);
        assert_eq!(split(r#""open"#), None);
        assert_eq!(split("  "), None);
    }

    #[test]
    fn the_task_managers_switch_is_the_lowest_bit() {
        assert!(is_switched_off(&[3, 0, 0, 0, 1]) && is_switched_off(&[7]));
        assert!(!is_switched_off(&[2, 0, 0, 0]) && !is_switched_off(&[6]) && !is_switched_off(&[]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(words in prop::collection::vec("[ -~\u{e4}]{0,12}", 0..4)) {
            let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
            let mut expected = vec!["C:\\x.exe".to_owned()];
            expected.extend(words);
            prop_assert_eq!(split(&format!("\"C:\\x.exe\" {}", quoted.join(" "))), Some(expected));
        }

        #[test]
        fn anything_can_be_taken_apart(line in "(?s).{0,100}") {
            let _ = split(&line);
        }
    }
}
