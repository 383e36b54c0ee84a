//! The program `ostler`: reads the command line and leaves.

use std::process::ExitCode;

fn main() -> ExitCode {
    ostler::cli::main()
}
