//! Children that nobody here has started: as process 1 of a container this program becomes the parent of every
//! process whose own has ended, and a script that starts helpers and then becomes this program by exec leaves
//! them as its children, too. When they end somebody has to take notice, or they stay as zombies.

use rustix::process::{Pid, WaitOptions};

use crate::sys::process::ended_child;

/// Takes notice of children that have ended, but for those that `is_own` knows: somebody else waits for them.
pub fn reap(is_own: impl Fn(i32) -> bool) {
    while let Some(child) = ended_child() {
        // Of several that have ended the system names the same one until that one is taken. So after an own
        // child was taken by its owner, this has to be called again.
        if is_own(child) || !take(child) {
            return;
        }
    }
}

fn take(child: i32) -> bool {
    let child = Pid::from_raw(child);
    matches!(rustix::process::waitpid(child, WaitOptions::NOHANG), Ok(Some(_)))
}
