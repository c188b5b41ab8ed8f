//! TokenFileName: the token is the name of a file in a directory, and its content is `host:port`.

use std::path::PathBuf;

use super::{Answer, Source, TokenPlugin};
use crate::source::{self, Fault, Place};
use crate::target::{Colons, Target};

pub(super) fn open(source: &Source) -> Result<Box<dyn TokenPlugin>, String> {
    let place = source.place("TokenFileName")?;
    if !place.find().is_dir() {
        return Err("TokenFileName plugin requires a directory".into());
    }
    Ok(Box::new(TokenFileName(place)))
}

struct TokenFileName(Place);

impl TokenPlugin for TokenFileName {
    fn look_up(&self, token: &str) -> Answer {
        // As in Python, everything before the last slash is ignored.
        let name = token.rsplit('/').next().unwrap_or(token);
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            return Answer::Unknown;
        }
        match source::read(&self.0.find().join(name)) {
            Ok((bytes, _)) => match std::str::from_utf8(source::without_mark(&bytes)) {
                Ok(text) => match Target::parse(text, Colons::One) {
                    Some(target) => Answer::to(target),
                    None => Answer::Broken("the token's file does not hold host:port".into()),
                },
                Err(_) => Answer::Broken("the token's file is not UTF-8".into()),
            },
            Err(Fault::NotRegular) => Answer::Unknown,
            Err(fault) if fault.is_missing() || is_no_name(&fault) => self.unknown(),
            Err(fault) => Answer::Broken(format!("the token's file: {fault}")),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.0.all()
    }
}

impl TokenFileName {
    /// A token without a file is unknown only if the directory is accessible.
    fn unknown(&self) -> Answer {
        let directory = self.0.find();
        match std::fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => Answer::Unknown,
            Ok(_) => Answer::Broken(format!("{}: not a directory", directory.display())),
            Err(error) => Answer::Broken(format!("{}: {}", directory.display(), Fault::from(error))),
        }
    }
}

/// Whether no file can have such a name.
fn is_no_name(fault: &Fault) -> bool {
    matches!(fault, Fault::System(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;
    use crate::source::scratch::Scratch;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    fn plugin(scratch: &Scratch) -> Result<Box<dyn TokenPlugin>, String> {
        let log = Arc::new(Log::in_memory(false));
        open(&Source {
            text: Some("d".into()),
            directory: scratch.dir().into(),
            web: None,
            log,
            remote: Default::default(),
            python: None,
        })
    }

    fn found(text: &str) -> Answer {
        Answer::to(Target::parse(text, Colons::One).expect(text))
    }

    #[test]
    fn the_content_of_the_file_is_the_target() {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path("d")).unwrap();
        let plugin = plugin(&scratch).expect("a directory");
        for (name, text, target) in [
            ("a", "localhost:5900\n", "localhost:5900"),
            ("b", " 10.0.0.1:5901 \r\n", "10.0.0.1:5901"),
            ("c", "[::1]:5900", "[::1]:5900"),
            ("d", "unix_socket:/run/x\n", "unix_socket:/run/x"),
            ("e f", "\u{feff}h:1\n", "h:1"),
        ] {
            scratch.file(&format!("d/{name}"), text);
            assert_eq!(plugin.look_up(name), found(target), "{name}");
        }
        // Changes count at once.
        scratch.file("d/a", "localhost:5999\n");
        assert_eq!(plugin.look_up("a"), found("localhost:5999"));
        // Only the last part of the token counts.
        assert_eq!(plugin.look_up("../../x/a"), found("localhost:5999"));
    }

    #[test]
    fn what_is_no_file_of_the_directory_is_unknown() {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path("d/sub")).unwrap();
        scratch.file("outside", "h:1\n");
        scratch.fifo("d/fifo");
        let _socket = std::os::unix::net::UnixListener::bind(scratch.path("d/sock")).unwrap();
        symlink("absent", scratch.path("d/dangling")).unwrap();
        let plugin = plugin(&scratch).expect("a directory");
        for token in [
            "",
            ".",
            "..",
            "a/",
            "sub",
            "fifo",
            "sock",
            "dangling",
            "absent",
            "../outside",
            "a\0b",
            &"x".repeat(300),
        ] {
            assert_eq!(plugin.look_up(token), Answer::Unknown, "{token:?}");
        }
    }

    #[test]
    fn a_file_without_a_target_is_broken_and_its_name_is_not_told() {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path("d")).unwrap();
        let plugin = plugin(&scratch).expect("a directory");
        for text in [&b"nonsense\n"[..], b"", b"::1:5900", b"h:70000", b"\xff:1"] {
            scratch.file("d/token-x", text);
            let Answer::Broken(why) = plugin.look_up("token-x") else { panic!("{text:?}") };
            assert!(!why.contains("token-x"), "{why}");
        }
        std::fs::remove_dir_all(scratch.path("d")).unwrap();
        assert!(matches!(plugin.look_up("a"), Answer::Broken(_)));
    }

    #[test]
    fn it_needs_a_directory() {
        let scratch = Scratch::new();
        scratch.file("d", "");
        assert_eq!(plugin(&scratch).err().as_deref(), Some("TokenFileName plugin requires a directory"));
    }
}
