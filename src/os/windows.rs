//! Windows: how one process of a user finds another one: by a file in the user's application data that is open for one
//! writer only, and by a named pipe. By default only the user, administrators and the system can write to a pipe; others can
//! at most open it for reading, and then read nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

/// The accepted end of a connection.
pub(crate) type Stream = NamedPipeServer;

const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const ERROR_FILE_NOT_FOUND: i32 = 2;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_PIPE_BUSY: i32 = 231;
/// The server may see who the client is, but not act in their name.
const SECURITY_IDENTIFICATION: u32 = 1 << 16;

/// The user's own folder for data that stays on this computer, the only one on this system.
pub(crate) fn private_folders() -> io::Result<Vec<PathBuf>> {
    let base = std::env::var_os("LOCALAPPDATA").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = base.ok_or(io::ErrorKind::NotFound)?.join("ostler");
    std::fs::create_dir_all(&folder)?;
    Ok(vec![folder])
}

/// What tells a file or folder from all others: nothing that this system gives away without opening it.
pub(crate) type FileMark = Option<(u64, u64)>;

/// None: a path is all there is to go by.
pub(crate) fn file_mark(_path: &Path) -> FileMark {
    None
}

/// Nothing: the folder is this computer's own.
pub(crate) fn machine_mark() -> Vec<u8> {
    Vec::new()
}

/// Opens the file so that no other process can write to it until it is closed or the process ends, for [`super::lock`].
/// `None`: another process holds it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).share_mode(FILE_SHARE_READ);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the file to read what the holder of the lock has written.
pub(crate) fn read_locked(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE).open(path)
}

/// Accepts connections of this user's processes.
#[derive(Debug)]
pub(crate) struct Acceptor {
    name: String,
    /// The end of the pipe that the next client gets.
    next: NamedPipeServer,
}

impl Acceptor {
    /// Opens the pipe; fails if one of that name exists.
    pub(crate) fn open(_folder: &Path, name: &str) -> io::Result<Self> {
        let name = pipe_name(name);
        let next = ServerOptions::new().first_pipe_instance(true).reject_remote_clients(true).create(&name)?;
        Ok(Self { name, next })
    }

    /// The next connection. Nothing is lost when the future is dropped.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        if let Err(error) = self.next.connect().await {
            // The client came and went in between: make this end ready for another one.
            self.next.disconnect()?;
            return Err(error);
        }
        let next = ServerOptions::new().reject_remote_clients(true).create(&self.name)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// Connects to the pipe. `None`: there is no pipe. While all its ends are taken, waits for one for some seconds.
pub(crate) fn connect(_folder: &Path, name: &str) -> io::Result<Option<File>> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut options = OpenOptions::new();
    options.read(true).write(true).security_qos_flags(SECURITY_IDENTIFICATION);
    loop {
        match options.open(pipe_name(name)) {
            Ok(file) => return Ok(Some(file)),
            Err(error) => match error.raw_os_error() {
                Some(ERROR_FILE_NOT_FOUND) => return Ok(None),
                Some(ERROR_PIPE_BUSY) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                _ => return Err(error),
            },
        }
    }
}

/// Nothing to do: a pipe disappears with its last handle.
pub(crate) fn close(_folder: &Path, _name: &str) {}

fn pipe_name(name: &str) -> String {
    format!(r"\\.\pipe\ostler-{name}")
}
