//! The program `ostlerw`, for Windows: ostler without a console window, for the Start menu and the start at login, as
//! `pythonw` is to `python`. On a command line `ostler` is the one to use: the shell waits for it, and what it prints is seen.

// Also in a debug build: what it is like without a console is to be tested.
#![windows_subsystem = "windows"]

use std::process::ExitCode;

fn main() -> ExitCode {
    ostler::cli::main()
}
