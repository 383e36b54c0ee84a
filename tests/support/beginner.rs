//! A beginner with a clock: what somebody types and reads who uses ostler for the first time, and how long that takes them.

use std::time::Duration;

use crate::support::dovecot::Dovecot;
use crate::support::postfix::Postfix;
use crate::support::world::World;

/// The beginner's address.
pub const ANN: &str = "ann@posteo.de";

/// The longest from the installed package to the first fetched message.
pub const LIMIT: Duration = Duration::from_secs(180);
/// Somebody who looks for each key.
const KEYS_PER_SECOND: u32 = 2;
/// A click on Copy, one into the field of the mail program, and the two keys that paste.
const MOVES_TO_COPY: usize = 4;
/// Somebody who reads slowly, in a language that they learned at school.
const WORDS_PER_MINUTE: u32 = 150;

#[derive(Default)]
pub struct Beginner {
    typed: Vec<String>,
    copied: usize,
    screens: usize,
    words: usize,
}

impl Beginner {
    pub fn types(&mut self, text: &str) -> String {
        self.typed.push(text.to_owned());
        text.to_owned()
    }

    pub fn copies(&mut self) {
        self.copied += 1;
    }

    pub fn reads(&mut self, screen: &str) {
        self.screens += 1;
        // Signs alone are seen, and not read.
        self.words += screen.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
    }

    pub fn time(&self) -> Duration {
        // With the key that ends each line.
        let keys: usize = self.typed.iter().map(|text| text.chars().count() + 1).sum();
        let [keys, words] = [keys + self.copied * MOVES_TO_COPY, self.words].map(|count| u32::try_from(count).unwrap());
        Duration::from_secs(1) * keys / KEYS_PER_SECOND + Duration::from_secs(60) * words / WORDS_PER_MINUTE
    }

    /// One line of figures; `waited` is how long the machine took.
    pub fn report(&self, waited: Duration) -> String {
        let minutes = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
        format!(
            "typed {:?}, copied {}; {} screens, {} words; {} min for the person, {} min waiting for ostler",
            self.typed,
            self.copied,
            self.screens,
            self.words,
            minutes(self.time()),
            minutes(waited)
        )
    }
}

/// The servers of the beginner's provider, in a world where its name leads to 127.0.0.2, with a message in the mailbox.
pub fn provider(world: &World, password: &str, message: &[u8]) -> (Dovecot, Postfix) {
    let cert = world.ca().named(&["posteo.de"]);
    let dovecot = Dovecot::builder().user(ANN, password).cert(cert.clone());
    let dovecot = dovecot.inside(world, "127.0.0.2", [110, 995]).start();
    let postfix = Postfix::builder().cert(cert).sasl(&dovecot).inside(world, "127.0.0.2", [25, 587, 465]).start();
    dovecot.deliver(ANN, message);
    (dovecot, postfix)
}

/// The section of README about the first account.
pub fn readme() -> String {
    let text = include_str!("../../README.md");
    text.split("\n## ").find(|section| section.contains("    ostler add ")).unwrap().to_owned()
}
