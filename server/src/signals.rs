//! The signals that tell a process to end.

use std::fmt;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What a service manager sends.
    Terminate,
}

impl Signal {
    /// The exit code of a process that it ended: 128 and its number, as shells have it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        })
    }
}

impl std::error::Error for Signal {}

/// Waits for the next signal. From the first call on none of them ends the process by itself.
pub(crate) async fn told_to_end() -> Signal {
    let interrupted = async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        signal = interrupted => signal,
        signal = terminated() => signal,
    }
}

#[cfg(unix)]
async fn terminated() -> Signal {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut signals) = signal(SignalKind::terminate())
        && signals.recv().await.is_some()
    {
        return Signal::Terminate;
    }
    std::future::pending().await
}

#[cfg(not(unix))]
async fn terminated() -> Signal {
    std::future::pending().await
}
