//! A list of words, separated by white space, from the command line or from a file.

use std::path::PathBuf;
use std::sync::Arc;

use super::Argument;
use crate::source::{CachedFile, Fault};

/// Words as `T`.
pub(super) enum List<T> {
    Words(Arc<Vec<T>>),
    File(PathBuf, CachedFile<Vec<T>>),
}

impl<T> List<T> {
    /// The list that an argument stands for; an empty one without it.
    pub(super) fn of(argument: Option<&Argument>, read: fn(&str) -> T) -> List<T> {
        match argument {
            None => List::Words(Arc::default()),
            Some(Argument::Text(text)) => List::Words(Arc::new(words(text.reveal(), read))),
            Some(Argument::File(path)) => List::File(path.clone(), CachedFile::default()),
        }
    }

    /// The words.
    ///
    /// # Errors
    /// The file can't be used, in words for the operator.
    pub(super) fn get(&self, read: fn(&str) -> T) -> Result<Arc<Vec<T>>, String> {
        match self {
            List::Words(words) => Ok(Arc::clone(words)),
            List::File(path, file) => file
                .get(path, |bytes| words(bytes, read))
                .map_err(|fault: Fault| format!("{}: {fault}", path.display())),
        }
    }

    /// Whether there is a file to wait for.
    pub(super) fn may_block(&self) -> bool {
        matches!(self, List::File(..))
    }

    /// The file, if there is one.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            List::Words(_) => Vec::new(),
            List::File(path, _) => vec![path.clone()],
        }
    }
}

fn words<T>(bytes: &[u8], read: fn(&str) -> T) -> Vec<T> {
    String::from_utf8_lossy(bytes).split_whitespace().map(read).collect()
}
