//! macOS: a property list in `~/Library/LaunchAgents` (launchd.plist(5)). launchd reads it at the next login and starts
//! nothing now. If the user switches the agent off in the system's settings (macOS 13 and later), other programs cannot see
//! that.

use roxmltree::{Document, Node, ParsingOptions};

#[cfg_attr(not(target_os = "macos"), allow(unused_imports))]
use super::{AutostartError, Start, State, read, remove, write};
use crate::os::markup::escaped;

const LABEL: &str = "ostler";
/// Many times what ostler's list has. Another program may have written the file, so it must not make the parser work for long.
const MAX_PLIST_NODES: u32 = 1000;

fn build(start: &Start) -> Result<String, AutostartError> {
    let mut arguments = String::new();
    for word in start.words()? {
        // XML cannot express control characters, not even escaped.
        if word.contains(|c: char| c.is_control()) {
            return Err(AutostartError::Path { path: word.into(), why: "has a control character" });
        }
        arguments += &format!("        <string>{}</string>\n", escaped(word));
    }
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>{LABEL}</string>
    <key>ProgramArguments</key>
    <array>
{arguments}    </array>
    <key>RunAtLoad</key>
    <true/>
    <key>LimitLoadToSessionType</key>
    <string>Aqua</string>
    <key>ProcessType</key>
    <string>Interactive</string>
</dict>
</plist>
"#
    ))
}

/// What a property list starts at login.
#[derive(Debug, PartialEq, Eq)]
enum Starts {
    Nothing,
    Words(Vec<String>),
    /// ostler cannot read the list; it may be in the binary format.
    Unclear,
}

fn parse(text: &str) -> Starts {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_PLIST_NODES, ..ParsingOptions::default() };
    let Ok(document) = Document::parse_with_options(text, options) else { return Starts::Unclear };
    let dict = document.root_element().children().find(|node| node.has_tag_name("dict"));
    let elements: Vec<Node<'_, '_>> = dict.iter().flat_map(Node::children).filter(Node::is_element).collect();
    let value = |key: &str| {
        let at = elements.iter().position(|node| node.has_tag_name("key") && node.text() == Some(key))?;
        elements.get(at + 1)
    };
    let is_true = |key: &str| value(key).is_some_and(|node| node.has_tag_name("true"));
    // KeepAlive, as a flag or with conditions, starts the agent too.
    let starts = is_true("RunAtLoad") || value("KeepAlive").is_some_and(|node| !node.has_tag_name("false"));
    if is_true("Disabled") || !starts {
        return Starts::Nothing;
    }
    let strings = value("ProgramArguments").into_iter().flat_map(Node::children).filter(Node::is_element);
    let words: Vec<_> = strings.map(|node| node.text().unwrap_or_default().to_owned()).collect();
    if words.is_empty() { Starts::Unclear } else { Starts::Words(words) }
}

#[cfg(target_os = "macos")]
fn file() -> Result<std::path::PathBuf, AutostartError> {
    let home = std::env::home_dir().filter(|path| path.is_absolute()).ok_or(AutostartError::NoFolder)?;
    Ok(home.join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

#[cfg(target_os = "macos")]
pub(super) fn status(start: &Start) -> Result<State, AutostartError> {
    let file = file()?;
    let place = file.display().to_string();
    Ok(match read(&file)?.map(|text| parse(&text)) {
        None | Some(Starts::Nothing) => State::Off,
        Some(Starts::Words(words)) => {
            let as_written = words.join(" ");
            start.judge(place, Some(words), &as_written)
        }
        Some(Starts::Unclear) => start.judge(place, None, "something ostler cannot read"),
    })
}

#[cfg(target_os = "macos")]
pub(super) fn on(start: &Start) -> Result<(), AutostartError> {
    write(&file()?, &build(start)?)
}

#[cfg(target_os = "macos")]
pub(super) fn off() -> Result<(), AutostartError> {
    remove(&file()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start {
            program: "/Applications/ostler & <friends>.app/Contents/MacOS/ostler".into(),
            settings: Some("/Users/änn/my mail.toml".into()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let words = start().words().unwrap().into_iter().map(str::to_owned).collect();
        assert_eq!(parse(&build(&start()).unwrap()), Starts::Words(words));
    }

    #[test]
    fn the_file_with_the_low_ports_is_known_for_what_it_starts() {
        let file = include_str!("../../../packaging/macos/low-ports/ostler.plist");
        let words = ["/Applications/ostler.app/Contents/MacOS/ostler", "--silent"];
        assert_eq!(parse(file), Starts::Words(words.map(str::to_owned).into()));
    }

    #[test]
    fn a_control_character_is_refused() {
        let error = build(&Start { program: "/a\nb/ostler".into(), settings: None }).unwrap_err();
        assert!(error.to_string().contains("has a control character; move it"), "{error}");
    }

    #[test]
    fn what_others_change_is_seen() {
        let text = build(&start()).unwrap();
        let off = text.replace("<key>RunAtLoad</key>\n    <true/>", "<key>RunAtLoad</key>\n    <false/>");
        assert_eq!(parse(&off), Starts::Nothing);
        assert_eq!(parse(&text.replace("RunAtLoad", "Disabled")), Starts::Nothing);
        assert!(matches!(parse(&text.replace("RunAtLoad", "KeepAlive")), Starts::Words(_)));
        assert_eq!(parse(&text.replace("ProgramArguments", "Program")), Starts::Unclear);
        for unclear in ["", "bplist00\u{fffd}", "<plist>"] {
            assert_eq!(parse(unclear), Starts::Unclear, "{unclear}");
        }
        assert_eq!(parse("<plist/>"), Starts::Nothing);
    }
}
