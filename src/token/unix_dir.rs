//! UnixDomainSocketDirectory: the token names a Unix socket in a directory, and never one outside of it,
//! whatever links there are.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use super::{Answer, Source, TokenPlugin};
use crate::source::{Fault, Place};
use crate::target::Target;

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let place = source.place("UnixDomainSocketDirectory")?;
    if !place.find().is_dir() {
        source.log.warn(format_args!("warning: token source {}: not a directory", place.find().display()));
    }
    Ok(Box::new(UnixDirectory(place)))
}

struct UnixDirectory(Place);

impl TokenPlugin for UnixDirectory {
    fn look_up(&self, token: &str) -> Answer {
        let directory = match fs::canonicalize(self.0.find()) {
            Ok(directory) => directory,
            Err(error) => {
                return Answer::Broken(format!("{}: {}", self.0.find().display(), Fault::from(error)));
            }
        };
        if token.is_empty() || token.contains('\0') {
            return Answer::Unknown;
        }
        if token.split('/').any(|part| part == "..") || token.starts_with('/') {
            return Answer::Refused("the token leads out of the directory".into());
        }
        match fs::canonicalize(directory.join(token)) {
            Ok(path) if !path.starts_with(&directory) => {
                Answer::Refused("the token leads out of the directory".into())
            }
            Ok(path) => match fs::metadata(&path) {
                Ok(metadata) if metadata.file_type().is_socket() => Answer::to(Target::Unix(path)),
                _ => Answer::Unknown,
            },
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Answer::Broken(format!("{}: {}", directory.display(), Fault::from(error)))
            }
            Err(_) => Answer::Unknown,
        }
    }

    /// Anyone who sees the sockets' names has the tokens.
    fn files(&self) -> Vec<PathBuf> {
        self.0.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;
    use crate::source::scratch::Scratch;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    fn plugin(scratch: &Scratch) -> Box<dyn TokenPlugin> {
        let log = Arc::new(Log::in_memory(false));
        let source = Source {
            text: Some("socks".into()),
            directory: scratch.dir().into(),
            web: None,
            log,
            remote: Default::default(),
            python: None,
        };
        open(&source).expect("it starts without the directory, too")
    }

    #[test]
    fn a_socket_of_the_directory_is_found_and_nothing_else() {
        let scratch = Scratch::new();
        for dir in ["socks/sub", "socks-other"] {
            fs::create_dir_all(scratch.path(dir)).unwrap();
        }
        let _sockets = ["socks/a", "socks/sub/b", "socks-other/x", "outside"]
            .map(|name| UnixListener::bind(scratch.path(name)).expect("a socket"));
        scratch.file("socks/file", "");
        symlink("a", scratch.path("socks/inside")).unwrap();
        symlink("../outside", scratch.path("socks/escape")).unwrap();
        symlink("../socks-other", scratch.path("socks/dir")).unwrap();
        let plugin = plugin(&scratch);
        let real = fs::canonicalize(scratch.path("socks")).unwrap();
        for (token, path) in
            [("a", "a"), ("sub/b", "sub/b"), ("inside", "a"), ("./a", "a"), ("sub//b", "sub/b")]
        {
            assert_eq!(plugin.look_up(token), Answer::to(Target::Unix(real.join(path))), "{token}");
        }
        let absolute = scratch.path("socks/a").display().to_string();
        for token in [
            "../outside",
            "../socks-other/x",
            "sub/../a",
            "escape",
            "dir/x",
            "/etc/passwd",
            absolute.as_str(),
        ] {
            assert!(matches!(plugin.look_up(token), Answer::Refused(_)), "{token}");
        }
        for token in ["", ".", "sub", "file", "absent", "a/b", "a\0", &"x".repeat(300)] {
            assert_eq!(plugin.look_up(token), Answer::Unknown, "{token:?}");
        }
    }

    #[test]
    fn without_its_directory_it_is_broken() {
        let scratch = Scratch::new();
        assert!(matches!(plugin(&scratch).look_up("a"), Answer::Broken(_)));
    }
}
