//! `./run` at the top of the tree: it starts the program that is built or installed, from anywhere, and hands on
//! all that it was given.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::client::Client;
use crate::common::server::{Server, program};
use crate::common::target::Target;
use crate::common::{Scratch, text as text_of};

/// A tree with the script in it, and nothing built.
struct Tree {
    scratch: Scratch,
}

impl Tree {
    fn new() -> Self {
        let scratch = Scratch::new();
        let tree = Self { scratch };
        for directory in ["tree of mine", "bin", "tools"] {
            fs::create_dir(tree.path(directory)).expect("a directory");
        }
        // All that the script and those of these tests may find, since a websockify may be installed here.
        for tool in ["sh", "readlink"] {
            let path = std::env::var_os("PATH").expect("a PATH");
            let found = std::env::split_paths(&path)
                .map(|directory| directory.join(tool))
                .find(|path| path.is_file());
            symlink(found.expect(tool), tree.path("tools").join(tool)).expect("a link");
        }
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("run"), &tree.script());
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    fn script(&self) -> PathBuf {
        self.path("tree of mine/run")
    }

    /// Puts a program there that says its name and its arguments, each in brackets.
    fn put(&self, place: &str, name: &str) {
        self.put_script(place, &format!("printf %s {name}; for one; do printf '[%s]' \"$one\"; done"));
    }

    fn put_script(&self, place: &str, text: &str) {
        let path = self.path(place);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let _ = fs::remove_file(&path);
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
        by_another("sh", &["-c", write, &text_of(&path), text]);
    }

    /// Calls `script` in the scratch directory, where PATH leads to `bin` first.
    fn call(&self, script: impl AsRef<Path>, arguments: &[&str], target: Option<&str>) -> Output {
        let mut command = Command::new(script.as_ref());
        command.args(arguments).current_dir(self.path("")).stdin(Stdio::null());
        command.env_remove("CARGO_TARGET_DIR").envs(target.map(|target| ("CARGO_TARGET_DIR", target)));
        command.env("PATH", format!("{}:{}", self.scratch.arg("bin"), self.scratch.arg("tools")));
        command.output().expect("the script is executable")
    }

    /// What `run` without arguments starts.
    fn started(&self) -> String {
        let output = self.call(self.script(), &[], None);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// It says in one line that there is nothing to start, and exits with 127.
    fn has_nothing_to_start(&self) {
        let output = self.call(self.script(), &["6080", "localhost:5900"], None);
        assert_eq!(output.status.code(), Some(127), "{output:?}");
        let script = self.script();
        let line = "websockify is neither built (cargo build --release) nor on PATH\n";
        let expected = format!("{}: {line}", script.display());
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert!(output.stdout.is_empty());
    }
}

/// Copies a file with its permissions.
fn copy(from: &Path, to: &Path) {
    by_another("cp", &["-p", &text_of(from), &text_of(to)]);
}

/// Has another program write a file that is to be executed: the system refuses to execute what is open for writing
/// in any process, so also in a child that a test beside this one has forked in that moment.
fn by_another(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().expect(program).success(), "{arguments:?}");
}

#[test]
fn the_release_build_comes_before_the_debug_build_and_that_before_what_is_installed() {
    let tree = Tree::new();
    tree.has_nothing_to_start();
    tree.put("bin/websockify", "installed");
    assert_eq!(tree.started(), "installed");
    tree.put("tree of mine/target/debug/websockify", "debug");
    assert_eq!(tree.started(), "debug");
    tree.put("tree of mine/target/release/websockify", "release");
    assert_eq!(tree.started(), "release");
}

#[test]
fn the_target_directory_of_cargo_counts() {
    let tree = Tree::new();
    tree.put("tree of mine/target/release/websockify", "here");
    tree.put("else where/release/websockify", "there");
    let started = |target: &str| tree.call(tree.script(), &["x"], Some(target)).stdout;
    assert_eq!(started(&tree.scratch.arg("else where")), b"there[x]");
    assert_eq!(started("else where"), b"there[x]", "as for cargo, from the directory of the call");
    assert_eq!(started(""), b"here[x]");
}

#[test]
fn arguments_pass_unchanged() {
    let tree = Tree::new();
    let arguments = [
        "--heartbeat=30",
        "6080",
        "a b",
        "",
        "*",
        "?",
        "$HOME",
        "`true`",
        "\\",
        "'",
        "\"",
        "a\nb\n",
        "~",
        "-n",
        "--",
    ];
    let expected: String = arguments.iter().map(|argument| format!("[{argument}]")).collect();
    for place in ["bin/websockify", "tree of mine/target/debug/websockify"] {
        tree.put(place, "");
        let output = tree.call(tree.script(), &arguments, None);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

#[test]
fn it_is_found_through_links() {
    let tree = Tree::new();
    tree.put("tree of mine/target/release/websockify", "release");
    for directory in ["links", "links/deeper"] {
        fs::create_dir(tree.path(directory)).expect("a directory");
    }
    symlink(tree.script(), tree.path("links/absolute")).expect("a link");
    symlink("../../tree of mine/run", tree.path("links/deeper/relative")).expect("a link");
    symlink("deeper/relative", tree.path("links/chain")).expect("a link");
    symlink("../../links", tree.path("links/deeper/up")).expect("a link");
    symlink(tree.path("links/chain"), tree.path("bin/start")).expect("a link");
    for script in ["links/absolute", "links/deeper/relative", "links/chain", "links/deeper/up/chain"] {
        assert_eq!(tree.call(Path::new(".").join(script), &["x"], None).stdout, b"release[x]", "{script}");
        assert_eq!(tree.call(tree.path(script), &["x"], None).stdout, b"release[x]", "{script}");
    }
    let by_name = tree.call("sh", &["-c", "start x"], None);
    assert_eq!(by_name.stdout, b"release[x]", "{by_name:?}");
    let by_shell = tree.call("sh", &["tree of mine/run", "x"], None);
    assert_eq!(by_shell.stdout, b"release[x]", "{by_shell:?}");
}

#[test]
fn it_never_starts_itself() {
    let tree = Tree::new();
    let installed = tree.path("bin/websockify");
    symlink(tree.script(), &installed).expect("a link");
    tree.has_nothing_to_start();
    let script = tree.script().display().to_string();
    for call in
        [format!("exec '{script}' \"$@\""), format!("'{script}' \"$@\""), format!("(sh '{script}'; exit $?)")]
    {
        tree.put_script("bin/websockify", &call);
        tree.has_nothing_to_start();
    }
    fs::remove_file(&installed).expect("removed");
    copy(&tree.script(), &installed);
    let output = tree.call(tree.script(), &[], None);
    assert_eq!(output.status.code(), Some(127), "{output:?}");
}

#[test]
fn what_is_no_program_is_passed_over() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("tree of mine/target/release/websockify"))
        .expect("a directory of that name");
    tree.put("tree of mine/target/debug/websockify", "debug");
    assert_eq!(tree.started(), "debug");
    let debug = tree.path("tree of mine/target/debug/websockify");
    fs::set_permissions(debug, fs::Permissions::from_mode(0o644)).expect("not executable");
    tree.put("bin/websockify", "installed");
    assert_eq!(tree.started(), "installed");
}

#[test]
fn exit_codes_and_deaths_are_those_of_the_program() {
    let tree = Tree::new();
    for place in ["bin/websockify", "tree of mine/target/release/websockify"] {
        tree.put_script(place, "exit 42");
        assert_eq!(tree.call(tree.script(), &[], None).status.code(), Some(42));
        tree.put_script(place, "kill -KILL $$");
        assert_eq!(tree.call(tree.script(), &[], None).status.signal(), Some(9));
    }
}

#[test]
fn the_program_takes_the_place_of_the_script() {
    let tree = Tree::new();
    let target = Target::tcp().echo();
    fs::create_dir_all(tree.path("tree of mine/target/release")).expect("a directory");
    symlink(program(), tree.path("tree of mine/target/release/websockify")).expect("a link");
    let mut command = Command::new(tree.script());
    command.args(["--heartbeat=30", "127.0.0.1:0", &target.address]).env_remove("CARGO_TARGET_DIR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::launch(&mut command);
    Client::open(&server).echo(b"hello");
    // What `pgrep -f` and `pkill -f` look at.
    let words = fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
    let line = String::from_utf8_lossy(&words).replace('\0', " ");
    let expected = format!("websockify --heartbeat=30 127.0.0.1:0 {} ", target.address);
    assert!(line.ends_with(&expected), "{line}");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
