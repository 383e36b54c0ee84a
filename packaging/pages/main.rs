//! Writes what is made from ostler's own definitions: man pages, completions and the manual as HTML into the folder it is
//! given, or with `--chapters` the made chapters of `docs/manual`. Run by `packaging/pages/build`.

use std::path::Path;
use std::process::ExitCode;

mod commands;
mod manual;
mod pages;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("pages: which folder shall they be written into? (--chapters: the made chapters of docs/manual)");
        return ExitCode::from(2);
    };
    let folder = Path::new(&folder);
    let written = if folder == Path::new("--chapters") {
        manual::write_chapters(Path::new(env!("CARGO_MANIFEST_DIR")))
    } else {
        pages::write(folder).and_then(|()| manual::write_html(&folder.join("manual")))
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: cannot write ({}): {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
