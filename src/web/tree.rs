//! Path walks below the root that can't leave it, whatever links and races there are.
//!
//! A path is walked name by name, each relative to the open directory before it, and the kernel never follows
//! a link: a symbolic link is read and walked here, and `..` inside of one goes back to the directory before.
//! So there is no gap between check and use. A file is examined before it is opened, since opening a device
//! or a pipe can have effects, or block.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::own::{self, OwnFile};

/// A root, by its path: it is opened for each question, so that a directory that replaces it is served from
/// then on, and only once for each, so that all of an answer comes from the same directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    outside_links: bool,
    /// Files that are not there for anybody.
    pub(super) own: Vec<OwnFile>,
}

/// An open directory and those it was reached through, the root first.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    way: Vec<Rc<OwnedFd>>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Entry {
    Folder(Folder),
    /// A regular file, open for reading.
    File(File),
}

/// Why there is nothing to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It does not exist, or is not a file.
    Absent,
    /// This program is not allowed to access it.
    Denied,
    /// A link on the way leads out of the root.
    Outside,
    /// The system can't tell now: too many files are open, for example.
    Busy,
    /// It is a file of the program's own.
    Own,
}

impl Tree {
    /// # Errors
    /// The root is not a directory, or is out of reach.
    pub(super) fn open(root: &Path, outside_links: bool) -> io::Result<Tree> {
        rustix::fs::openat(CWD, root, DIRECTORY, Mode::empty())?;
        Ok(Tree { root: root.to_owned(), outside_links, own: Vec::new() })
    }

    /// The program's own files that lie below the root now.
    pub(super) fn own_below_root(&self) -> Vec<OwnFile> {
        let Ok(root) = self.root.canonicalize() else { return Vec::new() };
        self.own.iter().filter(|own| own.lies_below(&root)).cloned().collect()
    }

    /// The root as it is now.
    pub(super) fn root(&self) -> Result<Folder, Missing> {
        let root = rustix::fs::openat(CWD, &self.root, DIRECTORY, Mode::empty())?;
        Ok(Folder { way: vec![Rc::new(root)] })
    }

    /// Whether the root's path now leads to a directory other than the one that `folder` is below.
    pub(super) fn has_turned(&self, folder: &Folder) -> bool {
        own::identity(&self.root).is_some_and(|now| Some(now) != own::identity_of(folder.root()))
    }

    /// What `name` in `folder` is. Links are followed as far as they may be.
    pub(super) fn find(&self, folder: &Folder, name: &[u8]) -> Result<Entry, Missing> {
        if self.outside_links { self.follow(folder, name) } else { self.walk(folder, name) }
    }

    /// The same for names from `root` down.
    pub(super) fn descend(&self, root: &Folder, names: &[Vec<u8>]) -> Result<Entry, Missing> {
        let mut folder = root.clone();
        for (at, name) in names.iter().enumerate() {
            match self.find(&folder, name)? {
                Entry::Folder(next) => folder = next,
                Entry::File(file) if at + 1 == names.len() => return Ok(Entry::File(file)),
                Entry::File(_) => return Err(Missing::Absent),
            }
        }
        Ok(Entry::Folder(folder))
    }

    /// Lets the system follow links, wherever they lead.
    fn follow(&self, folder: &Folder, name: &[u8]) -> Result<Entry, Missing> {
        let top = folder.top();
        let look = rustix::fs::openat(top, name, LOOK, Mode::empty())?;
        match kind(&look)? {
            FileType::Directory if own::is_directory(&self.own, top) => Err(Missing::Own),
            FileType::Directory => Ok(Entry::Folder(folder.with(look)?)),
            FileType::RegularFile => {
                let file = regular(rustix::fs::openat(top, name, READ, Mode::empty())?)?;
                self.published(top, name, file)
            }
            _ => Err(Missing::Absent),
        }
    }

    /// Follows links name by name, as long as they stay below the root.
    fn walk(&self, folder: &Folder, name: &[u8]) -> Result<Entry, Missing> {
        let mut folder = folder.clone();
        let mut links = 0;
        // Names still to be walked, the next one last.
        let mut ahead = vec![name.to_vec()];
        while let Some(name) = ahead.pop() {
            match &name[..] {
                b"" | b"." => continue,
                b".." if folder.way.len() == 1 => return Err(Missing::Outside),
                b".." => {
                    folder.way.pop();
                    continue;
                }
                _ => {}
            }
            let look = rustix::fs::openat(folder.top(), &name[..], LOOK | OFlags::NOFOLLOW, Mode::empty())?;
            match kind(&look)? {
                FileType::Directory if own::is_directory(&self.own, folder.top()) => {
                    return Err(Missing::Own);
                }
                FileType::Directory => folder = folder.with(look)?,
                FileType::Symlink if own::is_place(&self.own, folder.top(), &name) => {
                    return Err(Missing::Own);
                }
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX || ahead.len() > DEPTH_MAX {
                        return Err(Missing::Absent);
                    }
                    let link = rustix::fs::readlinkat(&look, "", Vec::new())?;
                    let mut rest = link.as_bytes();
                    if rest.starts_with(b"/") {
                        rest = self.inside(folder.root(), rest).ok_or(Missing::Outside)?;
                        folder.way.truncate(1);
                    }
                    ahead.extend(rest.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
                }
                FileType::RegularFile if ahead.is_empty() => {
                    let file =
                        rustix::fs::openat(folder.top(), &name[..], READ | OFlags::NOFOLLOW, Mode::empty())?;
                    return self.published(folder.top(), &name, regular(file)?);
                }
                _ => return Err(Missing::Absent),
            }
        }
        Ok(Entry::Folder(folder))
    }

    /// The file, unless it is one of the program's own. It is open: a replacement of its name does not matter
    /// any more.
    fn published(&self, folder: &OwnedFd, name: &[u8], file: File) -> Result<Entry, Missing> {
        match own::is_own(&self.own, folder, name, &file) {
            true => Err(Missing::Own),
            false => Ok(Entry::File(file)),
        }
    }

    /// The part after the root of an absolute path into `root`: one that names the root as the operator did,
    /// wherever that leads now, or one that passes through the same directory.
    fn inside<'a>(&self, root: &OwnedFd, path: &'a [u8]) -> Option<&'a [u8]> {
        let named = self.root.as_os_str().as_bytes();
        if let Some(rest) = path.strip_prefix(named)
            && (rest.is_empty() || rest.starts_with(b"/") || named.ends_with(b"/"))
        {
            return Some(rest);
        }
        let root = own::identity_of(root)?;
        let ends = memchr::memchr_iter(b'/', path).map(|at| at.max(1)).chain([path.len()]);
        ends.map_while(|end| {
            let (way, rest) = path.split_at(end);
            own::identity(Path::new(OsStr::from_bytes(way))).map(|id| (id, rest))
        })
        .find_map(|(id, rest)| (id == root).then_some(rest))
    }
}

impl Folder {
    /// The directory itself, for reading its names.
    pub(super) fn reader(&self) -> Result<rustix::fs::Dir, Missing> {
        let flags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let reader = rustix::fs::openat(self.top(), ".", flags, Mode::empty())?;
        Ok(rustix::fs::Dir::new(reader)?)
    }

    pub(super) fn top(&self) -> &OwnedFd {
        self.way.last().expect("a folder begins with the root and never loses it")
    }

    fn root(&self) -> &OwnedFd {
        &self.way[0]
    }

    /// One step further down.
    fn with(&self, next: OwnedFd) -> Result<Folder, Missing> {
        if self.way.len() > DEPTH_MAX {
            return Err(Missing::Absent);
        }
        let mut way = self.way.clone();
        way.push(Rc::new(next));
        Ok(Folder { way })
    }
}

fn kind(look: &OwnedFd) -> Result<FileType, Missing> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(look)?.st_mode))
}

/// The file, if that is what was opened: something else may have replaced it since the check.
fn regular(file: OwnedFd) -> Result<File, Missing> {
    match kind(&file)? {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(Missing::Absent),
    }
}

impl From<Errno> for Missing {
    fn from(error: Errno) -> Missing {
        match error {
            Errno::ACCESS | Errno::PERM => Missing::Denied,
            // The errors of open(2) if there is no such file, or none of that kind, or can be none.
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NAMETOOLONG => Missing::Absent,
            Errno::INVAL | Errno::ILSEQ | Errno::NXIO | Errno::NODEV => Missing::Absent,
            // A file server that does not answer, for example, has not said that there is no file.
            _ => Missing::Busy,
        }
    }
}

/// For examining something without opening it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// To find a directory, whatever may be done in it.
const DIRECTORY: OFlags = LOOK.union(OFlags::DIRECTORY);

/// For reading a file. If it has become a pipe or a terminal meanwhile, opening it neither blocks nor makes
/// it the controlling terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Directory depth. Each level is a descriptor while a path is walked.
const DEPTH_MAX: usize = 20;

/// Descriptors that a question can have open at a time: the root and the directories below it, the file being
/// examined, the one being read, and the one whose compressed form is looked for.
pub(super) const DESCRIPTORS_MAX: usize = DEPTH_MAX + 4;

/// Links on one path, as many as Linux follows.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests;
