//! Moving a program to another port: the library that is preloaded into it (`rebind/lib.rs`), where that lies, and the
//! port that it is moved to.

mod elf;
mod place;
mod reach;
mod reserved;
#[cfg(test)]
mod tests;

#[cfg(feature = "testing")]
pub use elf::Head;
pub use place::Library;
pub use reach::unreachable_by_preload;
pub use reserved::Reserved;

use std::ffi::{OsStr, OsString};

/// The variable with the port that the program asks for, as in the Python program.
pub const OLD_PORT: &str = "REBIND_OLD_PORT";

/// The variable with the port that the program gets instead.
pub const NEW_PORT: &str = "REBIND_NEW_PORT";

/// The library itself, as `build.rs` has made it for the processor of this program; empty for one that it does not know.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rebind.so"));

/// What a program's environment needs, so that what it binds to `old` lands on the loopback port `new`. `user` is the
/// value that `LD_PRELOAD` has now: its libraries stay, behind ours.
pub fn environment(
    library: &Library,
    old: u16,
    new: u16,
    user: Option<&OsStr>,
) -> [(&'static str, OsString); 3] {
    let mut preload = library.path().as_os_str().to_owned();
    // The list is split at blanks, too (ld.so(8)).
    if let Some(user) = user.filter(|user| !user.is_empty()) {
        preload.push(":");
        preload.push(user);
    }
    [("LD_PRELOAD", preload), (OLD_PORT, old.to_string().into()), (NEW_PORT, new.to_string().into())]
}
