//! macOS: who owns a loopback connection, found by looking through the sockets of the user's own programs; and the sockets
//! that launchd opens. The only file with `unsafe` on macOS, because the standard library has no safe wrapper for these
//! calls. Type-checked only, never run.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use super::peer::PeerOwner;
use super::{inherited, socket_info};

/// From `<sys/proc_info.h>`: list the processes of an effective user.
const PROC_UID_ONLY: u32 = 4;
/// List the open files of a process.
const PROC_PIDLISTFDS: c_int = 1;
/// Describe a socket.
const PROC_PIDFDSOCKETINFO: c_int = 3;
/// The longest path that `proc_pidpath` gives: `PROC_PIDPATHINFO_MAXSIZE`.
const MAX_PATH_OCTETS: usize = 4096;
/// A list may grow between two calls; how often to ask again with a larger buffer.
const MAX_LIST_TRIES: usize = 8;
/// A longer list is taken for a mistake of the system.
const MAX_LIST_WORDS: usize = 1 << 20;
/// The name of the sockets in launchd's file (`packaging/macos`).
const LAUNCHD_SOCKETS_NAME: &CStr = c"Listeners";

unsafe extern "C" {
    /// From `<launch.h>`, in libSystem: the sockets of that name, in an array that the caller frees. Returns 0 or an error
    /// number.
    fn launch_activate_socket(name: *const c_char, sockets: *mut *mut c_int, count: *mut usize) -> c_int;
}

/// Looks twice: a socket that one program has just handed to another may be in neither list for a moment.
pub(super) fn owner_of(client: SocketAddr, door: SocketAddr) -> PeerOwner {
    for _ in 0..2 {
        let Some(processes) = list_own_processes() else {
            return PeerOwner::Unknown("macOS does not list the programs of its user");
        };
        if processes.into_iter().any(|process| has_socket(process, |info| socket_info::is_end_of(info, client, door))) {
            return PeerOwner::Me;
        }
    }
    PeerOwner::NotMe
}

pub(super) fn port_holder(address: SocketAddr) -> Option<String> {
    let holds = |process: &c_int| has_socket(*process, |info| socket_info::listens_on(info, address));
    let process = list_own_processes()?.into_iter().find(holds)?;
    match program_name(process) {
        Some(name) => Some(format!("{name} (process {process})")),
        None => Some(format!("process {process}")),
    }
}

/// How to is described in a file of the application bundle, which a program outside of a bundle does not have.
pub(super) fn low_port_advice(port: u16) -> Option<String> {
    let file = std::env::current_exe().ok()?.parent()?.parent()?.join("Resources/low-ports/README.md");
    file.is_file().then(|| {
        format!(
            "macOS reserves port {port} for the administrator; {} says how to let macOS open it for ostler",
            file.display()
        )
    })
}

/// Whether the process has a socket whose description `is_it` accepts.
fn has_socket(process: c_int, is_it: impl Fn(&[u8]) -> bool) -> bool {
    list_sockets(process).into_iter().any(|file| {
        let mut info = [0u8; socket_info::INFO_OCTETS];
        let size = c_int::try_from(info.len()).unwrap_or(0);
        // SAFETY: `info` has `size` octets, and any value of an octet is valid.
        let filled =
            unsafe { libc::proc_pidfdinfo(process, file, PROC_PIDFDSOCKETINFO, info.as_mut_ptr().cast(), size) };
        filled == size && is_it(&info)
    })
}

/// The processes of the user that this one runs as.
fn list_own_processes() -> Option<Vec<c_int>> {
    let me = rustix::process::geteuid().as_raw();
    // SAFETY: `list_words` gives a buffer and its size in octets.
    let asked = list_words(|buffer, size| unsafe { libc::proc_listpids(PROC_UID_ONLY, me, buffer, size) })?;
    Some(asked.into_iter().filter(|process| *process > 0).collect())
}

/// The file descriptors of a process's open sockets; none if it has ended or macOS does not let ostler see them.
fn list_sockets(process: c_int) -> Vec<c_int> {
    // SAFETY: `list_words` gives a buffer and its size in octets.
    let asked = list_words(|buffer, size| unsafe { libc::proc_pidinfo(process, PROC_PIDLISTFDS, 0, buffer, size) });
    // Each is a `struct proc_fdinfo`: the descriptor, then its type.
    asked
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            &[file, kind] if kind == libc::PROX_FDTYPE_SOCKET => Some(file),
            _ => None,
        })
        .collect()
}

/// Asks for a list of words of unknown length. `ask` gets a buffer and its size in octets, and returns how many octets it
/// filled in; 0 or less if it failed.
fn list_words(ask: impl Fn(*mut c_void, c_int) -> c_int) -> Option<Vec<c_int>> {
    let mut words: Vec<c_int> = vec![0; 1024];
    for _ in 0..MAX_LIST_TRIES {
        let size = c_int::try_from(words.len() * size_of::<c_int>()).ok()?;
        let filled = usize::try_from(ask(words.as_mut_ptr().cast(), size)).ok().filter(|filled| *filled > 0)?;
        let filled = filled / size_of::<c_int>();
        // A list that fills the buffer may have been cut.
        if filled + 2 <= words.len() {
            words.truncate(filled);
            return Some(words);
        }
        if words.len() >= MAX_LIST_WORDS {
            return None;
        }
        words.resize(words.len() * 2, 0);
    }
    None
}

/// The file name of a process's program.
fn program_name(process: c_int) -> Option<String> {
    let mut path = vec![0u8; MAX_PATH_OCTETS];
    let size = u32::try_from(path.len()).ok()?;
    // SAFETY: `path` has `size` octets.
    let length = unsafe { libc::proc_pidpath(process, path.as_mut_ptr().cast(), size) };
    let path = path.get(..usize::try_from(length).ok().filter(|length| *length > 0)?)?;
    Some(ostler_mail::wire::printable(path.rsplit(|octet| *octet == b'/').next().unwrap_or_default()))
}

/// The sockets of launchd, marked close-on-exec. If launchd has none for this process, it reports an error.
pub(super) fn inherited_listeners() -> Vec<(SocketAddr, TcpListener)> {
    let mut array: *mut c_int = null_mut();
    let mut count = 0;
    // SAFETY: the name ends in a zero octet, and the pointers lead to variables of the right types.
    let refused = unsafe { launch_activate_socket(LAUNCHD_SOCKETS_NAME.as_ptr(), &raw mut array, &raw mut count) };
    if refused != 0 || array.is_null() {
        return Vec::new();
    }
    let usable = (0..count)
        // SAFETY: the array holds `count` open sockets, which nothing else in this process owns.
        .map(|n| unsafe { OwnedFd::from_raw_fd(*array.add(n)) })
        .filter(|socket| rustix::io::fcntl_setfd(socket.as_fd(), rustix::io::FdFlags::CLOEXEC).is_ok())
        .filter_map(|socket| inherited::usable(TcpListener::from(socket)))
        .collect();
    // SAFETY: launch.h asks the caller to free the array; it was read for the last time above.
    unsafe { libc::free(array.cast()) };
    usable
}
