//! The program `ostler`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ostler::cli::main()
}
