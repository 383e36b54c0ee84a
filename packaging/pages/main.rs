//! Writes the man pages and completions into the folder it is given. Run by `packaging/pages/build`.

use std::process::ExitCode;

mod pages;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("pages: which folder shall they be written into?");
        return ExitCode::from(2);
    };
    match pages::write(folder.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
