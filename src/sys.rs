//! The one audited place for `unsafe`: calls into libc, and instructions that only some processors have, where no
//! dependency wraps them safely.
//!
//! Each function here is safe to call; each block says why there is no safe way and why it is sound.

pub mod child;
pub mod directory;
pub mod process;
pub mod wide;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::Duration;

/// A moment as the wall clock of this machine's time zone shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Full year, 2026 for instance.
    pub year: i32,
    /// Month of the year, 0 to 11.
    pub month: usize,
    /// Day of the month, 1 to 31.
    pub day: i32,
    /// Hour, 0 to 23.
    pub hour: i32,
    /// Minute, 0 to 59.
    pub minute: i32,
    /// Second, 0 to 60.
    pub second: i32,
}

/// Converts seconds since the Unix epoch to local time (localtime_r(3)); `None` when the year overflows.
pub fn local_time(unix_seconds: i64) -> Option<LocalTime> {
    // SAFETY: std has no time zones. Both pointers come from references, which are valid for the whole call,
    // and localtime_r keeps neither. It reads TZ; nothing in this program changes the environment.
    broken_down(unix_seconds, |seconds, tm| unsafe { !libc::localtime_r(seconds, tm).is_null() })
}

/// Converts seconds since the Unix epoch to the time in UTC (gmtime_r(3)); `None` when the year overflows.
pub fn utc_time(unix_seconds: i64) -> Option<LocalTime> {
    // SAFETY: std has no calendar. Both pointers come from references, which are valid for the whole call,
    // and gmtime_r keeps neither.
    broken_down(unix_seconds, |seconds, tm| unsafe { !libc::gmtime_r(seconds, tm).is_null() })
}

fn broken_down(unix_seconds: i64, fill: impl Fn(&libc::time_t, &mut libc::tm) -> bool) -> Option<LocalTime> {
    let seconds: libc::time_t = unix_seconds as libc::time_t;
    // SAFETY: `tm` consists of integers and a pointer that may be null; zeros are valid for all of them.
    let mut tm: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
    if !fill(&seconds, &mut tm) {
        return None;
    }
    Some(LocalTime {
        year: tm.tm_year + 1900,
        month: usize::try_from(tm.tm_mon).ok()?,
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
    })
}

/// Milliseconds since the machine booted, a few milliseconds stale, which is cheaper than reading the exact
/// clock (CLOCK_MONOTONIC_COARSE, clock_gettime(2)).
pub fn uptime_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: std has no such clock, and a wrapper that finds the vDSO by itself does not work under
    // valgrind. The pointer refers to a live local, which the call fills or leaves alone.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// A counter that advances at a constant rate of its own, the cheapest that the machine has: the time stamp
/// counter of x86-64, the virtual counter of AArch64, elsewhere the monotonic clock in nanoseconds.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: std has no such counter. RDTSC exists on every x86-64, reads no memory and changes two
    // registers, which the intrinsic declares. A system may forbid it to a process (PR_SET_TSC), which does
    // not happen by accident.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: std has no such counter. CNTVCT_EL0 is readable for user programs on Linux; the instruction reads
        // no memory and writes the one register that is named.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags))
        };
        return count;
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer refers to a live local, which the call fills or leaves alone.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// Processor time of this thread in nanoseconds (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)).
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: std has no such clock. The pointer refers to a live local, which the call fills or leaves alone.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How often the scheduler has preempted this thread (ru_nivcsw, getrusage(2)).
pub fn preemptions() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: std has no getrusage, and rustix lacks the one for a thread. The pointer refers to a live local
    // of the right type, which the call fills or leaves alone; zero is valid for all its integers.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

/// Bytes that a TCP or Unix socket has been given and its peer has not yet acknowledged (SIOCOUTQ, tcp(7)).
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    waiting_bytes(socket, libc::TIOCOUTQ)
}

/// Bytes that a TCP socket has been given and the system has not yet tried to send (SIOCOUTQNSD, <linux/sockios.h>).
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    waiting_bytes(socket, 0x894B)
}

fn waiting_bytes(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: std and socket2 do not offer these requests. The descriptor is borrowed, so it is open; the kernel
    // writes one int through a pointer to a live int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Retransmissions and window probes that a TCP socket has sent since its peer last answered (TCP_INFO,
/// tcp(7)). A live peer answers both, even if it reads no data.
pub fn unanswered(socket: BorrowedFd<'_>) -> io::Result<u8> {
    let info = tcp_info(socket)?;
    Ok(info.tcpi_retransmits.max(info.tcpi_probes))
}

/// The round-trip time to the peer of a TCP socket, as the kernel has measured it (TCP_INFO).
pub fn round_trip(socket: BorrowedFd<'_>) -> io::Result<Duration> {
    Ok(Duration::from_micros(tcp_info(socket)?.tcpi_rtt.into()))
}

/// Whether the sizes of a socket's buffers are fixed (SO_BUF_LOCK, setsockopt in <linux/socket.h>).
///
/// # Errors
/// The system is older than Linux 5.14 and can't say.
pub fn buffers_are_locked(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut locked: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: std and socket2 do not offer SO_BUF_LOCK. The descriptor is borrowed, so it is open; the kernel writes at
    // most one int through a pointer to a live int.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BUF_LOCK,
            (&raw mut locked).cast(),
            &mut len,
        )
    };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(locked != 0) }
}

/// Locks the size of a socket's receive buffer, or lets the kernel size its buffers again (SO_BUF_LOCK).
///
/// # Errors
/// The system's.
pub fn lock_receive_buffer(socket: BorrowedFd<'_>, locks: bool) -> io::Result<()> {
    // SOCK_RCVBUF_LOCK, <linux/socket.h>.
    set_option(socket, libc::SOL_SOCKET, libc::SO_BUF_LOCK, if locks { 2 } else { 0 })
}

/// Sets the upper limit of a TCP socket's window (TCP_WINDOW_CLAMP, tcp(7)).
///
/// # Errors
/// The system's.
pub fn set_window_clamp(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, bytes)
}

/// Lets a TCP socket whose buffers are not locked receive at least `bytes` before they are read, within the
/// kernel's own limit (SO_RCVLOWAT, socket(7): the kernel makes room for what the reader waits for).
///
/// # Errors
/// The system's.
pub fn grow_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_RCVLOWAT,
        libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX),
    )?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1)
}

fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: std and socket2 do not offer these options. The descriptor is borrowed, so it is open; the kernel reads
    // one int behind a pointer to a live int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: std and socket2 do not offer TCP_INFO. The descriptor is borrowed, so it is open; the kernel
    // writes at most `len` bytes, the size of the struct behind the pointer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the struct has only integers, for which zero is valid, and the kernel has filled part of it.
    Ok(unsafe { info.assume_init() })
}

/// The descriptor of a poll, for [`watch_level`].
pub fn descriptor(poll: &mio::Poll) -> BorrowedFd<'_> {
    // SAFETY: mio gives the descriptor as a number only. The poll owns it and is borrowed for as long.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// Has an epoll instance report `socket` under `token` for as long as it is readable, not only when it becomes
/// so (level-triggered, epoll(7)); with `on` false it reports nothing until this is called again.
pub fn watch_level(epoll: BorrowedFd<'_>, socket: BorrowedFd<'_>, token: usize, on: bool) -> io::Result<()> {
    let mut event =
        libc::epoll_event { events: if on { libc::EPOLLIN as u32 } else { 0 }, u64: token as u64 };
    let mut control = |operation| {
        // SAFETY: mio offers edges only. Both descriptors are borrowed, so they are open; the kernel reads
        // one event behind a pointer to a live one. mio takes the token of an event from the same field.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, socket.as_raw_fd(), &mut event) }
    };
    if control(libc::EPOLL_CTL_MOD) == 0 {
        return Ok(());
    }
    if io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT) && control(libc::EPOLL_CTL_ADD) == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Raises the soft limit of open files to the hard one, and returns the limit now in force. The old value is
/// kept for the programs that this one starts ([`open_files_at_start`]).
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: std has no rlimits. The kernel fills a live struct of the type it expects.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    OPEN_FILES_AT_START.get_or_init(|| limit.rlim_cur);
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: as above; the struct is only read.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            limit = raised;
        }
    }
    Ok(limit.rlim_cur)
}

/// The soft limit of open files that the process was started with, if [`raise_open_files`] has changed it.
pub fn open_files_at_start() -> Option<u64> {
    OPEN_FILES_AT_START.get().copied()
}

static OPEN_FILES_AT_START: OnceLock<u64> = OnceLock::new();

/// The signals that the process waits for, blocked in every thread that is started after [`Signals::block`].
#[derive(Clone, Copy)]
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks `numbers` in the calling thread; threads started later inherit that. Call it first in `main`.
    pub fn block(numbers: &[i32]) -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: std has no signal sets. sigemptyset initialises the set it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised by the line before.
        let mut set = unsafe { set.assume_init() };
        for &number in numbers {
            // SAFETY: the set is initialised; an invalid number makes the call fail, not misbehave.
            if unsafe { libc::sigaddset(&mut set, number) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the set is initialised and only read; the old mask is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) } {
            0 => Ok(Signals(set)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Waits for the next of the blocked signals and returns its number.
    pub fn wait(&self) -> io::Result<i32> {
        let mut number: libc::c_int = 0;
        // SAFETY: the set was initialised by `block`; sigwait writes one int through a pointer to a live int.
        match unsafe { libc::sigwait(&self.0, &mut number) } {
            0 => Ok(number),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Makes every allocation of `bytes` or more a mapping of its own, so that freeing it returns it to the
/// system at once. glibc would otherwise raise that threshold to the size of the first such block freed.
/// Without effect on other C libraries.
pub fn map_allocations_from(bytes: usize) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a parameter of the allocator; glibc takes its own lock. A value it refuses
    // leaves things as they were.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX));
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Gives free memory of the heap back to the system (malloc_trim(3)). Without effect on other C libraries.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim works on the allocator's own free lists under its own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_epoch_is_within_a_day_of_1970_in_every_zone() {
        let time = local_time(43_200).expect("the year fits");
        assert!((1969..=1970).contains(&time.year), "{time:?}");
        assert!((0..24).contains(&time.hour) && (0..60).contains(&time.minute));
    }

    #[test]
    fn a_time_beyond_every_calendar_is_refused() {
        assert_eq!(local_time(i64::MAX), None);
    }

    #[test]
    fn unread_bytes_count_as_unacknowledged() {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        assert_eq!(unacknowledged(near.as_fd()).expect("empty"), 0);
        near.write_all(&[7; 1000]).expect("room");
        assert!(unacknowledged(near.as_fd()).expect("full") >= 1000);
        drop(far);
    }

    #[test]
    fn a_level_is_reported_until_it_is_taken_or_switched_off() {
        let mut poll = mio::Poll::new().expect("a poll");
        let mut events = mio::Events::with_capacity(4);
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let mut reported = |poll: &mut mio::Poll| {
            poll.poll(&mut events, Some(std::time::Duration::ZERO)).expect("polled");
            events.iter().map(|event| event.token().0).collect::<Vec<_>>()
        };
        watch_level(descriptor(&poll), far.as_fd(), 77, true).expect("added");
        assert!(reported(&mut poll).is_empty());
        near.write_all(b"x").expect("room");
        assert_eq!(reported(&mut poll), [77]);
        assert_eq!(reported(&mut poll), [77]);
        watch_level(descriptor(&poll), far.as_fd(), 77, false).expect("changed");
        assert!(reported(&mut poll).is_empty());
        watch_level(descriptor(&poll), far.as_fd(), 78, true).expect("changed");
        assert_eq!(reported(&mut poll), [78]);
    }

    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_one() {
        let limit = raise_open_files().expect("a limit");
        assert!(limit >= 256, "{limit}");
        assert_eq!(raise_open_files().expect("again"), limit);
    }
}
