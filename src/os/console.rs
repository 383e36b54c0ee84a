//! The console that ostler was started from: how wide it is, how its lines end, and the `--config` that was typed there, which
//! every hint repeats. All commands print through this module.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;

use ostler_mail::failure::repeat_option;
use textwrap::WordSplitter;

/// The width of a terminal that does not tell it, and of text for a pipe or a file that is wrapped all the same.
pub(crate) const DEFAULT_COLUMNS: usize = 80;
/// Longer lines are hard to read, however wide the terminal is.
const MAX_COLUMNS: usize = 100;
/// Narrower lines would hold a word or two.
const MIN_COLUMNS: usize = 20;
/// Stands for a blank at which no line may be broken, so that a command in backquotes can be copied as a whole.
const NO_BREAK_SPACE: char = '\u{a0}';

static CONFIG_OPTION: OnceLock<String> = OnceLock::new();

/// Stores the settings file that was named with `--config`.
pub(crate) fn set_config_file(file: &Path) {
    let path = quote_path(&file.display().to_string(), cfg!(windows));
    // A second call, as in tests, changes nothing.
    let _ = CONFIG_OPTION.set(format!("--config {path}"));
}

/// The path as one word of a command line: as it is if no shell changes it, else in the quotes of the system's shell.
fn quote_path(path: &str, for_windows: bool) -> String {
    let plain = if for_windows { "/._-+@:\\~" } else { "/._-+@:" };
    let is_plain = |c: char| c.is_alphanumeric() || plain.contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        path.to_owned()
    } else if for_windows {
        // A name of a file has no double quote there.
        format!("\"{path}\"")
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// The option `--config FILE`, if it was given on the command line.
pub(crate) fn config_option() -> Option<&'static str> {
    CONFIG_OPTION.get().map(String::as_str)
}

/// Repeats the `--config` of the command line in every command that a text tells.
pub(crate) fn repeat_config(text: &str) -> String {
    config_option().map_or_else(|| text.to_owned(), |option| repeat_option(text, option))
}

/// A text for people on standard error: commands repeat `--config`, and on a terminal no line is broken within a word.
pub(crate) fn for_stderr(text: &str) -> String {
    let text = repeat_config(text);
    if io::stderr().is_terminal() { wrap(&text, columns(terminal_size::terminal_size_of(io::stderr()))) } else { text }
}

/// As [`for_stderr`], for running text on standard output.
pub(crate) fn for_stdout(text: &str) -> String {
    let text = repeat_config(text);
    if io::stdout().is_terminal() { wrap(&text, stdout_columns()) } else { text }
}

/// The width of lines on standard output.
pub(crate) fn stdout_columns() -> usize {
    if io::stdout().is_terminal() { columns(terminal_size::terminal_size_of(io::stdout())) } else { DEFAULT_COLUMNS }
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    size.map_or(DEFAULT_COLUMNS, |(width, _)| usize::from(width.0)).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

/// Breaks longer lines at blanks; what follows is indented like the beginning of its line. Blanks at the end stay: a prompt
/// ends in one.
fn wrap(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| wrap_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let bare = line.trim_end_matches(' ');
    let indent = " ".repeat(bare.len() - bare.trim_start_matches(' ').len());
    let options = textwrap::Options::new(columns)
        .initial_indent(&indent)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let wrapped = textwrap::fill(&hold_together(bare.trim_start_matches(' ')), options);
    wrapped.replace(NO_BREAK_SPACE, " ") + &line[bare.len()..]
}

/// Holds commands in backquotes together, and the `[Y/n]` of a question with its last word.
fn hold_together(line: &str) -> String {
    // Every second part between backquotes is a command.
    let hold = |(n, part): (usize, &str)| if n % 2 == 1 { part.replace(' ', "\u{a0}") } else { part.to_owned() };
    let mut held = line.split('`').enumerate().map(hold).collect::<Vec<_>>().join("`");
    if let Some(at) = held.rfind(" [").filter(|_| held.ends_with(']')) {
        held.replace_range(at..=at, "\u{a0}");
    }
    held
}

/// Standard output, with the line ends that the system wants there.
pub(crate) fn stdout() -> Lines<io::Stdout> {
    let out = io::stdout();
    Lines { has_cr_lf: wants_cr_lf(cfg!(windows), || out.is_terminal()), last: 0, inner: out }
}

/// Standard error, likewise.
pub(crate) fn stderr() -> Lines<io::Stderr> {
    let err = io::stderr();
    Lines { has_cr_lf: wants_cr_lf(cfg!(windows), || err.is_terminal()), last: 0, inner: err }
}

/// Text files and pipes on Windows have CR LF, which `findstr`, older editors and `for /f` count on. The console itself takes
/// LF.
fn wants_cr_lf(is_windows: bool, is_terminal: impl FnOnce() -> bool) -> bool {
    // Asked last: it is a system call, and the log asks for each of its lines.
    is_windows && !is_terminal()
}

/// Writes text, on request with CR LF for each bare LF.
pub(crate) struct Lines<W> {
    has_cr_lf: bool,
    /// The last octet written: a CR LF may come in two pieces.
    last: u8,
    inner: W,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if !self.has_cr_lf {
            return self.inner.write(octets);
        }
        let mut out = Vec::with_capacity(octets.len() + 16);
        for octet in octets {
            if *octet == b'\n' && self.last != b'\r' {
                out.push(b'\r');
            }
            out.push(*octet);
            self.last = *octet;
        }
        self.inner.write_all(&out)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_broken_between_words_and_keeps_its_last_blank() {
        let prompt = "May ostler ask Thunderbird's public list of mail servers about example.net? [Y/n] ";
        assert_eq!(
            wrap(prompt, 40),
            "May ostler ask Thunderbird's public list\nof mail servers about example.net? [Y/n] "
        );
        assert_eq!(wrap("It answers. Use that one? [Y/n] ", 28), "It answers. Use that\none? [Y/n] ");
        assert_eq!(wrap("Your mail address: ", 40), "Your mail address: ");
        assert_eq!(wrap("\nEnter: go on.\n  q  stop\n> ", 20), "\nEnter: go on.\n  q  stop\n> ");
    }

    #[test]
    fn what_follows_is_indented_like_its_line() {
        assert_eq!(wrap("  Note: one two three four five\nend\n", 20), "  Note: one two\n  three four five\nend\n");
    }

    #[test]
    fn neither_a_word_nor_a_command_is_broken() {
        assert_eq!(
            wrap("see https://example.net/a/very/long/way now", 20),
            "see\nhttps://example.net/a/very/long/way\nnow"
        );
        let hint = "start it with `ostler run --config my.toml` first";
        assert_eq!(wrap(hint, 30), "start it with\n`ostler run --config my.toml`\nfirst");
    }

    #[test]
    fn only_text_that_leaves_the_console_of_windows_has_cr_lf() {
        assert_eq!(
            [(true, false), (true, true), (false, false), (false, true)]
                .map(|(windows, terminal)| wants_cr_lf(windows, || terminal)),
            [true, false, false, false]
        );
    }

    #[test]
    fn a_bare_lf_becomes_cr_lf_and_a_whole_one_stays() {
        let written = |has_cr_lf, pieces: &[&str]| {
            let mut lines = Lines { has_cr_lf, last: 0, inner: Vec::new() };
            pieces.iter().for_each(|piece| lines.write_all(piece.as_bytes()).unwrap());
            String::from_utf8(lines.inner).unwrap()
        };
        assert_eq!(written(true, &["one\ntwo\r\nthree\r", "\n\n"]), "one\r\ntwo\r\nthree\r\n\r\n");
        assert_eq!(written(false, &["one\ntwo\r\n"]), "one\ntwo\r\n");
    }

    #[test]
    fn a_path_is_quoted_for_the_shell_that_reads_it() {
        for (path, unix, windows) in [
            ("/home/ann/o.toml", "/home/ann/o.toml", "/home/ann/o.toml"),
            ("my mail.toml", "'my mail.toml'", "\"my mail.toml\""),
            (r"C:\Users\ann\o.toml", r"'C:\Users\ann\o.toml'", r"C:\Users\ann\o.toml"),
            ("it's.toml", r"'it'\''s.toml'", "\"it's.toml\""),
            ("a&b.toml", "'a&b.toml'", "\"a&b.toml\""),
        ] {
            assert_eq!((quote_path(path, false).as_str(), quote_path(path, true).as_str()), (unix, windows));
        }
    }
}
