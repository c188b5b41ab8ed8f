//! Signals, as messages: they are blocked before any thread starts, and one thread waits for them. No code
//! of ours runs in a handler.

use std::io;
use std::thread;

use crate::sys::{Signals, process};

/// The signals that mean something to this program. Those that are in neither list keep their default action.
const NUMBERS: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD];

/// Signals whose default action would end or stop the program although nobody has sent them on purpose: a file
/// has reached its limit of size (the write fails then), an inherited descriptor reports what it is ready for,
/// the program writes to a terminal from the background. The last ones come from scripts that were written for
/// other servers, and wait until the program looks at them.
const SHIELDED: [i32; 5] = [libc::SIGXFSZ, libc::SIGIO, libc::SIGTTOU, libc::SIGUSR1, libc::SIGUSR2];

/// Blocks what must not end the program at any time. To be called at the start. TERM and INT keep their default
/// action meanwhile, so that a start that hangs can be ended; but for process 1, for which that action is to ignore
/// them: there they wait. `hang_up`: HUP waits, too.
///
/// # Errors
/// The system's.
pub fn shield(hang_up: bool) -> io::Result<()> {
    let mut numbers = SHIELDED.to_vec();
    numbers.extend(hang_up.then_some(libc::SIGHUP));
    if std::process::id() == 1 {
        numbers.extend([libc::SIGTERM, libc::SIGINT]);
    }
    Signals::block(&numbers)?;
    // Where a parent has had it ignored, the exit of a child would leave no status.
    process::default_action(libc::SIGCHLD)
}

/// Blocks the signals that are waited for. To be called in `main` before any thread starts, because threads
/// inherit it, and after the process has gone into the background, whose launcher should stay mortal.
///
/// # Errors
/// The system's.
pub fn block() -> io::Result<Signals> {
    Signals::block(&NUMBERS)
}

/// Whether HUP was ignored when the program was started, as nohup(1) does.
pub fn hang_up_is_ignored() -> bool {
    process::is_ignored(libc::SIGHUP)
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
