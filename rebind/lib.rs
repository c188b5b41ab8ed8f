//! The library that moves a wrapped program to another port.
//!
//! It is preloaded (`LD_PRELOAD`, ld.so(8)) into a program that listens on a port of which websockify has taken
//! the place. Where the program binds a stream socket to that port, `REBIND_OLD_PORT`, the socket gets the loopback
//! port `REBIND_NEW_PORT`, to which websockify connects its clients:
//!
//! | the socket | gets |
//! | --- | --- |
//! | IPv4 | 127.0.0.1 |
//! | IPv6 that takes IPv4, too | ::ffff:127.0.0.1, so that it is reached as 127.0.0.1 |
//! | IPv6 alone (`IPV6_V6ONLY`) | ::1 |
//!
//! All else goes to the system as it came: other ports, port 0, UDP, Unix sockets, and addresses that are short,
//! long, of another family or not readable, so that a program sees the system's own errors. `getsockname` shows the
//! port that was asked for. websockify holds the new port with a bound socket that does not listen, and beside such a
//! one a socket can be bound and listen if both have `SO_REUSEADDR` (socket(7)), so the library sets that.
//!
//! It is one file, built by `build.rs` without `core`'s parts that allocate, panic or unwind, and it is loaded by whatever
//! libc the program has: it needs no other library and names no version of a symbol. What it calls may be called
//! in a signal handler and after a fork (signal-safety(7)); what may not, `getenv` and `dlsym`, it calls once, when
//! it is loaded.
//!
//! This is the second address of `unsafe`, beside `src/sys`: every block says why it is sound.

#![no_std]
#![deny(unsafe_op_in_unsafe_fn, missing_docs, clippy::undocumented_unsafe_blocks)]

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, Ordering};

const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_TYPE: c_int = 3;
const SO_DOMAIN: c_int = 39;
const IPPROTO_IPV6: c_int = 41;
const IPV6_V6ONLY: c_int = 26;

const SOCK_STREAM: c_int = 1;
const AF_UNSPEC: u16 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

const EFAULT: c_int = 14;
const EINVAL: c_int = 22;
const EADDRINUSE: c_int = 98;

/// The size of `sockaddr_in`, which bind(2) asks for at least.
const IPV4: usize = 16;
/// The size of `sockaddr_in6`.
const IPV6: usize = 28;
/// What bind(2) asks for at least: the struct of RFC 2133, which had no scope.
const LEAST_IPV6: usize = 24;
/// The size of `sockaddr_storage`, the most that bind(2) takes.
const MOST: usize = 128;

/// The beginning of the addresses that are IPv4 inside IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The numbers of system calls, which differ between processors.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const BIND: core::ffi::c_long = 49;
    pub const GETSOCKNAME: core::ffi::c_long = 51;
    pub const RT_SIGPROCMASK: core::ffi::c_long = 14;
}
#[cfg(target_arch = "x86")]
mod number {
    pub const BIND: core::ffi::c_long = 361;
    pub const GETSOCKNAME: core::ffi::c_long = 367;
    pub const RT_SIGPROCMASK: core::ffi::c_long = 175;
}
#[cfg(target_arch = "arm")]
mod number {
    pub const BIND: core::ffi::c_long = 282;
    pub const GETSOCKNAME: core::ffi::c_long = 286;
    pub const RT_SIGPROCMASK: core::ffi::c_long = 175;
}
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64"))]
mod number {
    pub const BIND: core::ffi::c_long = 200;
    pub const GETSOCKNAME: core::ffi::c_long = 204;
    pub const RT_SIGPROCMASK: core::ffi::c_long = 135;
}

/// The port that the program asks for; 0 before the library is ready, and if nothing is to be moved.
static OLD: AtomicU16 = AtomicU16::new(0);
/// The port that it gets.
static NEW: AtomicU16 = AtomicU16::new(0);
/// Whether the environment was read.
static IS_READY: AtomicBool = AtomicBool::new(false);
/// The next library's `bind`: libc's, or that of another preloaded one.
static NEXT_BIND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// The next library's `getsockname`.
static NEXT_GETSOCKNAME: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

type Bind = unsafe extern "C" fn(c_int, *const c_void, u32) -> c_int;
type Getsockname = unsafe extern "C" fn(c_int, *mut c_void, *mut u32) -> c_int;

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

/// dlsym(3): the one in the search order behind the caller.
const RTLD_NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);

// Before glibc 2.34 `dlsym` was in a library of its own, which not every program has loaded. So the symbol is weak, and
// the loader leaves null here if nobody has it.
#[cfg(target_pointer_width = "64")]
core::arch::global_asm!(
    ".weak dlsym",
    ".pushsection .data.rel.ro.websockify_dlsym, \"aw\"",
    ".balign 8",
    ".hidden websockify_dlsym",
    ".globl websockify_dlsym",
    "websockify_dlsym: .8byte dlsym",
    ".popsection",
);
#[cfg(target_pointer_width = "32")]
core::arch::global_asm!(
    ".weak dlsym",
    ".pushsection .data.rel.ro.websockify_dlsym, \"aw\"",
    ".balign 4",
    ".hidden websockify_dlsym",
    ".globl websockify_dlsym",
    "websockify_dlsym: .4byte dlsym",
    ".popsection",
);

/// `struct iovec`.
#[repr(C)]
struct Piece {
    base: *mut c_void,
    len: usize,
}

// SAFETY: these are the signatures of glibc's and musl's headers.
unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut u32) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
    fn process_vm_readv(
        pid: c_int,
        local: *const Piece,
        locals: core::ffi::c_ulong,
        remote: *const Piece,
        remotes: core::ffi::c_ulong,
        flags: core::ffi::c_ulong,
    ) -> isize;
    fn syscall(number: c_long, ...) -> c_long;
}

// SAFETY: it is defined above, as a word that the loader has filled in before any code of this library runs.
unsafe extern "C" {
    static websockify_dlsym: Option<Dlsym>;
}

/// Called by the loader, before the program's `main`.
// SAFETY: the section holds pointers to functions that take nothing that they need (the loader may pass arguments).
#[used]
#[unsafe(link_section = ".init_array")]
static INITIALISER: extern "C" fn() = get_ready;

/// Reads the ports and finds what is called next. Before `main` there is one thread and no handler of signals, so
/// nothing changes the environment meanwhile; a call from another library's initialiser may come before ours.
extern "C" fn get_ready() {
    if IS_READY.swap(true, Ordering::AcqRel) {
        return;
    }
    let errno = Errno::save();
    NEXT_BIND.store(next(c"bind"), Ordering::Release);
    NEXT_GETSOCKNAME.store(next(c"getsockname"), Ordering::Release);
    if let (Some(old), Some(new)) = (port(c"REBIND_OLD_PORT"), port(c"REBIND_NEW_PORT")) {
        NEW.store(new, Ordering::Release);
        OLD.store(old, Ordering::Release);
    }
    errno.restore();
}

/// The function of this name in the library behind this one; null if that can't be said.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: the loader has written the word, and nobody writes it afterwards. The read is volatile, because the
    // compiler knows no writer at all.
    let dlsym = unsafe { ptr::read_volatile(&raw const websockify_dlsym) };
    match dlsym {
        // SAFETY: this is libc's dlsym, and the name ends with NUL.
        Some(dlsym) => unsafe { dlsym(RTLD_NEXT, name.as_ptr()) },
        None => ptr::null_mut(),
    }
}

/// The port in a variable of the environment: digits, 1 to 65535.
fn port(name: &CStr) -> Option<u16> {
    // SAFETY: the name ends with NUL, and nothing else touches the environment now (see `get_ready`).
    let text = unsafe { getenv(name.as_ptr()) };
    if text.is_null() {
        return None;
    }
    // SAFETY: what getenv returns ends with NUL, and lives as long as nobody changes the environment.
    let text = unsafe { CStr::from_ptr(text) };
    let mut port: u16 = 0;
    for digit in text.to_bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        port = port.checked_mul(10)?.checked_add(u16::from(digit - b'0'))?;
    }
    (port > 0).then_some(port)
}

/// bind(2) for the program.
///
/// # Safety
///
/// As bind(2): any arguments may come, also pointers to nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(fd: c_int, address: *const c_void, len: u32) -> c_int {
    get_ready();
    let errno = Errno::save();
    let place = place(fd, address, len);
    errno.restore();
    let Some(place) = place else { return next_bind(fd, address, len) };
    // The port is held by a socket that does not listen, beside which this is enough (socket(7)).
    let had = option(fd, SOL_SOCKET, SO_REUSEADDR);
    set_reuse(fd, 1);
    errno.restore();
    let mut result = place.bind(fd);
    // What asks for one IPv6 address may have bound the IPv4 one before, whose place this would be.
    if result != 0 && place.also_fits_v6 && Errno::save().0 == EADDRINUSE {
        errno.restore();
        result = Place { kind: Kind::V6, also_fits_v6: false }.bind(fd);
    }
    if result != 0 && had == Some(0) {
        let failed = Errno::save();
        set_reuse(fd, 0);
        failed.restore();
    }
    result
}

/// getsockname(2) for the program: where it would see the port that it got, it sees the one that it asked for.
///
/// # Safety
///
/// As getsockname(2): any arguments may come, also pointers to nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(fd: c_int, address: *mut c_void, len: *mut u32) -> c_int {
    get_ready();
    let old = OLD.load(Ordering::Acquire);
    let errno = Errno::save();
    let mut room = [0; 4];
    let has_room = old != 0 && read(len.cast(), &mut room) && u32::from_ne_bytes(room) >= 4;
    let is_moved = has_room && is_moved(fd);
    errno.restore();
    let result = next_getsockname(fd, address, len);
    if result == 0 && is_moved {
        // SAFETY: the system has just written at least four bytes there, since there was room for them and every
        // address of IPv4 and IPv6 is longer. Nothing is known about alignment, and bytes have none.
        unsafe { address.cast::<[u8; 2]>().byte_add(2).write_unaligned(old.to_be_bytes()) };
    }
    result
}

/// Where a socket goes.
#[derive(Clone, Copy)]
struct Place {
    kind: Kind,
    /// Whether the IPv6 loopback address would be as good, if this one is taken.
    also_fits_v6: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    V4,
    Mapped,
    V6,
}

impl Place {
    fn bind(self, fd: c_int) -> c_int {
        let [high, low] = NEW.load(Ordering::Acquire).to_be_bytes();
        match self.kind {
            Kind::V4 => {
                let [a, b] = AF_INET.to_ne_bytes();
                let address: [u8; IPV4] = [a, b, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
                next_bind(fd, (&raw const address).cast(), IPV4 as u32)
            }
            Kind::Mapped => {
                bind_v6(fd, [high, low], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1])
            }
            Kind::V6 => bind_v6(fd, [high, low], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        }
    }
}

fn bind_v6(fd: c_int, port: [u8; 2], ip: [u8; 16]) -> c_int {
    /// `struct sockaddr_in6`.
    #[repr(C)]
    struct Address {
        family: u16,
        port: [u8; 2],
        flow: u32,
        ip: [u8; 16],
        scope: u32,
    }
    const { assert!(size_of::<Address>() == IPV6) };
    let address = Address { family: AF_INET6, port, flow: 0, ip, scope: 0 };
    next_bind(fd, (&raw const address).cast(), IPV6 as u32)
}

/// Where the socket `fd` goes instead of `address`; `None` if the call goes on as it is.
fn place(fd: c_int, address: *const c_void, len: u32) -> Option<Place> {
    let old = OLD.load(Ordering::Acquire);
    let len = len as usize;
    if old == 0 || !(IPV4..=MOST).contains(&len) {
        return None;
    }
    let mut bytes = [0; MOST];
    // The system reads all that is said to be there.
    if !read(address, bytes.get_mut(..len)?) {
        return None;
    }
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    if [bytes[2], bytes[3]] != old.to_be_bytes() || option(fd, SOL_SOCKET, SO_TYPE)? != SOCK_STREAM {
        return None;
    }
    let domain = option(fd, SOL_SOCKET, SO_DOMAIN)?;
    if domain == c_int::from(AF_INET) {
        // Linux takes an address without a family for "any".
        let is_any = bytes[4..8] == [0; 4];
        let fits = family == AF_INET || family == AF_UNSPEC && is_any;
        return fits.then_some(Place { kind: Kind::V4, also_fits_v6: false });
    }
    if domain != c_int::from(AF_INET6) || family != AF_INET6 || len < LEAST_IPV6 || bytes[8] == 0xff {
        return None;
    }
    let (is_any, is_mapped) = (bytes[8..24] == [0; 16], bytes[8..20] == MAPPED);
    match option(fd, IPPROTO_IPV6, IPV6_V6ONLY)? {
        0 => Some(Place { kind: Kind::Mapped, also_fits_v6: !is_any && !is_mapped }),
        // IPv4 on such a socket is an error, which the system finds.
        _ if is_mapped => None,
        _ => Some(Place { kind: Kind::V6, also_fits_v6: false }),
    }
}

/// Whether `fd` is a stream socket at the place that sockets are moved to, or a connection to one.
fn is_moved(fd: c_int) -> bool {
    let mut bytes = [0u8; IPV6];
    let mut len = IPV6 as u32;
    if next_getsockname(fd, (&raw mut bytes).cast(), &raw mut len) != 0 {
        return false;
    }
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    let is_loopback = match family {
        AF_INET => bytes[4..8] == [127, 0, 0, 1],
        AF_INET6 => {
            let is_mapped = bytes[8..20] == MAPPED && bytes[20..24] == [127, 0, 0, 1];
            is_mapped || bytes[8..24] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        }
        _ => false,
    };
    is_loopback
        && [bytes[2], bytes[3]] == NEW.load(Ordering::Acquire).to_be_bytes()
        && option(fd, SOL_SOCKET, SO_TYPE) == Some(SOCK_STREAM)
}

/// The value of a socket's option; `None` for what is not a socket.
fn option(fd: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as u32;
    // SAFETY: both pointers are to variables of ours, and `len` says how large the first one is.
    let result = unsafe { getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
    (result == 0).then_some(value)
}

/// Sets SO_REUSEADDR. Where that fails, bind says what is wrong.
fn set_reuse(fd: c_int, value: c_int) {
    // SAFETY: the pointer is to a variable of ours, of the size given.
    unsafe { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (&raw const value).cast(), size_of::<c_int>() as u32) };
}

/// Calls the next `bind`, or the system itself.
fn next_bind(fd: c_int, address: *const c_void, len: u32) -> c_int {
    let next = NEXT_BIND.load(Ordering::Acquire);
    if next.is_null() {
        // SAFETY: the system checks the arguments of its calls, pointers included.
        return unsafe { syscall(number::BIND, fd, address, len) } as c_int;
    }
    // SAFETY: it is not null, and dlsym found it under this name, whose signature bind(2) gives.
    let next = unsafe { core::mem::transmute::<*mut c_void, Bind>(next) };
    // SAFETY: these are the caller's arguments, or an address of ours with its length.
    unsafe { next(fd, address, len) }
}

/// Calls the next `getsockname`, or the system itself.
fn next_getsockname(fd: c_int, address: *mut c_void, len: *mut u32) -> c_int {
    let next = NEXT_GETSOCKNAME.load(Ordering::Acquire);
    if next.is_null() {
        // SAFETY: the system checks the arguments of its calls, pointers included.
        return unsafe { syscall(number::GETSOCKNAME, fd, address, len) } as c_int;
    }
    // SAFETY: it is not null, and dlsym found it under this name, whose signature getsockname(2) gives.
    let next = unsafe { core::mem::transmute::<*mut c_void, Getsockname>(next) };
    // SAFETY: these are the caller's arguments, or variables of ours.
    unsafe { next(fd, address, len) }
}

/// Copies memory of the program that may not be there; whether all of it was.
fn read(from: *const c_void, into: &mut [u8]) -> bool {
    let len = into.len();
    let local = Piece { base: into.as_mut_ptr().cast(), len };
    let remote = Piece { base: from.cast_mut(), len };
    // SAFETY: the system writes at most `len` bytes to `into`, and says EFAULT where `from` can't be read.
    let copied = unsafe { process_vm_readv(getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    if copied >= 0 {
        return copied.cast_unsigned() == len;
    }
    // Without that call (seccomp(2) may forbid it, a system may not have it) another one tells what can be read.
    if Errno::save().0 == EFAULT || !is_readable(from, len) {
        return false;
    }
    for (n, byte) in into.iter_mut().enumerate() {
        // SAFETY: the system has just read it. Another thread that frees it meanwhile has the same race with bind
        // itself. It is volatile, since what else happens to this memory is not known here.
        *byte = unsafe { ptr::read_volatile(from.cast::<u8>().wrapping_add(n)) };
    }
    true
}

/// Whether the system can read these bytes: it reads a mask of signals before it finds that what is to be done with it
/// makes no sense.
fn is_readable(from: *const c_void, len: usize) -> bool {
    const MASK: usize = 8;
    let mut at = 0;
    while at < len {
        // The last mask ends where the bytes end, so nothing after them is asked for. Only fewer bytes than a mask
        // has are taken for unreadable at the end of the last page.
        let start = if at + MASK > len { len.saturating_sub(MASK) } else { at };
        let mask = from.wrapping_byte_add(start);
        // SAFETY: the system checks the pointer, and -1 is not an action, so nothing changes.
        let _ = unsafe { syscall(number::RT_SIGPROCMASK, -1 as c_long, mask, ptr::null::<c_void>(), MASK) };
        if Errno::save().0 != EINVAL {
            return false;
        }
        at += MASK;
    }
    true
}

/// The program's `errno`, which calls of ours must not change.
#[derive(Clone, Copy)]
struct Errno(c_int);

impl Errno {
    fn save() -> Errno {
        // SAFETY: the pointer is to this thread's errno, which lives as long as the thread.
        Errno(unsafe { *__errno_location() })
    }

    fn restore(self) {
        // SAFETY: as above.
        unsafe { *__errno_location() = self.0 };
    }
}

/// Nothing here panics; the compiler wants a place to go all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
