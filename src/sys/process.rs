//! What only a process can do to itself: fork, and take over what it was started with.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::directory;

/// In which of the two processes [`fork`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The old one, with the process ID of the new one.
    Parent(i32),
    /// The new one.
    Child,
}

/// Makes a second process of this one (fork(2)).
///
/// # Errors
/// The system's; or there is a second thread, whose locks would be held for ever in the new process.
pub fn fork() -> io::Result<Fork> {
    require_single_thread()?;
    // SAFETY: std has no fork. This is the only thread, so the child's memory is consistent and no lock in it
    // is held by a thread that is not there; it may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}

/// Ends the process at once: no buffer is flushed, no destructor runs.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does nothing but end the process.
    unsafe { libc::_exit(code) }
}

/// Changes a variable of the environment.
///
/// # Errors
/// There is a second thread, which might read the environment at this moment.
pub fn set_variable(name: &str, value: &OsStr) -> io::Result<()> {
    require_single_thread()?;
    // SAFETY: no other thread is there to read or write the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
    Ok(())
}

/// Removes a variable from the environment.
///
/// # Errors
/// There is a second thread, which might read the environment at this moment.
pub fn remove_variable(name: &str) -> io::Result<()> {
    require_single_thread()?;
    // SAFETY: no other thread is there to read or write the environment meanwhile.
    unsafe { std::env::remove_var(name) };
    Ok(())
}

fn require_single_thread() -> io::Result<()> {
    // Without /proc this can't be checked; the startup order is the same anyway.
    let threads = directory::entries(Path::new("/proc/self/task")).map_or(1, |names| names.flatten().count());
    if threads > 1 {
        return Err(io::Error::other("a thread was started too early"));
    }
    Ok(())
}

/// Whether this process was started with, or has set, a signal to be ignored (sigaction(2)).
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: std has no signal actions. Nothing is changed; the kernel fills a live struct of its type.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } == 0;
    // SAFETY: zeros are a valid `sigaction`, and on success the kernel has filled it.
    known && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Gives a signal its default action back (signal(2)).
///
/// # Errors
/// There is no such signal.
pub fn default_action(signal: i32) -> io::Result<()> {
    // SAFETY: std has no signal actions. The default one runs no code of this program.
    match unsafe { libc::signal(signal, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The number of a child that has ended and has not been reaped yet, without reaping it (waitid(2)).
pub fn ended_child() -> Option<i32> {
    // SAFETY: a siginfo_t consists of integers, for which zero is valid.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: std and rustix do not tell the number of just any child. The kernel fills a live struct of its
    // type.
    let result =
        unsafe { libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) };
    // SAFETY: the struct was zeroed, and what waitid fills in is about a child and has a number.
    let child = unsafe { info.si_pid() };
    (result == 0 && child != 0).then_some(child)
}

/// Takes over descriptors that the process was started with, and marks them close-on-exec.
///
/// To be called once, before the program opens anything above standard error.
///
/// # Errors
/// One of them is not open, or this was called before.
pub fn take_inherited(numbers: Range<RawFd>) -> io::Result<Vec<OwnedFd>> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::Error::other("inherited descriptors were taken before"));
    }
    numbers.clone().try_for_each(close_on_exec)?;
    // SAFETY: all are open, as the line before has shown. They came with the process, and nothing but this
    // function makes objects of such descriptors, and only once; so nobody else owns them.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Marks a descriptor that the process was started with to be closed in every program that it starts.
///
/// # Errors
/// It is not open.
pub fn close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: rustix and std want an owned descriptor. This one is only looked at and marked; fcntl refuses a
    // number that is not open.
    match unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The descriptors above standard error that are open now, as far as /proc tells.
///
/// # Errors
/// There is no /proc.
pub fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let entries = directory::entries(Path::new("/proc/self/fd"))?;
    let listed: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.name.to_str()?.parse().ok()).collect();
    // The descriptor that the list was read with is closed again.
    Ok(listed.into_iter().filter(|number| *number > 2 && close_on_exec_of(*number).is_ok()).collect())
}

/// Whether a descriptor is closed in programs that are started; an error if it is not open.
fn close_on_exec_of(number: RawFd) -> io::Result<bool> {
    // SAFETY: as in `close_on_exec`; nothing is changed.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => Err(io::Error::last_os_error()),
        flags => Ok(flags & libc::FD_CLOEXEC != 0),
    }
}

/// Closes inherited descriptors that the program does not use.
pub fn close_strangers(numbers: &[RawFd]) {
    for &number in numbers {
        // SAFETY: the caller got them from `open_descriptors` before it opened anything itself, so no object
        // of this program owns them. A number that is not open makes the call fail.
        unsafe { libc::close(number) };
    }
}

/// Closes every descriptor from this one on (close_range(2)), for a startup without /proc. The same rule
/// applies.
pub fn close_from(number: RawFd) {
    // SAFETY: as for `close_strangers`. An old kernel refuses the call.
    unsafe { libc::syscall(libc::SYS_close_range, number as libc::c_uint, libc::c_uint::MAX, 0) };
}

/// Borrows a descriptor that stays open to the end of the process: one of the first three.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    assert!((0..3).contains(&number), "only the first three are always there");
    // SAFETY: std opens /dev/null in their place where they were closed at the start, and nothing in this
    // program closes one of them; they are only replaced.
    unsafe { BorrowedFd::borrow_raw(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_beside_another_thread_is_refused() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        assert!(fork().is_err());
        assert!(set_variable("WEBSOCKIFY_TEST", OsStr::new("x")).is_err());
        drop(hold);
        let _ = thread.join();
    }

    #[test]
    fn open_descriptors_are_listed_and_closed_ones_are_not() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").expect("a device");
        let number = file.as_raw_fd();
        assert!(open_descriptors().expect("/proc").contains(&number));
        assert!(open_descriptors().expect("/proc").iter().all(|number| *number > 2));
    }

    #[test]
    fn what_is_ignored_is_known() {
        // std ignores it in every program.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGTERM));
    }
}
