//! The file of the history, in the user's folder for state: read at the start, written a few seconds after something
//! happened and at the end. The history is a convenience: trouble with the file is reported once, and mail goes on.
//!
//! Not here: what is in it (`history.rs`).

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::Events;
use crate::config;
use crate::events::event::Event;
use crate::events::history::{History, HistoryReadError};
use crate::os::instance::resolve_path;
use crate::os::turn::{self, Turn};

/// How long to wait before saving, so that events that follow one another are written together.
const SAVE_DELAY: Duration = Duration::from_secs(5);
/// How long the end of the program waits for the last save.
const FINAL_SAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait for another process that writes the file, which takes it milliseconds.
const WRITE_TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest file that is read: a thousand accounts with all their items.
const MAX_FILE_OCTETS: u64 = 64 * 1024 * 1024;

/// The history file of a settings file: `history.json` in the user's folder for state, or `history-HASH.json` for a settings
/// file that is not in the default place. `None`: the system names no such folder.
pub(crate) fn history_path(settings_file: &Path) -> Option<PathBuf> {
    let real = resolve_path(settings_file).ok()?;
    let usual = config::default_path().and_then(|usual| resolve_path(&usual).ok());
    let name = if usual.as_deref() == Some(real.as_path()) {
        "history.json".to_owned()
    } else {
        let hash = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let mut hex = ostler_mail::wire::hex(&hash);
        hex.truncate(16);
        format!("history-{hex}.json")
    };
    Some(config::state_folder()?.join(name))
}

/// Why the history cannot be read or saved.
#[derive(Debug, thiserror::Error)]
enum HistoryFileError {
    #[error("the history of fetches and sends is not saved, because this system names no folder for it")]
    NoFolder,
    #[error("the history of fetches and sends in {} cannot be read: {why}; ostler starts a new one", .file.display())]
    Lost { file: PathBuf, why: String },
    #[error(
        "the history of fetches and sends in {} was written by a later version of ostler, so nothing is added to it. \
         Use that version again, or delete the file", .file.display()
    )]
    TooNew { file: PathBuf },
    #[error(
        "the history of fetches and sends cannot be saved in {}: {source}. Mail is not affected. Check that the disk has \
         room and that the folder belongs to you", .file.display()
    )]
    NotWritten { file: PathBuf, source: io::Error },
}

fn load(file: &Path) -> Result<History, HistoryFileError> {
    let lost = |why: String| HistoryFileError::Lost { file: file.to_owned(), why };
    match read(file).map_err(|error| lost(error.to_string()))? {
        None => Ok(History::default()),
        Some(text) => History::from_json(&text).map_err(|error| match error {
            HistoryReadError::TooNew => HistoryFileError::TooNew { file: file.to_owned() },
            HistoryReadError::Damaged(_) => lost(error.to_string()),
        }),
    }
}

/// The text of the file; `None`: there is no file.
fn read(file: &Path) -> io::Result<Option<String>> {
    // Before opening it: to open a named pipe would wait for a writer.
    match std::fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(meta) if meta.len() > MAX_FILE_OCTETS => return Err(io::Error::other("it is too long")),
        Ok(_) => {}
    }
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_FILE_OCTETS).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Replaces the file as a whole, readable by its owner only; with no text, removes it.
fn write(file: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        remove_leftovers(file);
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // The folder too, if it is empty now.
            _ => file.parent().map_or(Ok(()), |folder| std::fs::remove_dir(folder).or(Ok(()))),
        };
    };
    config::write_atomically(file, text)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        // An existing file or folder keeps its mode, which may let others read who mails whom.
        let folder = file.parent().map(|folder| (folder, 0o700));
        for (path, mode) in [Some((file, 0o600)), folder].into_iter().flatten() {
            if std::fs::metadata(path)?.mode() & 0o077 != 0 {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            }
        }
    }
    Ok(())
}

/// Removes the temporary files of an ostler that was killed while it wrote.
fn remove_leftovers(file: &Path) {
    let Some((folder, name)) = file.parent().zip(file.file_name().and_then(|name| name.to_str())) else { return };
    let start = format!(".{name}.");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|other| other.starts_with(&start) && other.ends_with(".new")) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes accounts from the history file, for `ostler remove`. A running ostler, which would write them anew, has to have
/// forgotten them before.
pub(crate) fn forget(settings_file: &Path, accounts: &[String]) -> io::Result<()> {
    let Some(file) = history_path(settings_file).filter(|file| file.exists()) else { return Ok(()) };
    let _turn = wait_to_write(&file);
    let mut history = match load(&file) {
        Ok(history) => history,
        // An unreadable file may still name the accounts: delete it.
        Err(HistoryFileError::Lost { .. }) => return write(&file, None),
        Err(error) => return Err(io::Error::other(error)),
    };
    if history.forget(accounts) { write(&file, history.to_json().as_deref()) } else { Ok(()) }
}

/// Waits until no other process is about to write the file. Otherwise `forget` puts back what it has read, and with it loses
/// what the running ostler has written meanwhile.
fn wait_to_write(file: &Path) -> Option<Turn> {
    turn::wait_blocking(&format!("history {}", file.display()), WRITE_TURN_TIMEOUT)
}

/// Saves the history of the running ostler.
#[derive(Debug)]
pub(crate) struct HistoryStore {
    events: Events,
    /// `None`: nothing is saved.
    file: Option<PathBuf>,

    saved: Mutex<SaveState>,
}

#[derive(Debug, Default)]
struct SaveState {
    /// What the file holds, as far as ostler knows.
    text: Option<String>,
    /// The last trouble that was reported, so that it is reported once only.
    reported: Option<String>,
}

impl HistoryStore {
    /// Reads the history of a settings file and hands it to `events`.
    pub(crate) fn start(settings_file: &Path, events: &Events) -> Arc<Self> {
        Self::start_at(history_path(settings_file), events)
    }

    fn start_at(file: Option<PathBuf>, events: &Events) -> Arc<Self> {
        let loaded = match &file {
            Some(file) => {
                remove_leftovers(file);
                load(file)
            }
            None => Err(HistoryFileError::NoFolder),
        };
        // A file of a later version is not written to: that version may need what this one does not know.
        let file = file.filter(|_| !matches!(loaded, Err(HistoryFileError::TooNew { .. })));
        let text = match loaded {
            Ok(history) => {
                let text = history.to_json();
                events.load_history(history);
                text
            }
            Err(trouble) => {
                events.publish(Event::Warning(trouble.to_string()));
                None
            }
        };
        Arc::new(Self { events: events.clone(), file, saved: Mutex::new(SaveState { text, reported: None }) })
    }

    /// Saves the history a few seconds after each change, and sleeps in between. Never ends.
    pub(crate) async fn save_changes(self: Arc<Self>) {
        let mut changes = self.events.subscribe_history();
        // Something may have happened before the subscription.
        changes.mark_changed();
        while changes.changed().await.is_ok() {
            sleep(SAVE_DELAY).await;
            // Before saving, so that what happens meanwhile is saved next.
            changes.mark_unchanged();
            self.save_in_thread().await;
        }
    }

    /// Saves what is not saved yet, at the end of the program.
    pub(crate) async fn finish(self: Arc<Self>) {
        let _ = timeout(FINAL_SAVE_TIMEOUT, self.save_in_thread()).await;
    }

    /// In a thread: mail must not wait for a slow disk.
    async fn save_in_thread(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || own.save_now()).await;
    }

    fn save_now(&self) {
        let Some(file) = &self.file else { return };
        let _turn = wait_to_write(file);
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken under the lock, so that an older text is never written after a newer one.
        let text = self.events.history_json();
        if text == saved.text {
            return;
        }
        match write(file, text.as_deref()) {
            Ok(()) => *saved = SaveState { text, reported: None },
            Err(source) => {
                let trouble = HistoryFileError::NotWritten { file: file.clone(), source }.to_string();
                if saved.reported.as_ref() != Some(&trouble) {
                    self.events.publish(Event::Warning(trouble.clone()));
                    saved.reported = Some(trouble);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::AccountNow;
    use ostler_mail::account::Access;

    fn settings(events: &Events, names: &[&str]) {
        let accounts = names.iter().map(ToString::to_string).collect();
        events.publish(Event::SettingsApplied { accounts, access: Access::SameUser, is_reload: false });
    }

    fn sent() -> Event {
        Event::Sent { account: "home".into(), recipients: 1, octets: 1 }
    }

    /// An ostler that starts with this file.
    fn started(file: &Path) -> (Events, Arc<HistoryStore>) {
        let events = Events::default();
        let store = HistoryStore::start_at(Some(file.to_owned()), &events);
        settings(&events, &["home"]);
        (events, store)
    }

    async fn warnings(events: &Events) -> Vec<String> {
        let news = events.since(Some(0), Duration::ZERO).await;
        let entries = news["entries"].as_array().unwrap().clone();
        let warnings = entries.into_iter().filter(|entry| entry["kind"] == "remark");
        warnings.map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_is_written_seconds_later_and_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/ostler/history.json");
        let (events, store) = started(&file);
        let saving = tokio::spawn(Arc::clone(&store).save_changes());
        tokio::task::yield_now().await;
        events.publish(sent());
        // Paused time does not wait for other threads, so look until the file is there.
        while !file.exists() {
            sleep(SAVE_DELAY).await;
        }
        events.publish(sent());
        store.finish().await;
        saving.abort();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
            assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        }
        let names = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "no file is left behind");
        // The leftover of an ostler that was killed while it wrote.
        std::fs::write(file.with_file_name(".history.json.77-0.new"), "half").unwrap();
        let (events, store) = started(&file);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(events.account_history("home").unwrap().items.len(), 2);
        let account = &events.document(|_| AccountNow::default())["accounts"][0];
        assert!(account["last_send"].is_string() && account["last_fetch"].is_null() && account["state"] == "unused");
        assert_eq!(warnings(&events).await, Vec::<String>::new());
        settings(&events, &["other"]);
        store.finish().await;
        assert!(!file.parent().unwrap().exists(), "nothing is left of an account that is gone");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_said_once_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.json");
        for damage in [&b"{\"version\": 1, \"accounts\": {\"ho"[..], b"", b"\xff\xfe\0"] {
            std::fs::write(&file, damage).unwrap();
            let (events, store) = started(&file);
            let said = warnings(&events).await;
            assert!(said.len() == 1 && said[0].contains("starts a new one"), "{said:?}");
            assert_eq!(std::fs::read(&file).unwrap(), damage, "nothing happened yet");
            events.publish(sent());
            store.finish().await;
            assert!(load(&file).unwrap().account("home").is_some());
            assert_eq!(warnings(&events).await.len(), 1);
        }
    }

    #[tokio::test]
    async fn one_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.json");
        std::fs::write(&file, "{\"version\": 7}").unwrap();
        let (events, store) = started(&file);
        events.publish(sent());
        store.finish().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"version\": 7}");
        let said = warnings(&events).await;
        assert!(said.len() == 1 && said[0].contains("later version"), "{said:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said_once_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/history.json");
        // A file where the folder should be stops even root, who may write anywhere.
        std::fs::write(folder.path().join("state"), "").unwrap();
        let (events, store) = started(&file);
        let before = warnings(&events).await.len();
        for _ in 0..3 {
            events.publish(sent());
            Arc::clone(&store).finish().await;
        }
        let said = warnings(&events).await;
        assert_eq!(said.len(), before + 1, "{said:?}");
        assert!(said.last().unwrap().contains("Mail is not affected"), "{said:?}");
        std::fs::remove_file(folder.path().join("state")).unwrap();
        store.finish().await;
        assert_eq!(load(&file).unwrap().account("home").unwrap().items.len(), 3);
    }

    #[test]
    fn settings_files_do_not_share_a_history() {
        let paths = ["/etc/a.toml", "/etc/b.toml"].map(|file| history_path(Path::new(file)));
        assert_ne!(paths[0], paths[1]);
        let usual = config::default_path().and_then(|file| history_path(&file));
        assert!(usual.is_none_or(|usual| usual.ends_with("ostler/history.json")));
    }
}
