//! Another time of day for a program: by `libfaketime`, which reads it from a file and leaves the other clocks alone.

use std::path::PathBuf;
use std::process::Command;

use super::preloaded_clock;

/// What the time of day is for one process.
pub struct Clock {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Clock {
    pub fn new() -> Self {
        let folder = super::folder();
        let clock = Self { file: folder.path().join("clock"), _folder: folder };
        clock.jump("+0");
        clock
    }

    /// Sets it off from the real one by so many seconds, such as `-3600`.
    pub fn jump(&self, by: &str) {
        let next: PathBuf = self.file.with_extension("next");
        std::fs::write(&next, format!("{by}\n")).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    /// Makes it the clock of a program that is not started yet.
    pub fn hand(&self, command: &mut Command) {
        self.hand_with_waits(command);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// As [`Self::hand`], for a clock that goes faster (`+0 x300`): what the program waits for passes faster too.
    pub fn hand_with_waits(&self, command: &mut Command) {
        let library = preloaded_clock().unwrap();
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
    }
}
