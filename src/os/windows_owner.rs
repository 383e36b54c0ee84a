//! Windows: who owns a loopback connection, and waiting for a process to end. The table of connections gives the process at
//! the client's end, and the process's token its user. The only file with `unsafe` on Windows, because the standard library
//! has no safe wrapper for these calls. Tested under Wine only.
#![allow(unsafe_code)]

use std::net::SocketAddr;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{CloseHandle, ERROR_INSUFFICIENT_BUFFER, HANDLE, NO_ERROR, WAIT_TIMEOUT};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetExtendedTcpTable, TCP_TABLE_OWNER_PID_ALL};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::Security::{EqualSid, GetTokenInformation, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentProcessId, OpenProcess, OpenProcessToken, PROCESS_NAME_WIN32,
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, QueryFullProcessImageNameW, WaitForSingleObject,
};

use super::peer::PeerOwner;
use super::shared_reading::SharedReading;
use super::tcp_table;

/// The table may grow between two calls; how often to ask again with a larger buffer.
const MAX_TABLE_TRIES: usize = 8;
/// The longest path of a program in UTF-16 units; the system cuts longer ones.
const MAX_PATH_UNITS: usize = 1024;

pub(super) fn owner_of(client: SocketAddr, door: SocketAddr) -> PeerOwner {
    // A socket for both families shows IPv4 addresses as IPv4-mapped IPv6 ones.
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let door = SocketAddr::new(door.ip().to_canonical(), door.port());
    let ask = || share_table(client.is_ipv6()).map(|words| tcp_table::find_client_process(&words, client, door));
    let process = match ask() {
        None => return PeerOwner::Unknown("Windows does not list its connections"),
        Some(None | Some(0)) => return PeerOwner::Gone,
        Some(Some(process)) => process,
    };
    // SAFETY: takes nothing and gives a number.
    if process == unsafe { GetCurrentProcessId() } {
        return PeerOwner::Me;
    }
    let owner = match (User::of(process), User::of_this_process()) {
        (Some(theirs), Some(ours)) if theirs.is(&ours) => PeerOwner::Me,
        // A process that cannot be opened belongs to another user, or has more rights than ostler.
        _ => PeerOwner::Other(process),
    };
    // Ask again: if the client has ended, Windows may have given its number to another process meanwhile.
    if ask() == Some(Some(process)) { owner } else { PeerOwner::Gone }
}

pub(super) fn port_holder(address: SocketAddr) -> Option<String> {
    let process =
        tcp_table::find_listener_process(&read_table(address.is_ipv6())?, address).filter(|process| *process != 0)?;
    match program_name(process) {
        Some(name) => Some(format!("{name} (process {process})")),
        None => Some(format!("process {process}")),
    }
}

/// See `os::wait_for_process`. A process that cannot be opened has ended, or is not ours.
pub(super) fn wait_for(process: u32, limit: Duration) -> bool {
    let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX - 1);
    // SAFETY: takes numbers and gives a handle, or null.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, process) };
    if handle.is_null() {
        return true;
    }
    let handle = Handle(handle);
    // SAFETY: the handle is open, and may be waited for.
    let waited = unsafe { WaitForSingleObject(handle.0, milliseconds) };
    waited != WAIT_TIMEOUT
}

/// The table of TCP connections of one address family, as it was after this call began. With thousands of connections a
/// reading takes seconds, so all threads that wait for one share it.
fn share_table(is_v6: bool) -> Option<Arc<Vec<u32>>> {
    static IPV4: SharedReading<Vec<u32>> = SharedReading::new();
    static IPV6: SharedReading<Vec<u32>> = SharedReading::new();
    let table = if is_v6 { &IPV6 } else { &IPV4 };
    table.since(Instant::now(), || read_table(is_v6))
}

/// Reads the table of TCP connections of one address family.
fn read_table(is_v6: bool) -> Option<Vec<u32>> {
    let family = u32::from(if is_v6 { AF_INET6 } else { AF_INET });
    let mut words: Vec<u32> = vec![0; 1024];
    for _ in 0..MAX_TABLE_TRIES {
        let mut size = u32::try_from(words.len() * 4).ok()?;
        // SAFETY: the table is at most `size` octets, which is what `words` has, and words are aligned as it wants.
        let result = unsafe {
            GetExtendedTcpTable(words.as_mut_ptr().cast(), &raw mut size, 0, family, TCP_TABLE_OWNER_PID_ALL, 0)
        };
        match result {
            NO_ERROR => return Some(words),
            // Twice what is needed now: more connections may come before the next call.
            ERROR_INSUFFICIENT_BUFFER => words.resize(words.len().max(usize::try_from(size).ok()? / 4) * 2, 0),
            _ => return None,
        }
    }
    None
}

/// A handle that is closed when dropped.
struct Handle(HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was given to us open, and nothing else closes it.
        unsafe { CloseHandle(self.0) };
    }
}

/// The user of a process: a `TOKEN_USER` and, behind it, the SID it points to.
struct User(Vec<usize>);

impl User {
    fn of(process: u32) -> Option<Self> {
        Self::of_handle(&open(process)?)
    }

    fn of_this_process() -> Option<Self> {
        // SAFETY: a pseudo-handle, which is never closed.
        let this = std::mem::ManuallyDrop::new(Handle(unsafe { GetCurrentProcess() }));
        Self::of_handle(&this)
    }

    fn of_handle(process: &Handle) -> Option<Self> {
        let mut token = null_mut();
        // SAFETY: `process` is open, `token` takes one handle.
        if unsafe { OpenProcessToken(process.0, TOKEN_QUERY, &raw mut token) } == 0 {
            return None;
        }
        let token = Handle(token);
        // A SID has at most 68 octets, so structure and SID fit. `usize` aligns the buffer for a pointer.
        let mut user = vec![0usize; 64];
        let size = u32::try_from(user.len() * size_of::<usize>()).ok()?;
        let mut used = 0;
        // SAFETY: `user` has `size` octets and is aligned for TOKEN_USER.
        let done = unsafe { GetTokenInformation(token.0, TokenUser, user.as_mut_ptr().cast(), size, &raw mut used) };
        (done != 0 && usize::try_from(used).is_ok_and(|used| used >= size_of::<TOKEN_USER>())).then_some(Self(user))
    }

    fn sid(&self) -> PSID {
        // SAFETY: `of_handle` has filled in a TOKEN_USER at the beginning, whose alignment a usize has.
        unsafe { (*self.0.as_ptr().cast::<TOKEN_USER>()).User.Sid }
    }

    fn is(&self, other: &Self) -> bool {
        // SAFETY: both SIDs lie in buffers that live as long as `self` and `other`.
        unsafe { EqualSid(self.sid(), other.sid()) != 0 }
    }
}

fn open(process: u32) -> Option<Handle> {
    // SAFETY: takes numbers and gives a handle, or null.
    let handle = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, process) };
    (!handle.is_null()).then_some(Handle(handle))
}

/// The file name of a process's program.
fn program_name(process: u32) -> Option<String> {
    let handle = open(process)?;
    let mut path = vec![0u16; MAX_PATH_UNITS];
    let mut length = u32::try_from(path.len()).ok()?;
    // SAFETY: `path` has room for `length` units.
    let done = unsafe { QueryFullProcessImageNameW(handle.0, PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut length) };
    let path = String::from_utf16_lossy(path.get(..usize::try_from(length).ok()?)?);
    (done != 0).then(|| ostler_mail::wire::printable(path.rsplit('\\').next().unwrap_or_default().as_bytes()))
}
