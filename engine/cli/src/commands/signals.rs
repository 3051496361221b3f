//! Signals: the first stops in an orderly way, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::Exit;
use crate::output::say;

/// Which signal has come, if any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signalled(Arc<AtomicU8>);

impl Signalled {
    /// The exit code that the signal means.
    pub(crate) fn exit(&self) -> Exit {
        match self.0.load(Ordering::Acquire) {
            143 => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }
}

/// Cancels on SIGINT and SIGTERM; a second one ends the process at once.
pub(crate) fn cancel_on_signal(cancel: CancellationToken) -> Signalled {
    let signalled = Signalled::default();
    let told = signalled.clone();
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return signalled;
    };
    drop(tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            };
            if cancel.is_cancelled() {
                #[expect(clippy::exit, reason = "the user does not want to wait any longer")]
                std::process::exit(i32::from(code as u8));
            }
            told.0.store(code as u8, Ordering::Release);
            cancel.cancel();
            say("stopping; a second signal ends it at once");
        }
    }));
    signalled
}
