//! Linux and the BSDs: `ostler.desktop` in the autostart folder (Desktop Application Autostart Specification 0.5, Desktop
//! Entry Specification 1.5), and the link that makes systemd start `ostler.service`, for computers without a desktop. That
//! link is only read and removed here; `systemctl --user enable` creates it, and knows where the unit is.

use std::path::{Path, PathBuf};

#[cfg_attr(any(windows, target_os = "macos"), allow(unused_imports))]
use super::{AutostartError, Start, State, read, remove, write};

const NAME: &str = "ostler.desktop";
/// Starts a program whose path has a percent sign: GLib looks for the program before it turns `%%` into `%`.
const ENV: &str = "/usr/bin/env";
const UNIT: &str = "ostler.service";
/// An entry of the user that hides the administrator's entry of the same name.
const HIDDEN: &str = "[Desktop Entry]\nType=Application\nName=ostler\nHidden=true\n";

/// Whether a desktop is installed: display managers list what these folders have.
#[cfg(not(any(windows, target_os = "macos")))]
fn has_login_sessions() -> bool {
    let folders = std::env::var_os("XDG_DATA_DIRS").filter(|folders| !folders.is_empty());
    let folders = folders.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let kinds =
        std::env::split_paths(&folders).flat_map(|folder| [folder.join("xsessions"), folder.join("wayland-sessions")]);
    kinds.filter_map(|folder| std::fs::read_dir(folder).ok()).any(|mut sessions| sessions.next().is_some())
}

/// Where autostart entries and systemd's links are.
struct Folders {
    own: PathBuf,
    common: Vec<PathBuf>,
    /// The administrator's units for all users.
    units: PathBuf,
    /// `XDG_CURRENT_DESKTOP`.
    desktop: Option<String>,
    /// Whether a desktop runs, or one is installed that a user could log in to.
    has_desktop: bool,
}

impl Folders {
    #[cfg(not(any(windows, target_os = "macos")))]
    fn of_the_system() -> Result<Self, AutostartError> {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let variable = |name| std::env::var_os(name).map(PathBuf::from).and_then(absolute);
        let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".config"));
        let own = variable("XDG_CONFIG_HOME").or_else(home).ok_or(AutostartError::NoFolder)?;
        let common = std::env::var_os("XDG_CONFIG_DIRS").filter(|dirs| !dirs.is_empty());
        let common = std::env::split_paths(&common.unwrap_or_else(|| "/etc/xdg".into())).collect();
        let desktop = std::env::var("XDG_CURRENT_DESKTOP").ok().filter(|desktop| !desktop.is_empty());
        let has_desktop = desktop.is_some() || crate::desktop::has_desktop() || has_login_sessions();
        Ok(Self { own, common, units: "/etc/systemd/user".into(), desktop, has_desktop })
    }

    fn own_entry(&self) -> PathBuf {
        self.own.join("autostart").join(NAME)
    }

    /// The first entry found, in the user's folder before the common ones. Desktops ignore the others.
    fn entry(&self) -> Result<Option<(PathBuf, String)>, AutostartError> {
        for folder in std::iter::once(&self.own).chain(&self.common) {
            let file = folder.join("autostart").join(NAME);
            if let Some(text) = read(&file)? {
                return Ok(Some((file, text)));
            }
        }
        Ok(None)
    }

    fn own_units(&self) -> PathBuf {
        self.own.join("systemd/user")
    }

    /// The links in `*.wants` folders that make systemd start the unit. None if the user has masked it.
    fn links(&self, units: &Path) -> Vec<PathBuf> {
        let mask = self.own_units().join(UNIT);
        if std::fs::read_link(mask).is_ok_and(|target| target == Path::new("/dev/null")) {
            return Vec::new();
        }
        let wants = std::fs::read_dir(units).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut links: Vec<_> = wants
            .filter(|folder| folder.extension().is_some_and(|e| e == "wants"))
            .map(|folder| folder.join(UNIT))
            .filter(|link| link.symlink_metadata().is_ok())
            .collect();
        links.sort();
        links
    }

    fn service(&self) -> Option<PathBuf> {
        [self.own_units(), self.units.clone()].iter().find_map(|units| self.links(units).into_iter().next())
    }

    fn status(&self, start: &Start) -> Result<State, AutostartError> {
        if let Some((file, text)) = self.entry()? {
            let entry = Entry::parse(&text);
            if entry.counts(self.desktop.as_deref()) {
                return Ok(start.judge(file.display().to_string(), entry.words(), &entry.exec));
            }
        }
        Ok(match self.service() {
            Some(link) => State::Service { place: link.display().to_string() },
            None => State::Off,
        })
    }

    fn on(&self, start: &Start) -> Result<(), AutostartError> {
        let has_entry = !matches!(self.status(start)?, State::Off | State::Service { .. });
        if self.service().is_some() && !has_entry {
            return Ok(());
        }
        // An entry would be written, read by nothing, and shown as "on".
        if !self.has_desktop {
            let units = [self.own_units(), "/usr/lib/systemd/user".into(), "/usr/local/lib/systemd/user".into()];
            return Err(AutostartError::NoDesktop { has_unit: units.iter().any(|units| units.join(UNIT).exists()) });
        }
        write(&self.own_entry(), &build(start)?)
    }

    fn off(&self) -> Result<(), AutostartError> {
        remove(&self.own_entry())?;
        // What is left is the administrator's entry, which only an entry of the user's can hide.
        if self.entry()?.is_some() {
            write(&self.own_entry(), HIDDEN)?;
        }
        for link in self.links(&self.own_units()) {
            remove(&link)?;
        }
        match self.links(&self.units).first() {
            Some(link) => Err(AutostartError::ForEveryone { place: link.display().to_string() }),
            None => Ok(()),
        }
    }
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn status(start: &Start) -> Result<State, AutostartError> {
    Folders::of_the_system()?.status(start)
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn on(start: &Start) -> Result<(), AutostartError> {
    Folders::of_the_system()?.on(start)
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn off() -> Result<(), AutostartError> {
    Folders::of_the_system()?.off()
}

/// The text of the autostart entry.
fn build(start: &Start) -> Result<String, AutostartError> {
    let words = start.words()?;
    // "The name or path of the executable program may not contain the equal sign."
    if words.first().is_some_and(|program| program.contains('=')) {
        return Err(AutostartError::Path { path: start.program.clone(), why: "has an equals sign" });
    }
    let program = words.first().copied().unwrap_or_default();
    let env = program.contains('%').then_some(ENV);
    let exec: Vec<String> = env.iter().chain(&words).map(|word| quote(word)).collect();
    Ok(format!(
        "[Desktop Entry]\nType=Application\nName=ostler\nComment=Lets old mail programs work with today's providers\n\
         Exec={}\nTryExec={}\nIcon=ostler\nTerminal=false\nStartupNotify=false\nX-GNOME-Autostart-enabled=true\n",
        escape(&exec.join(" ")),
        escape(program),
    ))
}

/// Writes an argument of Exec: quoted if it has a reserved character, with every percent sign doubled.
fn quote(word: &str) -> String {
    const RESERVED: &str = " \t\n\"'\\><~|&;$*?#()`";
    let word = word.replace('%', "%%");
    if !word.is_empty() && !word.contains(|c| RESERVED.contains(c)) {
        return word;
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        if matches!(c, '"' | '`' | '$' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

/// Escapes a value of type string. This comes on top of the quoting of arguments.
fn escape(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
    match escaped.strip_prefix(' ') {
        Some(rest) => format!("\\s{rest}"),
        None => escaped,
    }
}

fn unescape(value: &str) -> String {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('s')) => text.push(' '),
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some('r')) => text.push('\r'),
            ('\\', Some('\\')) => text.push('\\'),
            ('\\', Some(other)) => text.extend(['\\', other]),
            (c, _) => text.push(c),
        }
    }
    text
}

/// An autostart entry, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Unescaped, still quoted.
    exec: String,
    try_exec: Option<String>,
    is_off: bool,
    only_in: Option<Vec<String>>,
    not_in: Vec<String>,
}

impl Entry {
    fn parse(text: &str) -> Self {
        let mut entry = Self::default();
        let lines = text.lines().skip_while(|line| line.trim() != "[Desktop Entry]").skip(1);
        for line in lines.take_while(|line| !line.starts_with('[')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            let list = || value.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            match key.trim() {
                "Exec" => entry.exec = unescape(value),
                "TryExec" => entry.try_exec = Some(unescape(value)),
                "Hidden" => entry.is_off |= matches!(value, "true" | "1"),
                // GNOME, Cinnamon and MATE write these when the user switches the entry off in their settings.
                "X-GNOME-Autostart-enabled" | "X-MATE-Autostart-enabled" => {
                    entry.is_off |= matches!(value, "false" | "0");
                }
                "OnlyShowIn" => entry.only_in = Some(list()),
                "NotShowIn" => entry.not_in = list(),
                _ => {}
            }
        }
        entry
    }

    /// Whether this desktop starts the entry. An unknown desktop is taken to start entries for any desktop.
    fn counts(&self, desktop: Option<&str>) -> bool {
        let is_among = |names: &[String]| {
            desktop.is_some_and(|desktop| desktop.split(':').any(|d| names.iter().any(|name| name == d)))
        };
        let shown = match &self.only_in {
            Some(names) => desktop.is_none() || is_among(names),
            None => !is_among(&self.not_in),
        };
        !self.is_off && shown
    }

    /// The command; `None` if it is not well formed, or if desktops skip the entry because the program in TryExec is missing.
    fn words(&self) -> Option<Vec<String>> {
        let passed_over =
            self.try_exec.as_ref().is_some_and(|file| file.starts_with('/') && !Path::new(file).is_file());
        let mut words = split(&self.exec).filter(|_| !passed_over)?;
        if words.len() > 1 && words.first().is_some_and(|word| word == ENV) {
            words.remove(0);
        }
        Some(words)
    }
}

/// Splits Exec into arguments and removes their quoting. Field codes such as `%U` are dropped, as desktops do when no file is
/// opened.
fn split(exec: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = exec.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return (!words.is_empty()).then_some(words);
        }
        let (mut word, mut is_code) = (String::new(), false);
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            match c {
                '"' => loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        // Inside quotes the specification allows no field codes.
                        '%' => word.push(chars.next().filter(|c| *c == '%')?),
                        c => word.push(c),
                    }
                },
                '\\' => word.push(chars.next()?),
                '%' => match chars.next()? {
                    '%' => word.push('%'),
                    _ => is_code = true,
                },
                c => word.push(c),
            }
        }
        if !is_code || !word.is_empty() {
            words.push(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start(program: &str, settings: Option<&str>) -> Start {
        Start { program: program.into(), settings: settings.map(PathBuf::from) }
    }

    /// An empty home folder, and a program.
    struct Home {
        folder: tempfile::TempDir,
        folders: Folders,
        start: Start,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            let program = at.join("50% \"off\"");
            std::fs::create_dir_all(&program).unwrap();
            let program = program.join("ostler");
            std::fs::write(&program, "").unwrap();
            let folders = Folders {
                own: at.join("own"),
                common: vec![at.join("common")],
                units: at.join("units"),
                desktop: Some("ubuntu:GNOME".into()),
                has_desktop: true,
            };
            Self { start: Start { program, settings: None }, folder, folders }
        }

        fn status(&self) -> State {
            self.folders.status(&self.start).unwrap()
        }

        fn put(&self, file: &str, text: &str) {
            let file = self.folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.folders.own_entry()).unwrap()
        }

        fn is_on(&self) -> bool {
            self.status() == State::On { place: self.folders.own_entry().display().to_string() }
        }
    }

    /// The examples of the specification's words on quoting.
    #[test]
    fn quoting_is_that_of_the_specification() {
        assert_eq!(quote("/usr/bin/ostler"), "/usr/bin/ostler");
        assert_eq!(quote("/opt/my mail/ostler"), "\"/opt/my mail/ostler\"");
        assert_eq!(quote("100%"), "100%%");
        assert_eq!(quote("a$b`c\"d\\e"), "\"a\\$b\\`c\\\"d\\\\e\"");
        // "a literal dollar sign in a quoted argument is unambiguously represented with ("\\$")", and a backslash with four.
        let text = build(&start("/a $b\\c/ostler", None)).unwrap();
        assert!(text.contains("\nExec=\"/a \\\\$b\\\\\\\\c/ostler\" --silent\nTryExec=/a $b\\\\c/ostler\n"), "{text}");
    }

    #[test]
    fn the_settings_are_kept_in_the_command() {
        let text = build(&start("/home/änn/ostler", Some("/home/änn/my mail.toml"))).unwrap();
        assert!(text.contains("\nExec=/home/änn/ostler --config \"/home/änn/my mail.toml\" --silent\n"), "{text}");
    }

    #[test]
    fn an_equals_sign_in_the_program_is_refused() {
        let error = build(&start("/a=b/ostler", None)).unwrap_err();
        assert!(error.to_string().contains("has an equals sign; move it"), "{error}");
    }

    #[test]
    fn it_goes_on_and_off() {
        let home = Home::new();
        assert_eq!(home.status(), State::Off);
        home.folders.off().unwrap();
        home.folders.on(&home.start).unwrap();
        assert!(home.is_on());
        home.folders.off().unwrap();
        assert_eq!(home.status(), State::Off);
        assert!(!home.folders.own_entry().exists());
    }

    #[test]
    fn what_a_desktop_writes_to_switch_it_off_counts() {
        let home = Home::new();
        for line in ["Hidden=true", "X-GNOME-Autostart-enabled=false", "OnlyShowIn=XFCE;KDE;", "NotShowIn=GNOME;"] {
            home.folders.on(&home.start).unwrap();
            let text = home.text().replace("X-GNOME-Autostart-enabled=true", line);
            std::fs::write(home.folders.own_entry(), text).unwrap();
            assert_eq!(home.status(), State::Off, "{line}");
        }
        home.folders.on(&home.start).unwrap();
        std::fs::write(home.folders.own_entry(), home.text() + "OnlyShowIn=GNOME;\n[Desktop Action x]\nHidden=true\n")
            .unwrap();
        assert!(home.is_on());
    }

    #[test]
    fn another_program_other_settings_and_one_that_is_gone_are_told() {
        let home = Home::new();
        let elsewhere = |exec: &str| {
            let place = home.folders.own_entry().display().to_string();
            State::Elsewhere { place, starts: exec.into() }
        };
        for exec in ["/bin/sh -c ostler", "/old/ostler", "\"/open", ""] {
            home.put("own/autostart/ostler.desktop", &format!("[Desktop Entry]\nExec={exec}\n"));
            assert_eq!(home.status(), elsewhere(exec));
        }
        home.folders.on(&home.start).unwrap();
        assert!(home.is_on());
        std::fs::remove_file(&home.start.program).unwrap();
        assert!(matches!(home.status(), State::Elsewhere { .. }));
    }

    #[test]
    fn an_entry_for_everyone_counts_and_is_taken_back_by_a_hidden_one() {
        let home = Home::new();
        home.put("common/autostart/ostler.desktop", &build(&home.start).unwrap());
        assert!(matches!(home.status(), State::On { place } if place.contains("common")));
        home.folders.off().unwrap();
        assert_eq!(home.status(), State::Off);
        assert_eq!(home.text(), HIDDEN);
        home.folders.on(&home.start).unwrap();
        assert!(home.is_on());
    }

    #[cfg(unix)]
    #[test]
    fn a_service_of_systemd_counts_and_off_takes_its_link_away() {
        use std::os::unix::fs::symlink;
        let home = Home::new();
        let link = home.folders.own.join("systemd/user/default.target.wants/ostler.service");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("/usr/lib/systemd/user/ostler.service", &link).unwrap();
        let service = State::Service { place: link.display().to_string() };
        assert_eq!(home.status(), service);
        home.folders.on(&home.start).unwrap();
        assert_eq!(home.status(), service);
        assert!(!home.folders.own_entry().exists(), "both at once would open the page at every login");
        home.folders.off().unwrap();
        assert_eq!(home.status(), State::Off);
        home.put("units/default.target.wants/ostler.service", "");
        let error = home.folders.off().unwrap_err();
        assert!(error.to_string().contains("systemctl --user mask ostler.service"), "{error}");
        symlink("/dev/null", home.folders.own.join("systemd/user/ostler.service")).unwrap();
        home.folders.off().unwrap();
        assert_eq!(home.status(), State::Off);
    }

    #[test]
    fn field_codes_stand_for_nothing() {
        assert_eq!(split("ostler %U -v").unwrap(), ["ostler", "-v"]);
        assert_eq!(split("\"a\\\"b\" c%%d \"\"").unwrap(), ["a\"b", "c%d", ""]);
        for wrong in ["", "  ", "\"open", "a\\", "%", "\"%f\""] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(words in prop::collection::vec("[ -~\u{e4}\u{4e16}\\t\\n]{0,12}", 1..4)) {
            let exec: Vec<_> = words.iter().map(|word| quote(word)).collect();
            let entry = Entry::parse(&format!("[Desktop Entry]\nExec={}\n", escape(&exec.join(" "))));
            prop_assert_eq!(split(&entry.exec), Some(words));
        }

        #[test]
        fn anything_can_be_parsed(text in "(?s).{0,200}") {
            let entry = Entry::parse(&format!("[Desktop Entry]\n{text}"));
            let _ = (entry.words(), entry.counts(None), split(&text));
        }
    }
}
