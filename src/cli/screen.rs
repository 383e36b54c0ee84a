//! The terminal as the user interface of setup, for `ostler add` and `ostler password --check`: steps, sentences, questions.

use std::io::Write;

use super::ask;
use crate::diagnose::Step;
use crate::os::console;
use crate::setup::{Question, SetupUi};

/// The terminal. Results go to standard output, everything on the way to standard error.
pub(super) struct Screen {
    /// Whether the user can be asked.
    pub(super) asks: bool,
    /// Whether every question is answered with yes (`--yes`).
    pub(super) says_yes: bool,
    /// The option that would have answered the last question that could not be asked.
    pub(super) unanswered: Option<String>,
}

impl SetupUi for Screen {
    fn step(&mut self, step: &Step) {
        // The user has just typed the password, and the closing text warns of missing encryption.
        if !step.is_routine() {
            tell(&crate::cli::check::step_text(step));
        }
    }

    fn say(&mut self, text: &str) {
        tell(&format!("{text}\n"));
    }

    async fn confirm(&mut self, question: &Question) -> bool {
        let text = question.text();
        if self.says_yes {
            tell(&format!("{text} Yes, as --yes says.\n"));
            return true;
        }
        if !self.asks && question.is_yes_unasked() {
            tell(&format!("{text} Yes: it is on this computer, and --pin asks for it.\n"));
            return true;
        }
        if !self.asks {
            tell(&format!("{text} There is no terminal to ask on; answer with {}.\n", question.flag()));
            self.unanswered = Some(question.flag());
            return false;
        }
        yes_or_no(&text, question.is_yes_by_default()).await
    }
}

/// Asks until the answer is yes or no. `yes` is what Enter alone means; the end of input means no.
pub(super) async fn yes_or_no(text: &str, yes: bool) -> bool {
    loop {
        let Some(answer) = ask::ask_line(&format!("{text} [{}] ", if yes { "Y/n" } else { "y/N" })).await else {
            return false;
        };
        match answer.to_ascii_lowercase().as_str() {
            "" => return yes,
            "y" | "yes" => return true,
            "n" | "no" => return false,
            _ => tell("Please type y for yes or n for no, and Enter.\n"),
        }
    }
}

/// Writes to standard error.
pub(super) fn tell(text: &str) {
    let _ = console::stderr().write_all(console::for_stderr(text).as_bytes());
}
