//! The program's own files: certificates, keys, logs, recordings, secrets. They are never published, even if
//! they are below the web root, which is where noVNC's own start script looks for the certificate.
//!
//! A file is recognised by its place, that is, its directory's identity and its name, so that a file that
//! replaces it is not public even for a moment; and by its own identity, so that links of any kind are
//! refused, too. Files and directories are checked again for each request, since they come and go.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::directory;

/// Some file or files of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFile {
    /// An absolute path. Nothing need be there.
    pub path: PathBuf,
    /// What the path stands for.
    pub extent: Extent,
    /// The option that names it, for the log.
    pub option: &'static str,
}

/// What a path of the program's stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A file, and what it is compressed to.
    File,
    /// A file, and others that have its name and a dot or a date after it: rotated logs.
    Series,
    /// Files with its name followed by numbers, each after a dot: recordings.
    Numbered,
    /// All files in a directory.
    Directory,
}

/// What distinguishes a file or a directory from all others.
pub(super) type Identity = (u64, u64);

/// The own files among those of a directory.
#[derive(Default)]
pub(super) struct Hidden {
    all: bool,
    names: Vec<(Vec<u8>, Extent)>,
    inodes: HashSet<u64>,
}

/// Whether `file`, which was opened as `name` in `folder`, is one of `own`.
pub(super) fn is_own(own: &[OwnFile], folder: impl AsFd, name: &[u8], file: impl AsFd) -> bool {
    if own.is_empty() {
        return false;
    }
    let (Some(folder), Ok(file)) = (identity_of(folder), rustix::fs::fstat(file)) else { return true };
    let (id, has_others) = ((file.st_dev, file.st_ino), file.st_nlink > 1);
    own.iter().any(|own| own.is_at(folder, name) || own.has(id, has_others))
}

/// Whether `name` in `folder` is the place of one of `own`: a link there is not followed.
pub(super) fn is_place(own: &[OwnFile], folder: impl AsFd, name: &[u8]) -> bool {
    if own.is_empty() {
        return false;
    }
    let Some(folder) = identity_of(folder) else { return true };
    own.iter().any(|own| own.is_at(folder, name))
}

/// Whether `folder` is a directory of `own`: nothing in it is served, directories included.
pub(super) fn is_directory(own: &[OwnFile], folder: impl AsFd) -> bool {
    let mut directories = own.iter().filter(|own| own.extent == Extent::Directory).peekable();
    if directories.peek().is_none() {
        return false;
    }
    let Some(folder) = identity_of(folder) else { return true };
    directories.any(|own| identity(&own.path) == Some(folder))
}

impl OwnFile {
    /// Whether its place is `name` in `folder`.
    fn is_at(&self, folder: Identity, name: &[u8]) -> bool {
        if self.extent == Extent::Directory {
            return identity(&self.path) == Some(folder);
        }
        let is_there = |path: &Path| {
            let (Some(parent), Some(own)) = (path.parent(), path.file_name()) else { return false };
            self.extent.covers(own.as_bytes(), name) && identity(parent) == Some(folder)
        };
        let is_link = || fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_symlink());
        // A link has two places: its own, and that of what it leads to.
        is_there(&self.path) || (is_link() && fs::canonicalize(&self.path).is_ok_and(|path| is_there(&path)))
    }

    /// Whether it is the file `id`, whatever that is called; `has_others` if that has more than one name.
    fn has(&self, id: Identity, has_others: bool) -> bool {
        if self.extent != Extent::Directory && identity(&self.path) == Some(id) {
            return true;
        }
        // The others of a series are looked for only if the file has names elsewhere.
        has_others && self.others().any(|other| other == id)
    }

    /// The further files that it stands for.
    fn others(&self) -> impl Iterator<Item = Identity> {
        let folder = match self.extent {
            Extent::File => None,
            Extent::Series | Extent::Numbered => self.path.parent(),
            Extent::Directory => Some(self.path.as_path()),
        };
        let device = folder.and_then(identity).map_or(0, |(device, _)| device);
        let own = self.path.file_name().unwrap_or_default().as_bytes().to_vec();
        let extent = self.extent;
        let entries = folder.and_then(|folder| directory::entries(folder).ok()).into_iter().flatten();
        entries
            .take(NAMES_MAX)
            .flatten()
            .filter(move |entry| extent.covers(&own, entry.name.as_bytes()))
            .map(move |entry| (device, entry.inode))
    }

    /// Whether some of it is now at or below `root`, which contains no links.
    pub(super) fn lies_below(&self, root: &Path) -> bool {
        let below = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path.starts_with(root));
        match self.extent {
            Extent::File => self.path.is_file() && self.places().any(below),
            Extent::Series | Extent::Numbered | Extent::Directory => self.places().any(below),
        }
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        let folder = if self.extent == Extent::Directory { None } else { self.path.parent() };
        [Some(self.path.as_path()), folder].into_iter().flatten()
    }
}

impl Hidden {
    /// What must not be listed of `folder`.
    pub(super) fn in_folder(own: &[OwnFile], folder: impl AsFd) -> Hidden {
        let mut hidden = Hidden::default();
        let Some(folder) = identity_of(folder).filter(|_| !own.is_empty()) else { return hidden };
        for own in own {
            if own.extent == Extent::Directory {
                hidden.all |= identity(&own.path) == Some(folder);
            } else if own.path.parent().and_then(identity) == Some(folder) {
                let name = own.path.file_name().unwrap_or_default();
                hidden.names.push((name.as_bytes().to_vec(), own.extent));
            }
            let itself = identity(&own.path).filter(|_| own.extent != Extent::Directory);
            let ids = itself.into_iter().chain(own.others());
            hidden.inodes.extend(ids.filter(|(device, _)| *device == folder.0).map(|(_, inode)| inode));
        }
        hidden
    }

    /// Whether the file of this name and number is one of them.
    pub(super) fn has(&self, name: &[u8], inode: u64) -> bool {
        let is_named = || self.names.iter().any(|(own, extent)| extent.covers(own, name));
        self.all || self.inodes.contains(&inode) || is_named()
    }
}

impl Extent {
    /// Whether a file that is called `name` belongs to one that is called `own`, in the same directory.
    fn covers(self, own: &[u8], name: &[u8]) -> bool {
        match (self, name.strip_prefix(own)) {
            (Extent::Directory, _) => true,
            (_, None) => false,
            (Extent::File, Some(rest)) => COMPRESSED.contains(&rest),
            // `vnc.7` and `vnc.7.1`, but not the page `vnc.html` beside them.
            (Extent::Numbered, Some(rest)) => is_numbered(rest),
            (Extent::Series, Some([])) => true,
            // `LOG.1`, and `LOG-20261125` of a rotation by date.
            (Extent::Series, Some([b'.', ..])) => true,
            (Extent::Series, Some(rest)) => matches!(rest, [b'-', digit, ..] if digit.is_ascii_digit()),
        }
    }
}

/// Whether `rest` is numbers, each behind a dot, and perhaps what a file is called when it is compressed.
fn is_numbered(rest: &[u8]) -> bool {
    let rest =
        COMPRESSED.iter().filter_map(|suffix| rest.strip_suffix(*suffix)).min_by_key(|rest| rest.len());
    let Some([b'.', numbers @ ..]) = rest else { return false };
    numbers.split(|&byte| byte == b'.').all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

/// What `path` leads to, links included.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    let of = |found: Metadata| (found.dev(), found.ino());
    fs::metadata(path).ok().map(of)
}

pub(super) fn identity_of(file: impl AsFd) -> Option<Identity> {
    rustix::fs::fstat(file).ok().map(|found| (found.st_dev, found.st_ino))
}

/// What may stand behind a file's name: nothing, or what a copy of it is compressed by.
const COMPRESSED: [&[u8]; 5] = [b"", b".gz", b".br", b".zst", b".bz2"];

/// Names that are read of a directory of own files.
const NAMES_MAX: usize = 10_000;
