//! What a new process does between fork and exec, so that it starts as from a shell, without the settings
//! that this program made for itself.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the process that `command` starts begin with an empty signal mask, the default action of every signal, the
/// soft limit of open files `open_files`, and no descriptor above 2 but those in `kept`, which are open here.
pub fn start_clean(command: &mut Command, kept: Vec<RawFd>, open_files: Option<u64>) {
    let clean = move || {
        default_actions();
        close_all_but(&kept)?;
        if let Some(soft) = open_files {
            limit_open_files(soft)?;
        }
        // Last, so that a pending signal meets its default action.
        unblock_all()
    };
    // SAFETY: std has no other way. The closure runs in a copy of one thread of this process, where locks of other
    // threads may be held for ever. It allocates nothing, frees nothing and takes no lock: it makes system calls by
    // functions that signal-safety(7) names or that are nothing but the call, reads a vector that was made before,
    // and makes errors of numbers, which are plain values.
    unsafe { command.pre_exec(clean) };
}

fn default_actions() {
    // The kernel's `sigaction` is smaller than this on every architecture. Zeros mean SIG_DFL and no flags.
    let default = [0_u64; 16];
    for signal in 1..=SIGNALS {
        // SAFETY: std has no signal actions, and the C library refuses the two signals that it uses itself,
        // which may have been ignored at startup, too. The action is live and only read. The call fails for
        // signals whose action can't be changed.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                SET_BYTES,
            )
        };
    }
}

fn unblock_all() -> io::Result<()> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: the set is initialised and only read; the old mask is not asked for.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Marks all of them close-on-exec instead of closing them: std reports a failed exec through one of its own.
fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let (first, last) = (3 as libc::c_uint, libc::c_uint::MAX);
    // SAFETY: std and rustix do not have close_range(2). It only marks descriptors, of a process that is about to
    // be another program.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) } == 0;
    if !marked {
        // Before Linux 5.11. The limit of open files bounds the descriptor numbers.
        let last = open_files()?.rlim_cur.min(NUMBERS_MAX);
        for number in 3..last {
            // SAFETY: fcntl marks a descriptor or refuses a number that is not open.
            unsafe { libc::fcntl(number as libc::c_int, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    for &number in kept {
        // SAFETY: as above.
        if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn limit_open_files(soft: u64) -> io::Result<()> {
    let mut limit = open_files()?;
    limit.rlim_cur = limit.rlim_max.min(soft);
    // SAFETY: std has no limits. The struct is live and only read.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: std has no limits. The kernel fills a live struct of the type it expects.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Linux has signals 1 to 64 (signal(7)).
const SIGNALS: libc::c_int = 64;

/// The size of a signal set in the kernel.
const SET_BYTES: usize = (SIGNALS / 8) as usize;

/// The highest descriptor number that is tried one by one: the system's own limit (fs.nr_open).
const NUMBERS_MAX: u64 = 1 << 20;
