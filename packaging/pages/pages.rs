//! The man pages and the completions of ostler, made from the definition of its command line.

use std::io;
use std::path::Path;

use clap_complete::Shell;

/// What the definition of the command line does not say.
const MORE: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
tried and failed: a check that found a fault, a wrong password, another ostler that runs already
.TP
2
the command line or the settings file is wrong
.SH FILES
.TP
.I ~/.config/ostler/ostler.toml
the settings; on macOS in
.IR "~/Library/Application Support/ostler" ,
on Windows in
.I %APPDATA%\eostler
.TP
.I ~/.config/ostler/providers.toml
providers of your own
.TP
.I ~/.config/autostart/ostler.desktop
is there when
.B ostler autostart on
was given (Linux)
.PP
Passwords are in the keyring of the system, under the service
.IR ostler .
.SH EXAMPLES
.TP
.B ostler demo
shows everything on this computer alone
.TP
.B ostler add ann@example.net
adds an account
.TP
.B ostler guide eudora-windows
says what to type into Eudora
.SH "SEE ALSO"
.BR fetchmail (1),
.BR msmtp (1),
.BR stunnel (8)
"#;

/// Writes `man/` and `completions/` into the folder.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(ostler::cli::command(), &man)?;
    let main = man.join("ostler.1");
    let page = std::fs::read_to_string(&main)?;
    std::fs::write(&main, page + MORE)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        clap_complete::generate_to(shell, &mut ostler::cli::command(), "ostler", &completions)?;
    }
    Ok(())
}
