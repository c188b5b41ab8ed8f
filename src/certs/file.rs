//! Files that are reread when they have changed.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::source::{self, Identity};

/// What distinguishes one state of some files from another without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    files: Vec<Option<Identity>>,
    /// Whether the last change is long enough ago for the next one to change the timestamps.
    settled: bool,
}

impl Stamp {
    /// The stamp of the files, which may be missing.
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Stamp {
        let found: Vec<Option<Metadata>> = paths.into_iter().map(|path| fs::metadata(path).ok()).collect();
        let settled = found.iter().flatten().all(is_settled);
        Stamp { files: found.iter().map(|found| found.as_ref().map(Identity::of)).collect(), settled }
    }

    /// Whether files that had the stamp `before` are certain to be the same still.
    pub(super) fn is_still(&self, before: &Stamp) -> bool {
        before.settled && self.files == before.files
    }
}

/// The text of a file. Invalid UTF-8 can only be in comments, and is replaced.
///
/// # Errors
/// It can't be read, in words that follow its name.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let found = fs::metadata(path).map_err(|error| describe(&error))?;
    // Anything else may block the reader for ever, or have a side effect when it is opened.
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    // Nor does this block if it has been replaced by now.
    let file = source::open(path).map_err(|error| describe(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| describe(&error))?;
    match bytes.len() as u64 {
        0 => Err("is empty".to_owned()),
        length if length > FILE_BYTES_MAX => Err("is too large for a PEM file".to_owned()),
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Whether every user of this machine may read a file: according to its own permissions and those of all
/// directories above it. If in doubt, no.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let may = |path: &Path, bits| fs::metadata(path).is_ok_and(|found| found.mode() & bits == bits);
    may(&path, OTHERS_READ) && path.ancestors().skip(1).all(|folder| may(folder, OTHERS_ENTER))
}

/// The permissions of those who are neither a file's owner nor in its group (chmod(2)): to read a file, and to
/// reach what is in a directory.
const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o001;

fn is_settled(found: &Metadata) -> bool {
    let Ok(modified) = found.modified() else { return false };
    SystemTime::now().duration_since(modified).is_ok_and(|age| age.as_secs() >= TIME_GRAIN_SECONDS)
}

/// The system's words, without the number that std puts after them.
pub(super) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    if error.kind() == io::ErrorKind::NotFound { "not found".to_owned() } else { words.to_owned() }
}

/// A large bundle of authorities has a few hundred kilobytes.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Two changes within the resolution of a file system's timestamps look like one. The coarsest in use is 2 s.
const TIME_GRAIN_SECONDS: u64 = 3;

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    fn age(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).expect("opened");
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("aged");
    }

    #[test]
    fn a_file_is_the_same_until_it_is_replaced_changed_or_gone() {
        let scratch = Scratch::new();
        let path = scratch.file("a", "one");
        age(&path, 100);
        let stamp = || Stamp::of([path.as_path()]);
        let before = stamp();
        assert!(stamp().is_still(&before));
        let other = scratch.file("b", "one");
        age(&other, 100);
        fs::rename(&other, &path).expect("renamed");
        assert!(!stamp().is_still(&before), "replaced by a file of the same size and time");
        let before = stamp();
        fs::write(&path, "three").expect("written");
        assert!(!stamp().is_still(&before), "written to");
        let before = stamp();
        fs::remove_file(&path).expect("removed");
        assert!(!stamp().is_still(&before));
        let before = stamp();
        assert!(stamp().is_still(&before), "a file that is not there stays that");
    }

    #[test]
    fn a_file_that_was_changed_just_now_may_change_again_unseen() {
        let scratch = Scratch::new();
        let path = scratch.file("a", "one");
        let stamp = Stamp::of([path.as_path()]);
        assert!(!Stamp::of([path.as_path()]).is_still(&stamp));
        age(&path, 60);
        let stamp = Stamp::of([path.as_path()]);
        assert!(Stamp::of([path.as_path()]).is_still(&stamp));
    }

    #[test]
    fn a_file_is_open_to_all_only_if_the_way_to_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let folder = scratch.path("folder");
        fs::create_dir(&folder).expect("a directory");
        let file = folder.join("key");
        fs::write(&file, "secret").expect("written");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        };
        mode(&scratch.path(""), 0o755);
        for (file_mode, folder_mode, is_open) in
            [(0o644, 0o755, true), (0o604, 0o711, true), (0o640, 0o755, false), (0o644, 0o750, false)]
        {
            mode(&file, file_mode);
            mode(&folder, folder_mode);
            assert_eq!(is_open_to_all(&file), is_open, "{file_mode:o} in {folder_mode:o}");
        }
        mode(&folder, 0o755);
        mode(&file, 0o644);
        let link = scratch.path("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert!(is_open_to_all(&link));
        assert!(!is_open_to_all(&scratch.path("missing")));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let scratch = Scratch::new();
        assert_eq!(read(&scratch.path("missing")), Err("not found".into()));
        assert_eq!(read(&scratch.path("")), Err("is not a regular file".into()));
        assert_eq!(read(Path::new("/dev/zero")), Err("is not a regular file".into()));
        assert_eq!(read(&scratch.file("empty", "")), Err("is empty".into()));
        let large = scratch.file("large", "x");
        File::options()
            .write(true)
            .open(&large)
            .and_then(|file| file.set_len(FILE_BYTES_MAX + 1))
            .expect("grown");
        assert_eq!(read(&large), Err("is too large for a PEM file".into()));
        assert_eq!(read(&scratch.file("text", "text")), Ok("text".into()));
    }
}
