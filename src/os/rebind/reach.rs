//! Programs that no preloaded library reaches, recognised before they are started.

use super::elf::{HEAD, Head, Linked};
use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A program that keeps the port which it asks for. `Display` is the line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The program's file, or that of the interpreter which reads the script.
    pub file: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a program can't be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has no loader, which would preload anything.
    Static,
    /// Go's programs call the system themselves.
    Go,
    /// It runs as another user, and then the loader takes no library from the environment (ld.so(8), "Secure-execution mode").
    SetUserId,
    /// The same with another group.
    SetGroupId,
    /// The same with capabilities of the file (capabilities(7)).
    Capabilities,
    /// It is for another processor than the library, or of another word size.
    Foreign,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Static => "is statically linked",
            Reason::Go => "was written in Go",
            Reason::SetUserId => "is set-user-id",
            Reason::SetGroupId => "is set-group-id",
            Reason::Capabilities => "has file capabilities",
            Reason::Foreign => "is for another processor",
        })
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreachable { file, reason } = self;
        let file = file.display();
        write!(
            f,
            "{file} {reason}, so it can't be moved to another port: let it listen on another port and name that as \
             the target, or use --unix-target or --wrap-stdin"
        )
    }
}

/// The users and groups that we run as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Us {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// What decides about the rights that a program is started with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) has_capabilities: bool,
    /// Mounted nosuid, or under `no_new_privs`: then a file gives no rights.
    pub(super) are_void: bool,
}

/// Why no preload reaches `program`, which will be started in `directory` with `path` as its `PATH`; `None` if one
/// does, and also if the program is not there, which its start will say.
pub fn unreachable_by_preload(
    program: &OsStr,
    directory: &Path,
    path: Option<&OsStr>,
) -> Option<Unreachable> {
    let us = Us { user: rustix::process::getuid().as_raw(), group: rustix::process::getgid().as_raw() };
    let mut file = find(program, directory, path)?;
    // As many interpreters of interpreters as the system goes through.
    for _ in 0..5 {
        let (head, rights) = look(&file)?;
        match why(&head, rights, us) {
            Verdict::Reached => return None,
            Verdict::Not(_) if is_loader(&file) => return None,
            Verdict::Not(reason) => return Some(Unreachable { file, reason }),
            Verdict::Ask(interpreter) => file = directory.join(interpreter),
        }
    }
    None
}

/// What is known after a look at one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reached,
    Not(Reason),
    /// It is a script, which this program reads.
    Ask(PathBuf),
}

pub(super) fn why(head: &[u8], rights: Rights, us: Us) -> Verdict {
    let linked = match Head::of(head) {
        // The system takes no rights from a script.
        Head::Script(interpreter) => return Verdict::Ask(PathBuf::from(OsStr::from_bytes(&interpreter))),
        Head::Other => return Verdict::Ask(PathBuf::from("/bin/sh")),
        Head::Foreign => return Verdict::Not(Reason::Foreign),
        Head::Elf(linked) => linked,
    };
    match linked {
        Linked::Statically => return Verdict::Not(Reason::Static),
        Linked::AsGo => return Verdict::Not(Reason::Go),
        Linked::Dynamically => {}
    }
    if rights.are_void {
        return Verdict::Reached;
    }
    // Without the right to execute for the group the bit means something else (inode(7)).
    let (set_user, set_group) = (rights.mode & 0o4000 != 0, rights.mode & 0o2010 == 0o2010);
    if set_user && rights.user != us.user {
        return Verdict::Not(Reason::SetUserId);
    }
    if set_group && rights.group != us.group {
        return Verdict::Not(Reason::SetGroupId);
    }
    // Root gets no more by them than it has.
    if rights.has_capabilities && us.user != 0 {
        return Verdict::Not(Reason::Capabilities);
    }
    Verdict::Reached
}

/// The file that execvp(3) starts for this word.
fn find(program: &OsStr, directory: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.is_empty() {
        return None;
    }
    if program.as_bytes().contains(&b'/') {
        return Some(directory.join(program));
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    let folders = path.as_bytes().split(|byte| *byte == b':');
    // An empty one is the current directory, as which `directory` stands here.
    let mut files = folders.map(|folder| directory.join(OsStr::from_bytes(folder)).join(program));
    files.find(|file| {
        let is_ours = rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_ok();
        is_ours && file.is_file()
    })
}

/// The beginning of a file, and its rights; `None` if it can't be read.
fn look(path: &Path) -> Option<(Vec<u8>, Rights)> {
    // A pipe would be waited for.
    if !path.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let found = file.metadata().ok()?;
    let is_nosuid =
        rustix::fs::fstatvfs(&file).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID));
    let rights = Rights {
        mode: found.mode(),
        user: found.uid(),
        group: found.gid(),
        has_capabilities: has_capabilities(&file),
        are_void: is_nosuid || rustix::thread::no_new_privs().unwrap_or(false),
    };
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    Some((head, rights))
}

fn has_capabilities(file: &File) -> bool {
    // Too long for the space is there, too.
    let found = rustix::fs::fgetxattr(file, "security.capability", &mut [0_u8; 64]);
    found.is_ok() || found == Err(rustix::io::Errno::RANGE)
}

/// Whether this is the loader itself, started as a program: it has none, and preloads.
fn is_loader(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_bytes();
    name.starts_with(b"ld-") || name.starts_with(b"ld.so")
}
