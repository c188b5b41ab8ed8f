//! TokenFile: lines `token: host:port` in a file, or in all files of a directory.
//!
//! The files are checked at each lookup, and parsed when they have changed. Anything that is not a regular
//! file is skipped, so that a FIFO or a directory among them does no harm; the `..data` links of a mounted
//! ConfigMap lead to regular files.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answer, Source, TokenPlugin};
use crate::log::Log;
use crate::source::{CachedFile, Fault, Identity, Place};
use crate::sys::directory::entries;
use crate::target::{Colons, Target};

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let place = source.place("TokenFile")?;
    let plugin = TokenFile {
        name: source.text.as_ref().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default(),
        place,
        log: Arc::clone(&source.log),
        file: CachedFile::default(),
        folder: Mutex::default(),
        said: Mutex::default(),
    };
    if let Answer::Broken(why) = plugin.look_up("") {
        source.log.warn(format_args!("warning: token source {why}"));
    }
    Ok(Box::new(plugin))
}

struct TokenFile {
    /// As it was given, for the log.
    name: String,
    place: Place,
    log: Arc<Log>,
    file: CachedFile<Tokens>,
    folder: Mutex<Folder>,
    /// The bad lines that were logged last.
    said: Mutex<Vec<usize>>,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    targets: HashMap<Box<str>, Target>,
    lines: usize,
    /// Numbers of malformed lines, from 1.
    bad: Vec<usize>,
}

/// The files of a directory.
#[derive(Default)]
struct Folder {
    /// The directory's identity when it was listed.
    identity: Option<Identity>,
    files: BTreeMap<OsString, Arc<CachedFile<Tokens>>>,
}

/// A file of a directory.
type Named = (OsString, Arc<CachedFile<Tokens>>);

impl TokenPlugin for TokenFile {
    fn look_up(&self, token: &str) -> Answer {
        let path = self.place.find();
        let found = match self.file.get(path, Tokens::parse) {
            Ok(tokens) => {
                self.complain(&tokens.bad);
                tokens.targets.get(token).map(|target| Answer::to(target.clone()))
            }
            Err(Fault::NotRegular) if path.is_dir() => self.look_up_in(path, token),
            Err(fault) => Some(Answer::Broken(format!("{}: {fault}", path.display()))),
        };
        found.unwrap_or(Answer::Unknown)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.place.all()
    }
}

impl TokenFile {
    /// Looks through the files of a directory by their names' order; the last one that has the token counts.
    fn look_up_in(&self, directory: &Path, token: &str) -> Option<Answer> {
        let files = match self.list(directory) {
            Ok(files) => files,
            Err(fault) => return Some(Answer::Broken(format!("{}: {fault}", directory.display()))),
        };
        let (mut found, mut broken, mut lines, mut bad) = (None, None, 0, Vec::new());
        for (name, file) in files {
            let path = directory.join(name);
            match file.get(&path, Tokens::parse) {
                Ok(tokens) => {
                    if let Some(target) = tokens.targets.get(token) {
                        found = Some(Answer::to(target.clone()));
                    }
                    // As in Python, line numbers continue from file to file.
                    bad.extend(tokens.bad.iter().map(|number| lines + number));
                    lines += tokens.lines;
                }
                Err(Fault::NotRegular) => {}
                Err(fault) if fault.is_missing() => {}
                Err(fault) => broken = Some(Answer::Broken(format!("{}: {fault}", path.display()))),
            }
        }
        self.complain(&bad);
        // The token may be in the file that can't be read.
        found.or(broken)
    }

    /// The files of the directory. It is listed again when it has changed.
    fn list(&self, directory: &Path) -> Result<Vec<Named>, Fault> {
        let identity = Identity::of(&fs::metadata(directory)?);
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.identity != Some(identity) {
            let mut files = BTreeMap::new();
            for entry in entries(directory)? {
                let name = entry?.name;
                let file = folder.files.remove(&name).unwrap_or_default();
                files.insert(name, file);
                if files.len() > FILES_MAX {
                    return Err(Fault::TooLarge);
                }
            }
            *folder = Folder { identity: (!identity.is_young()).then_some(identity), files };
        }
        Ok(folder.files.iter().map(|(name, file)| (name.clone(), Arc::clone(file))).collect())
    }

    /// Logs which lines are malformed, once for each state of the files.
    fn complain(&self, bad: &[usize]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == bad {
            return;
        }
        bad.clone_into(&mut said);
        drop(said);
        for number in bad.iter().take(COMPLAINTS_MAX) {
            self.log.warn(format_args!("Syntax error in {} on line {number}", self.name));
        }
        if let Some(more) = bad.len().checked_sub(COMPLAINTS_MAX).filter(|&more| more > 0) {
            self.log.warn(format_args!("Syntax errors in {} on {more} more lines", self.name));
        }
    }
}

impl Tokens {
    /// Reads a token file. A malformed line does not affect the others.
    pub(super) fn parse(bytes: &[u8]) -> Tokens {
        let lines = memchr::memchr_iter(b'\n', bytes).count().min(LINES_USUAL);
        let mut tokens = Tokens { targets: HashMap::with_capacity(lines), ..Tokens::default() };
        for line in bytes.split(|&byte| byte == b'\n') {
            tokens.lines += 1;
            match entry(line) {
                Ok(Some((token, target))) => drop(tokens.targets.insert(token.into(), target)),
                Ok(None) => {}
                Err(()) => tokens.bad.push(tokens.lines),
            }
        }
        // There is no line after the last line end.
        if bytes.is_empty() || bytes.ends_with(b"\n") {
            tokens.lines -= 1;
        }
        tokens
    }

    /// How many tokens, bad lines and lines there are.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn count(&self) -> (usize, usize, usize) {
        (self.targets.len(), self.bad.len(), self.lines)
    }

    /// The target of this token.
    #[cfg(test)]
    fn get(&self, token: &str) -> Option<String> {
        self.targets.get(token).map(Target::to_string)
    }
}

/// Token and target of one line; nothing for a blank line or a comment.
fn entry(line: &[u8]) -> Result<Option<(&str, Target)>, ()> {
    let line = std::str::from_utf8(line.trim_ascii()).map_err(drop)?;
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    // The colon before the first white space that has one; there may be only one such.
    let mut borders =
        line.match_indices(':').filter(|(at, _)| line[at + 1..].starts_with(char::is_whitespace));
    let (Some((at, _)), None) = (borders.next(), borders.next()) else { return Err(()) };
    match Target::parse(&line[at + 1..], Colons::Last) {
        Some(target) => Ok(Some((&line[..at], target))),
        None => Err(()),
    }
}

/// The capacity reserved at once for as many tokens as there are lines, up to this.
const LINES_USUAL: usize = 1 << 17;

/// Files in a directory: each costs a `stat` at each lookup.
const FILES_MAX: usize = 100_000;

/// Bad lines that are logged one by one.
const COMPLAINTS_MAX: usize = 10;

#[cfg(test)]
mod tests;
