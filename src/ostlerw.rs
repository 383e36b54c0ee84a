//! The program `ostlerw`, for Windows: ostler without a console window, for the Start menu and the start at login. On a
//! command line use `ostler`: the shell waits for it and shows what it prints.

// Also in a debug build, so that running without a console can be tested.
#![windows_subsystem = "windows"]

use std::process::ExitCode;

fn main() -> ExitCode {
    ostler::cli::main()
}
