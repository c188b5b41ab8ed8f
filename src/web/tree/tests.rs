use std::io::Read;
use std::os::unix::fs::symlink;

use super::*;

/// A root with a file beside it that must never be reached.
struct Place {
    base: PathBuf,
    root: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let base = std::env::temp_dir().join(format!("websockify-tree-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        let root = base.join("root");
        std::fs::create_dir_all(root.join("sub/deep")).expect("made");
        std::fs::create_dir_all(base.join("root-too")).expect("made");
        for (path, text) in [
            ("secret", "secret"),
            ("root-too/secret", "secret"),
            ("root/a", "a"),
            ("root/sub/b", "b"),
            ("root/sub/deep/c", "c"),
        ] {
            std::fs::write(base.join(path), text).expect("written");
        }
        Place { base, root }
    }

    fn tree(&self, outside_links: bool) -> Tree {
        Tree::open(&self.root, outside_links).expect("a directory")
    }

    fn link(&self, at: &str, to: impl AsRef<Path>) {
        symlink(to, self.root.join(at)).expect("linked");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

/// What is found: a file's content, `/` for a folder, or why there is nothing.
fn found(tree: &Tree, path: &str) -> Result<String, Missing> {
    let names: Vec<Vec<u8>> = path.split('/').filter(|name| !name.is_empty()).map(Vec::from).collect();
    match tree.descend(&names)? {
        Entry::Folder(_) => Ok("/".to_owned()),
        Entry::File(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("readable");
            Ok(text)
        }
    }
}

#[test]
fn files_and_folders_below_the_root_are_found() {
    let place = Place::new("plain");
    let tree = place.tree(false);
    for (path, expected) in [("", "/"), ("a", "a"), ("sub", "/"), ("sub/b", "b"), ("sub/deep/c", "c")] {
        assert_eq!(found(&tree, path).as_deref(), Ok(expected), "{path}");
    }
    for path in ["b", "a/b", "sub/c", "sub/deep/c/d", &"x".repeat(5000)] {
        assert_eq!(found(&tree, path), Err(Missing::Absent), "{path}");
    }
}

#[test]
fn links_are_followed_as_long_as_they_stay_below_the_root() {
    let place = Place::new("links");
    place.link("to-a", "a");
    place.link("to-sub", "./sub/");
    place.link("sub/up", "../a");
    place.link("sub/down-and-up", "deep/../../sub/b");
    place.link("absolute", place.root.join("sub/b"));
    place.link("absolute-root", &place.root);
    place.link("two", "to-a");
    place.link("outside", "../secret");
    place.link("outside-absolute", place.base.join("secret"));
    place.link("outside-deep", "sub/../../root/a");
    place.link("outside-like-the-root", place.base.join("root-too/secret"));
    place.link("outside-up", place.root.join("../secret"));
    place.link("outside-dir", "..");
    place.link("loop", "loop");
    place.link("nothing", "gone");
    place.link("through-file", "a/b");
    let inside = [
        ("to-a", "a"),
        ("to-sub", "/"),
        ("to-sub/b", "b"),
        ("sub/up", "a"),
        ("to-sub/up", "a"),
        ("sub/down-and-up", "b"),
        ("absolute", "b"),
        ("absolute-root/a", "a"),
        ("two", "a"),
    ];
    let outside = [
        ("outside", "secret"),
        ("outside-absolute", "secret"),
        ("outside-deep", "a"),
        ("outside-like-the-root", "secret"),
        ("outside-up", "secret"),
        ("outside-dir/secret", "secret"),
    ];
    let (tree, open) = (place.tree(false), place.tree(true));
    for (path, expected) in inside {
        assert_eq!(found(&tree, path).as_deref(), Ok(expected), "{path}");
        assert_eq!(found(&open, path).as_deref(), Ok(expected), "{path}, links allowed");
    }
    for (path, expected) in outside {
        assert_eq!(found(&tree, path), Err(Missing::Absent), "{path}");
        assert_eq!(found(&open, path).as_deref(), Ok(expected), "{path}, links allowed");
    }
    for path in ["loop", "nothing", "through-file"] {
        assert_eq!(found(&tree, path), Err(Missing::Absent), "{path}");
        assert_eq!(found(&open, path), Err(Missing::Absent), "{path}, links allowed");
    }
}

#[test]
fn what_is_no_file_is_never_opened_and_never_waited_for() {
    let place = Place::new("special");
    let _socket = std::os::unix::net::UnixListener::bind(place.root.join("socket")).expect("bound");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, place.root.join("fifo"), fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    place.link("to-fifo", "fifo");
    place.link("device", "/dev/zero");
    for outside_links in [false, true] {
        let tree = place.tree(outside_links);
        for path in ["socket", "fifo", "to-fifo", "device"] {
            assert_eq!(found(&tree, path), Err(Missing::Absent), "{path}");
        }
    }
}

#[test]
fn links_that_multiply_come_to_an_end() {
    let place = Place::new("multiply");
    place.link("x", "sub/../x/../x");
    for at in 0..30 {
        place.link(&format!("l{at}"), format!("l{0}/../l{0}", at + 1));
    }
    let tree = place.tree(false);
    assert_eq!(found(&tree, "x"), Err(Missing::Absent));
    assert_eq!(found(&tree, "l0"), Err(Missing::Absent));
    place.link("same", ".");
    assert_eq!(found(&tree, &"same/".repeat(500)).as_deref(), Ok("/"), "each is one link, and no deeper");
}

#[test]
fn a_root_that_was_replaced_is_served_from_then_on() {
    let place = Place::new("replaced");
    let tree = place.tree(false);
    assert_eq!(found(&tree, "a").as_deref(), Ok("a"));
    std::fs::rename(&place.root, place.base.join("old")).expect("moved");
    assert_eq!(found(&tree, "a"), Err(Missing::Absent));
    std::fs::create_dir(&place.root).expect("made");
    std::fs::write(place.root.join("a"), "new").expect("written");
    assert_eq!(found(&tree, "a").as_deref(), Ok("new"));
}

#[test]
fn a_root_must_be_a_directory() {
    let place = Place::new("root");
    assert!(Tree::open(&place.root.join("a"), false).is_err());
    assert!(Tree::open(&place.root.join("gone"), false).is_err());
}
