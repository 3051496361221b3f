//! A panic of a user's function becomes an error with its message and backtrace.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use futures::FutureExt;

thread_local! {
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static WATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Panics while a step is polled are noted instead of printed; all others go the usual way.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let backtrace = Backtrace::force_capture();
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            CAUGHT.with_borrow_mut(|caught| *caught = Some(format!("{place}\n{backtrace}")));
            // Blocking functions run on threads of their own, which are not watched.
            let is_worker = std::thread::current().name().is_some_and(|n| n.contains("arrowsmith"));
            if !WATCHING.with_borrow(|watching| *watching) && !is_worker {
                usual(info);
            }
        }));
    });
}

/// A panic that was caught.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {message}")]
pub(crate) struct Panicked {
    message: String,
    /// Where, and the backtrace; empty if the panic was of another thread.
    pub(crate) backtrace: String,
}

/// Runs a future; a panic in it is an error.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    install();
    let mut future = Box::pin(future);
    let watched = std::future::poll_fn(move |context| {
        WATCHING.with_borrow_mut(|watching| *watching = true);
        let polled = future.as_mut().poll(context);
        WATCHING.with_borrow_mut(|watching| *watching = false);
        polled
    });
    AssertUnwindSafe(watched).catch_unwind().await.map_err(|payload| {
        WATCHING.with_borrow_mut(|watching| *watching = false);
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let backtrace = CAUGHT.with_borrow_mut(Option::take).unwrap_or_default();
        Panicked { message, backtrace }
    })
}
