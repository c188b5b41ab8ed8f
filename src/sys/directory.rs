//! The names in a directory. std's reader panics when closedir(3) reports an error, which can happen on
//! network file systems; this one ignores it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags};

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called there.
    pub name: OsString,
    /// The number of its inode, without following links.
    pub inode: u64,
}

/// The entries of the directory `path`, in no order, without `.` and `..`. Does not block if `path` is not a
/// directory.
///
/// # Errors
/// The system's, for the directory now and for each entry later.
pub fn entries(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
    let flags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
    let reader = Dir::new(rustix::fs::open(path, flags, Mode::empty())?)?;
    let entry = |found: rustix::fs::DirEntry| Entry {
        name: OsString::from_vec(found.file_name().to_bytes().to_vec()),
        inode: found.ino(),
    };
    Ok(reader
        .map(move |found| found.map(entry).map_err(io::Error::from))
        .filter(|found| !found.as_ref().is_ok_and(|entry| entry.name == "." || entry.name == "..")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_names_of_a_directory_are_listed_with_their_inodes() {
        let dir = std::env::temp_dir().join(format!("websockify-directory-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let mut expected: Vec<Entry> = ["one", "two", "..."]
            .into_iter()
            .map(|name| {
                fs::write(dir.join(name), name).expect("written");
                let inode = fs::metadata(dir.join(name)).expect("there").ino();
                Entry { name: name.into(), inode }
            })
            .collect();
        let mut found: Vec<Entry> =
            entries(&dir).expect("a directory").map(|e| e.expect("an entry")).collect();
        expected.sort_by(|one, other| one.name.cmp(&other.name));
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(found, expected);
        assert!(entries(&dir.join("one")).is_err(), "a file is no directory");
        assert!(entries(&dir.join("missing")).is_err());
        fs::remove_dir_all(dir).expect("removed");
    }
}
