use super::*;
use crate::source::scratch::Scratch;
use std::os::unix::fs::symlink;

fn plugin(scratch: &Scratch, name: &str) -> (Box<dyn TokenPlugin>, Arc<Log>) {
    let log = Arc::new(Log::in_memory(false));
    let directory = scratch.dir().to_owned();
    let source = Source {
        text: Some(name.into()),
        directory,
        web: None,
        log: Arc::clone(&log),
        remote: Default::default(),
        python: None,
    };
    (open(&source).expect("a plugin"), log)
}

fn tcp(host: &str, port: u16) -> Answer {
    Answer::to(Target::Tcp { host: host.into(), port })
}

#[test]
fn lines_are_read_as_python_reads_them() {
    let tokens = Tokens::parse(
        b"# comment\n\
          a: host:5900\n\
          \t# indented comment\n\
          \n\
          b:\thost:5901\r\n\
          c : host:5902  \n\
          d:e: host:5903\n\
          f: ::1:5904\n\
          g: [::1]:5905\n\
          h: unix_socket:/run/a b:c\n\
          a: last:1\n\
          : empty:6\n\
          i:  spaces:7",
    );
    for (token, target) in [
        ("a", "last:1"),
        ("b", "host:5901"),
        ("c ", "host:5902"),
        ("d:e", "host:5903"),
        ("f", "::1:5904"),
        ("g", "::1:5905"),
        ("h", "/run/a b:c"),
        ("", "empty:6"),
        ("i", "spaces:7"),
    ] {
        assert_eq!(tokens.get(token).as_deref(), Some(target), "{token}");
    }
    assert_eq!((tokens.targets.len(), tokens.bad.as_slice(), tokens.lines), (9, &[][..], 13));
}

#[test]
fn a_bad_line_spoils_no_other() {
    let text =
        b"nonsense\na: h:1\nb:h:1\nc: h\nd: h:\ne: h:0\nf: h:65536\ng: x: h:1\nh: \xff:1\ni: :1\nz: h:2\n";
    let tokens = Tokens::parse(text);
    assert_eq!(tokens.bad, [1, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!((tokens.get("a").as_deref(), tokens.get("z").as_deref()), (Some("h:1"), Some("h:2")));
    assert_eq!(tokens.targets.len(), 2);
}

#[test]
fn a_file_is_asked_at_each_look_up() {
    let scratch = Scratch::new();
    scratch.file("t", "\u{feff}a: host:1\n");
    let (plugin, log) = plugin(&scratch, "t");
    assert_eq!(plugin.look_up("a"), tcp("host", 1));
    assert_eq!(plugin.look_up("b"), Answer::Unknown);
    scratch.file("t", "a: host:2\nbad\nb: host:3\n");
    assert_eq!(plugin.look_up("a"), tcp("host", 2));
    assert_eq!(plugin.look_up("b"), tcp("host", 3));
    assert_eq!(log.take_lines(), "Syntax error in t on line 2\n");
    fs::remove_file(scratch.path("t")).unwrap();
    assert_eq!(plugin.look_up("a"), Answer::Broken(format!("{}: not found", scratch.path("t").display())));
    scratch.fifo("t");
    assert!(matches!(plugin.look_up("a"), Answer::Broken(why) if why.ends_with("not a regular file")));
}

#[test]
fn a_source_that_is_not_there_yet_is_said_at_the_start() {
    let scratch = Scratch::new();
    let (plugin, log) = plugin(&scratch, "t");
    assert!(log.take_lines().starts_with("warning: token source "));
    scratch.file("t", "a: host:1\n");
    assert_eq!(plugin.look_up("a"), tcp("host", 1));
}

#[test]
fn in_a_directory_what_is_no_regular_file_is_passed_over() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("d/sub")).unwrap();
    scratch.fifo("d/fifo");
    symlink("absent", scratch.path("d/dangling")).unwrap();
    symlink("..", scratch.path("d/loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("d/socket")).unwrap();
    scratch.file("d/binary", b"\xff\xfe\x00\x01\nbin: host:3\n");
    scratch.file("d/a", "one: host:1\nboth: host:1\n");
    scratch.file("outside", "two: host:2\nboth: host:2\n");
    symlink("../outside", scratch.path("d/link")).unwrap();
    let (plugin, log) = plugin(&scratch, "d");
    assert_eq!(plugin.look_up("one"), tcp("host", 1));
    assert_eq!(plugin.look_up("two"), tcp("host", 2));
    assert_eq!(plugin.look_up("bin"), tcp("host", 3));
    assert_eq!(plugin.look_up("both"), tcp("host", 2));
    assert_eq!(plugin.look_up("three"), Answer::Unknown);
    // The two lines of `a` come before it.
    assert_eq!(log.take_lines(), "Syntax error in d on line 3\n");
    scratch.file("d/b", "three: host:3\n");
    assert_eq!(plugin.look_up("three"), tcp("host", 3));
    fs::remove_file(scratch.path("d/b")).unwrap();
    assert_eq!(plugin.look_up("three"), Answer::Unknown);
}

/// As Kubernetes mounts it: a change swaps the link `..data`.
#[test]
fn a_config_map_is_read_through_its_links() {
    let scratch = Scratch::new();
    for (version, port) in [("..v1", 1), ("..v2", 2)] {
        fs::create_dir_all(scratch.path("d").join(version)).unwrap();
        scratch.file(&format!("d/{version}/tokens"), format!("a: host:{port}\n"));
    }
    symlink("..v1", scratch.path("d/..data")).unwrap();
    symlink("..data/tokens", scratch.path("d/tokens")).unwrap();
    let (plugin, _) = plugin(&scratch, "d");
    assert_eq!(plugin.look_up("a"), tcp("host", 1));
    symlink("..v2", scratch.path("d/..tmp")).unwrap();
    fs::rename(scratch.path("d/..tmp"), scratch.path("d/..data")).unwrap();
    assert_eq!(plugin.look_up("a"), tcp("host", 2));
}

#[test]
fn many_bad_lines_are_counted_and_said_once() {
    let scratch = Scratch::new();
    scratch.file("t", "bad\n".repeat(50) + "a: host:1\n");
    let (plugin, log) = plugin(&scratch, "t");
    for _ in 0..3 {
        assert_eq!(plugin.look_up("a"), tcp("host", 1));
    }
    let lines = log.take_lines();
    assert_eq!(lines.lines().count(), COMPLAINTS_MAX + 1);
    assert!(lines.ends_with("Syntax errors in t on 40 more lines\n"), "{lines}");
}
