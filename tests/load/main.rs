//! Load and long runs: a crowd of idle and dripping clients, a huge mailbox, a huge message, and thousands of mixed sessions
//! in a row, with what ostler needs for them measured. Sizes here are such that they take seconds; `tests/soak` runs the
//! same with the full ones (`OSTLER_LOAD_FULL`, `OSTLER_SOAK_SESSIONS`, `OSTLER_SOAK_MINUTES`).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod big;
mod connection;
mod crowd;
mod messages;
mod provider;
mod soak;

/// Whether the sizes are those of the promises and not those that fit into a minute.
fn is_full() -> bool {
    std::env::var_os("OSTLER_LOAD_FULL").is_some()
}

/// What a process needs.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Memory now and at most, in KiB.
    now: u64,
    most: u64,
    descriptors: usize,
}

impl Needs {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { now: figure("VmRSS:"), most: figure("VmHWM:"), descriptors }
    }
}

impl std::fmt::Display for Needs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
        write!(out, "{} now, {} at most, {} descriptors", mib(self.now), mib(self.most), self.descriptors)
    }
}
