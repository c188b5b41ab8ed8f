//! Where the library lies, so that a program finds it for as long as that lives, which may be longer than we do.

use super::LIBRARY;
use crate::log::describe;
use crate::secret;
use aws_lc_rs::rand;
use rustix::fs::{OFlags, StatVfsMountFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The library as a file.
///
/// It is not a memfd: a program that closes descriptors closes those too, and then each of its children says that it
/// misses the library. It is not removed at the end either, since the program may go on.
#[derive(Clone, Debug)]
pub struct Library {
    path: PathBuf,
}

impl Library {
    /// Finds the file or makes it: beside the installed program (`../lib/websockify/rebind.so`), else one of this user
    /// in a directory for temporary files. This reads and writes files, and so may block.
    ///
    /// # Errors
    /// There is no library for this processor, or no directory takes a file that programs can load. The text names
    /// each directory with its reason.
    pub fn place() -> io::Result<Library> {
        if LIBRARY.is_empty() {
            let text = "programs can't be moved to another port on this processor";
            return Err(io::Error::new(ErrorKind::Unsupported, text));
        }
        if let Some(path) = installed().filter(|path| serves(path, Owner::OrRoot).is_ok()) {
            return Ok(Library { path });
        }
        private(&directories()).map(|path| Library { path })
    }

    #[cfg(test)]
    pub(super) fn at(path: PathBuf) -> Library {
        Library { path }
    }

    /// Its path, absolute and without the signs that divide `LD_PRELOAD`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who may own the file, besides this user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    OrRoot,
}

/// Where an installation has the library, seen from the running program.
fn installed() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.parent()?.parent()?.join("lib/websockify/rebind.so"))
}

/// The directories for a private file, the first one that serves is taken. What is in /var/tmp is left alone for
/// longest (tmpfiles.d(5)). A user's own runtime directory is closed to other users, as which a program may run.
fn directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = ["/var/tmp", "/tmp", "/dev/shm"].map(PathBuf::from).into();
    let own = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|own| own.is_absolute());
    directories.extend(own);
    directories
}

/// Finds or makes the file of this user in the first of `directories` that serves.
pub(super) fn private(directories: &[PathBuf]) -> io::Result<PathBuf> {
    let name = file_name();
    let mut reasons = Vec::new();
    for directory in directories {
        match in_directory(directory, &name) {
            Ok(path) => return Ok(path),
            Err(error) => reasons.push(format!("{}: {}", directory.display(), describe(&error))),
        }
    }
    // Somebody may have taken that name everywhere; nobody knows this one before.
    let name = format!("{name}.{}", random()?);
    if let Some(path) = directories.iter().find_map(|directory| in_directory(directory, &name).ok()) {
        return Ok(path);
    }
    let text = format!(
        "the library for wrapped programs can't be written to any directory ({})",
        reasons.join("; ")
    );
    Err(io::Error::other(text))
}

/// The name of this user's file. Another version of the library has another one, so that programs keep theirs.
pub(super) fn file_name() -> String {
    format!("websockify-rebind-{}-{}.so", rustix::process::geteuid().as_raw(), secret::fingerprint(LIBRARY))
}

fn in_directory(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    check_name(&path)?;
    let open = File::open(directory)?;
    let found = open.metadata()?;
    if !found.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    // Where the directory is sticky, only who owns a file removes or renames it.
    if found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 {
        return Err(io::Error::other("others can replace what is in it"));
    }
    check_mount(&open)?;
    if serves(&path, Owner::Nobody).is_ok() {
        return Ok(path);
    }
    let draft = directory.join(format!(".{name}.{}", random()?));
    let made = write_new(&draft).and_then(|()| fs::rename(&draft, &path));
    if let Err(error) = made {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    serves(&path, Owner::Nobody)?;
    Ok(path)
}

/// Whether the file is the library, stays so, and can be loaded by every user.
fn serves(path: &Path, owner: Owner) -> io::Result<()> {
    check_name(path)?;
    // Whatever stands there: a link is not followed and a pipe not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let us = rustix::process::geteuid().as_raw();
    if !found.is_file() || !(found.uid() == us || owner == Owner::OrRoot && found.uid() == 0) {
        return Err(io::Error::other("another user's file has the library's name"));
    }
    if found.mode() & 0o022 != 0 || found.mode() & 0o444 != 0o444 {
        return Err(io::Error::other("the library can be written, or not be read, by others"));
    }
    check_mount(&file)?;
    let mut content = Vec::new();
    Read::by_ref(&mut file).take(LIBRARY.len() as u64 + 1).read_to_end(&mut content)?;
    if content != LIBRARY {
        return Err(io::Error::other("the library there is a different one"));
    }
    Ok(())
}

/// Whether `LD_PRELOAD` can hold the path: the loader splits it at blanks and colons, and replaces what stands behind a
/// dollar sign (ld.so(8)).
fn check_name(path: &Path) -> io::Result<()> {
    let divides = |byte: &u8| byte.is_ascii_whitespace() || b":;$\x0b".contains(byte);
    if !path.is_absolute() || path.as_os_str().as_bytes().iter().any(divides) {
        return Err(io::Error::other("LD_PRELOAD can't hold this path"));
    }
    Ok(())
}

/// Whether what is there can be loaded as code.
fn check_mount(file: &File) -> io::Result<()> {
    if rustix::fs::fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(io::Error::other("it is mounted noexec"));
    }
    Ok(())
}

/// Writes the library to a file that was not there.
fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(LIBRARY)?;
    // At last, and whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(0o444))
}

/// A part of a name that nobody knows before.
fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
