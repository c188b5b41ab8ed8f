//! The names of recordings: `FILE.N`, with a suffix if that exists already.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};

/// `FILE.N`.
pub(super) fn first(base: &Path, number: u64) -> PathBuf {
    behind(base, number)
}

/// Makes a file that holds `content` and is nobody else's: `FILE.N`, or where that exists `FILE.N.1`, `FILE.N.2`
/// and so on. Links are never followed at its place, and an existing file is never changed.
///
/// If the file system supports it, the file gets its name only once it has its content, so that it is never
/// empty.
pub(super) fn create(base: &Path, number: u64, content: &[u8]) -> io::Result<(File, PathBuf)> {
    let first = first(base, number);
    let names = std::iter::once(first.clone()).chain((1..=BEHIND_MAX).map(|more| behind(&first, more)));
    match nameless(&first, content)? {
        Some(file) => free_one(names, |name| {
            let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(CWD, itself, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
        })
        .map(|((), name)| (file, name))
        .or_else(|error| match error.kind() {
            // There is no /proc, or the file system has no links.
            io::ErrorKind::NotFound | io::ErrorKind::Unsupported => plainly(&first, content),
            _ => Err(error),
        }),
        None => plainly(&first, content),
    }
}

/// A file without a name beside `name`; `None` if its file system has no such files.
fn nameless(name: &Path, content: &[u8]) -> io::Result<Option<File>> {
    let directory = match name.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::TMPFILE.bits();
    let opened = OpenOptions::new().write(true).mode(MODE).custom_flags(flags as i32).open(directory);
    match opened {
        Ok(mut file) => file.write_all(content).map(|()| Some(file)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

/// The same, with a file that is empty for a moment.
fn plainly(first: &Path, content: &[u8]) -> io::Result<(File, PathBuf)> {
    let names = std::iter::once(first.to_owned()).chain((1..=BEHIND_MAX).map(|more| behind(first, more)));
    let (mut file, name) = free_one(names, |name| {
        // O_EXCL does not follow a link at the last place, whatever it points to.
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(name)
    })?;
    match file.write_all(content) {
        Ok(()) => Ok((file, name)),
        Err(error) => {
            // It is empty, and this process has created it.
            let _ = fs::remove_file(&name);
            Err(error)
        }
    }
}

/// The first of `names` that `make` does not find taken.
fn free_one<T>(
    names: impl Iterator<Item = PathBuf>,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    for name in names {
        match make(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|made| (made, name)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names are taken"))
}

fn behind(name: &Path, number: u64) -> PathBuf {
    let mut name: OsString = name.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Recordings contain everything typed, including passwords.
const MODE: u32 = 0o600;

/// Numbers that are tried after a name that exists. Each costs a system call; a gateway that is restarted
/// every hour uses them up in a year.
const BEHIND_MAX: u64 = 9_999;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_name_that_is_taken_is_left_alone_and_the_next_one_is_made() {
        let directory = std::env::temp_dir().join(format!("websockify-names-{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        let base = directory.join("np");
        fs::write(directory.join("np.7"), "old").expect("written");
        symlink(directory.join("elsewhere"), directory.join("np.7.1")).expect("a dangling link");
        fs::create_dir(directory.join("np.7.2")).expect("a directory");
        for make in [create, |base: &Path, number, content: &[u8]| plainly(&first(base, number), content)] {
            let (_, name) = make(&base, 7, b"text").expect("made");
            assert_eq!(name, directory.join("np.7.3"));
            assert_eq!(fs::read(&name).expect("read"), b"text");
            assert_eq!(fs::metadata(&name).expect("there").permissions().mode() & 0o7777, 0o600);
            fs::remove_file(name).expect("removed");
        }
        assert_eq!(fs::read(directory.join("np.7")).expect("read"), b"old");
        assert!(!directory.join("elsewhere").exists());
        let (_, name) = create(&base, 8, b"text").expect("made");
        assert_eq!(name, directory.join("np.8"));
        let missing = create(&directory.join("missing/np"), 1, b"text").expect_err("no directory");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(directory).expect("removed");
    }
}
