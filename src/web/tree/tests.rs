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
    match tree.descend(&tree.root()?, &names)? {
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
        assert_eq!(found(&tree, path), Err(Missing::Outside), "{path}");
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
        for path in ["socket", "fifo", "to-fifo"] {
            assert_eq!(found(&tree, path), Err(Missing::Absent), "{path}");
        }
        let device = if outside_links { Missing::Absent } else { Missing::Outside };
        assert_eq!(found(&tree, "device"), Err(device));
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

#[test]
fn a_root_that_is_a_link_is_followed_wholly_when_it_is_turned() {
    let place = Place::new("turned");
    let current = place.base.join("current");
    for release in ["one", "two"] {
        let root = place.base.join(release);
        std::fs::create_dir_all(root.join("app")).expect("made");
        std::fs::write(root.join("app/a"), release).expect("written");
        symlink(root.join("app/a"), root.join("by-release")).expect("linked");
        symlink(current.join("app/a"), root.join("by-current")).expect("linked");
        symlink(place.base.join("alias").join(release).join("app"), root.join("by-alias")).expect("linked");
        symlink(place.base.join("one/app/a"), root.join("to-one")).expect("linked");
    }
    symlink(".", place.base.join("alias")).expect("linked");
    symlink("one", &current).expect("linked");
    let tree = Tree::open(&current, false).expect("a directory");
    let read = |path: &str| found(&tree, path);
    for release in ["one", "two", "one"] {
        symlink(release, place.base.join("next")).expect("linked");
        std::fs::rename(place.base.join("next"), &current).expect("turned");
        for path in ["app/a", "by-release", "by-current", "by-alias/a"] {
            assert_eq!(read(path).as_deref(), Ok(release), "{path}");
        }
        let other = if release == "one" { Ok("one".to_owned()) } else { Err(Missing::Outside) };
        assert_eq!(read("to-one"), other, "{release}");
    }
    let before = tree.root().expect("there");
    assert!(!tree.has_turned(&before));
    std::fs::remove_file(&current).expect("removed");
    assert!(!tree.has_turned(&before), "it leads nowhere for a moment");
    symlink("two", &current).expect("linked");
    assert!(tree.has_turned(&before));
    assert_eq!(tree.descend(&before, &[b"by-current".into()]).map(|_| ()), Ok(()), "it is whole as it was");
}

#[test]
fn what_may_not_be_seen_is_told_from_what_is_not_there_and_from_what_is_not_known() {
    for (error, missing) in [
        (Errno::NOENT, Missing::Absent),
        (Errno::NOTDIR, Missing::Absent),
        (Errno::NAMETOOLONG, Missing::Absent),
        (Errno::ACCESS, Missing::Denied),
        (Errno::PERM, Missing::Denied),
        (Errno::MFILE, Missing::Busy),
        (Errno::IO, Missing::Busy),
        (Errno::TIMEDOUT, Missing::Busy),
        (Errno::NOTCONN, Missing::Busy),
        (Errno::HOSTDOWN, Missing::Busy),
    ] {
        assert_eq!(Missing::from(error), missing, "{error}");
    }
}

/// Names that are swapped while they are walked: what is found is always something that was there and that may be
/// seen.
#[test]
fn a_tree_that_changes_while_it_is_walked_leads_nowhere_else() {
    use rustix::fs::{RenameFlags, renameat_with};
    use std::sync::atomic::{AtomicBool, Ordering};
    let place = Place::new("racing");
    std::fs::create_dir_all(place.base.join("outside/deep")).expect("made");
    for name in ["outside/b", "outside/deep/c", "outside/a"] {
        std::fs::write(place.base.join(name), "secret").expect("written");
    }
    std::fs::create_dir_all(place.root.join("spare/deep")).expect("made");
    std::fs::write(place.root.join("spare/b"), "b").expect("written");
    std::fs::write(place.root.join("spare/deep/c"), "c").expect("written");
    for (at, to) in [
        ("out", "../outside"),
        ("out-absolute", place.base.join("outside").to_str().expect("text")),
        ("out-file", "../secret"),
        ("way", "sub/deep/../.."),
        ("round", "sub/deep/../../sub/b"),
    ] {
        place.link(at, to);
    }
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, place.root.join("fifo"), fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let pairs = [
                ("sub", "out"),
                ("a", "out-file"),
                ("sub", "spare"),
                ("sub", "out-absolute"),
                ("a", "fifo"),
                ("sub/deep", "out"),
                ("sub/b", "out-file"),
                ("sub", "a"),
                ("sub", "way"),
            ];
            let swap = |(one, other): (&str, &str)| {
                let (one, other) = (place.root.join(one), place.root.join(other));
                let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
            };
            // Each swap is taken back, and there are moments between.
            let mut swaps = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let pair = pairs[usize::try_from(swaps / 2).expect("few") % pairs.len()];
                swap(pair);
                swaps += 1;
            }
            swaps
        });
        let tree = place.tree(false);
        let mut seen = std::collections::HashMap::<String, u32>::new();
        for round in 0..6_000 {
            let path = ["a", "sub/b", "sub/deep/c", "round", "way/a", "way/sub/b"][round % 6];
            let name = match found(&tree, path) {
                Ok(text) => text,
                Err(missing) => format!("{missing:?}"),
            };
            *seen.entry(name).or_default() += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        let swaps = swapper.join().expect("it swaps");
        assert!(!seen.contains_key("secret") && !seen.contains_key("Busy"), "{seen:?}");
        // Otherwise nothing was tested: names were swapped meanwhile, and both kinds of answers came.
        assert!(swaps > 100 && seen.contains_key("b") && seen.len() > 3, "{swaps} swaps: {seen:?}");
    });
}
