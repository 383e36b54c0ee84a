//! The signals that end ostler or make it read its settings again.

use tokio::sync::mpsc;

use super::Wake;

/// From now on SIGTERM and ctrl-C (SIGINT) end ostler, and SIGHUP makes it read the settings again.
///
/// SIGINT counts also if it was ignored when ostler started, as for a program in the background of a shell script: a signal
/// that reaches ostler is meant for it, and service managers and scripts that stop it with SIGINT would wait in vain. So ctrl-C in
/// such a script ends ostler too, unless it runs in a session of its own (`setsid`).
#[cfg(unix)]
pub(super) fn listen(wake: &mpsc::Sender<Wake>) {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let Ok(mut signal) = signal(kind) else { continue };
        let wake = wake.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let reason = if kind == SignalKind::hangup() { Wake::Changed } else { Wake::Stop };
                if wake.send(reason).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// From now on ctrl-C ends ostler.
#[cfg(windows)]
pub(super) fn listen(wake: &mpsc::Sender<Wake>) {
    let Ok(mut signal) = tokio::signal::windows::ctrl_c() else { return };
    let wake = wake.clone();
    tokio::spawn(async move { while signal.recv().await.is_some() && wake.send(Wake::Stop).await.is_ok() {} });
}
