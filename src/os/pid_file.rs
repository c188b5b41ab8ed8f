//! `--pid-file`: the number of the process, for scripts that send it signals.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file with the number of this process. Dropping it removes the file, unless another process has put its
/// own number there.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes the file, in one piece: who reads it finds the old content or the new one.
    ///
    /// # Errors
    /// The system's; or what is there is no file, such as a device, which must not be replaced by one.
    pub fn write(path: &Path) -> io::Result<PidFile> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it exists and is not a regular file"));
        }
        let content = format!("{}\n", std::process::id());
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(draft);
        let result = write_new(&draft, &content).and_then(|()| fs::rename(&draft, path));
        if let Err(error) = result {
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        Ok(PidFile { path: path.to_owned(), content })
    }

    /// Whether the file is there and has this process's number.
    fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() < 32)
            && fs::read_to_string(&self.path).is_ok_and(|content| content == self.content)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // If it can't be removed it stays; its number is that of no process of ours any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let mut file = match options.open(path) {
        // Left behind by a process of this number that was killed while it wrote.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)?
        }
        result => result?,
    };
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("websockify-pid-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_file_holds_the_number_and_goes_with_the_process() {
        let dir = scratch("whole");
        let path = dir.join("pid");
        fs::write(&path, "1\n").expect("an older one");
        fs::write(dir.join(format!("pid.{}", std::process::id())), "half").expect("a draft left behind");
        let file = PidFile::write(&path).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{}\n", std::process::id()));
        assert_eq!(names(&dir), ["pid"]);
        drop(file);
        assert_eq!(names(&dir), Vec::<String>::new());
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn anothers_number_is_left_alone() {
        let dir = scratch("others");
        let path = dir.join("pid");
        let file = PidFile::write(&path).expect("written");
        fs::write(&path, "4711\n").expect("another's");
        drop(file);
        assert_eq!(fs::read_to_string(&path).expect("there"), "4711\n");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn what_can_not_be_written_is_an_error_and_leaves_nothing() {
        let dir = scratch("error");
        fs::create_dir(dir.join("pid")).expect("a directory in its place");
        assert!(PidFile::write(&dir.join("pid")).is_err());
        std::os::unix::fs::symlink("/dev/null", dir.join("null")).expect("a link");
        assert!(PidFile::write(&dir.join("null")).is_err());
        fs::remove_file(dir.join("null")).expect("it is still there");
        assert!(PidFile::write(&dir.join("missing/pid")).is_err());
        assert_eq!(names(&dir), ["pid"]);
        fs::remove_dir_all(dir).expect("removed");
    }
}
