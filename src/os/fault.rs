//! The one panic that is not a bug: a new thread can't allocate its signal stack (sigaltstack(2)), and std panics
//! where no caller of ours could handle it.

use std::io::{self, Write};
use std::panic::{PanicHookInfo, set_hook, take_hook};

use super::daemon;

/// Makes the process exit with 1 and a log line in that case. All other panics are unchanged. Call once, before
/// anything else.
pub fn prepare() {
    let usual = take_hook();
    set_hook(Box::new(move |fault| match line(fault) {
        Some(line) => {
            daemon::tell_launcher(&line);
            // Who has closed standard error does not want to know.
            let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
            std::process::exit(1);
        }
        None => usual(fault),
    }));
}

fn line(fault: &PanicHookInfo<'_>) -> Option<String> {
    let is_known = fault.location()?.file().ends_with(PLACE);
    is_known.then(|| {
        let text = fault.payload().downcast_ref::<String>().map_or("no memory", |text| text);
        format!("websockify: error: can't start a thread: {text}")
    })
}

/// The std source file that panics.
const PLACE: &str = "/stack_overflow.rs";
