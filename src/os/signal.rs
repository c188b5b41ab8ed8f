//! Signals, as messages: they are blocked before any thread starts, and one thread waits for them. No code
//! of ours runs in a handler.

use std::io;
use std::thread;

use crate::sys::Signals;

/// The signals that mean something to this program; all others keep their default action.
const NUMBERS: [i32; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Blocks the signals. To be called in `main` before any thread starts, because threads inherit it.
///
/// # Errors
/// The system's.
pub fn block() -> io::Result<Signals> {
    Signals::block(&NUMBERS)
}

/// Starts the thread that waits for the signals and passes each on.
///
/// # Errors
/// The system gives no thread.
pub fn forward(signals: Signals, mut pass_on: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let wait = move || {
        while let Ok(number) = signals.wait() {
            pass_on(number);
        }
    };
    thread::Builder::new().name("signals".into()).stack_size(STACK_BYTES).spawn(wait)?;
    Ok(())
}

/// The thread calls nothing deep.
const STACK_BYTES: usize = 64 * 1024;
