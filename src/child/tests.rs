use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

/// Runs a test in a process of its own, since reaping would take the children of other tests. True in that process.
fn is_alone(test: &str) -> bool {
    const VARIABLE: &str = "WEBSOCKIFY_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some_and(|value| value == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([&format!("child::tests::{test}"), "--exact"]).env(VARIABLE, test);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

fn output(script: &str, terms: Terms) -> String {
    let mut command = shell(script);
    command.stdout(Stdio::piped());
    let mut child = start(command, terms).expect("a shell");
    let mut text = String::new();
    child.take_stdout().expect("a pipe").read_to_string(&mut text).expect("text");
    assert!(child.wait().expect("its status").success(), "{text}");
    text
}

#[test]
fn a_child_has_no_signal_blocked_or_ignored() {
    // The thread that starts it blocks some, and std ignores SIGPIPE in every program.
    let _blocked = sys::Signals::block(&[libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR2]).expect("blocked");
    let text = output("while read line; do echo \"$line\"; done < /proc/self/status", Terms::default());
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
        u64::from_str_radix(line.trim(), 16).expect("a mask")
    };
    // A shell catches signals of its own accord.
    assert_eq!((mask("SigBlk:"), mask("SigIgn:")), (0, 0), "{text}");
}

#[test]
fn a_child_has_the_descriptors_that_it_was_given_and_no_other() {
    use std::os::fd::AsFd;
    let file = fs::File::open("/dev/null").expect("a device");
    let copy = |leaks: bool| {
        let copy = file.as_fd().try_clone_to_owned().expect("a copy");
        if leaks {
            rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).expect("a descriptor");
        }
        copy
    };
    // What somebody opened without close-on-exec does not get through, either.
    let (leak, given, other) = (copy(true), copy(false), copy(false));
    let number = given.as_raw_fd();
    let script = "for fd in /proc/self/fd/*; do echo \"${fd##*/}\"; done";
    let text = output(script, Terms { kept: vec![given], ..Terms::default() });
    // The shell reads the list by a descriptor of its own, which the list may have.
    let seen: Vec<i32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert!([0, 1, 2, number].iter().all(|expected| seen.contains(expected)), "{seen:?}");
    for hidden in [leak.as_raw_fd(), other.as_raw_fd()] {
        assert_ne!(hidden, number);
        let open = output(&format!("test -e /proc/self/fd/{hidden} && echo open || true"), Terms::default());
        assert_eq!(open, "", "{hidden}");
    }
}

#[test]
fn a_child_has_the_limit_of_open_files_that_the_program_was_started_with() {
    if !is_alone("a_child_has_the_limit_of_open_files_that_the_program_was_started_with") {
        return;
    }
    // Lower than what it is raised to, wherever the tests run.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(300);
    setrlimit(Resource::Nofile, limit).expect("a lower one");
    let raised = sys::raise_open_files().expect("a limit");
    let at_start = sys::open_files_at_start().expect("it is remembered");
    assert_eq!(at_start, 300);
    assert!(at_start < raised);
    assert_eq!(output("ulimit -Sn; ulimit -Hn", Terms::default()), format!("{at_start}\n{raised}\n"));
}

#[test]
fn a_child_that_can_not_be_started_is_an_error_and_counts_no_more() {
    if !is_alone("a_child_that_can_not_be_started_is_an_error_and_counts_no_more") {
        return;
    }
    reap_orphans();
    for (program, folder) in [("/nonexistent/program", "/"), ("/dev/null", "/"), ("/bin/sh", "/nonexistent")]
    {
        let mut command = Command::new(program);
        command.current_dir(folder);
        start(command, Terms::default()).expect_err(program);
    }
    let registry = registry();
    assert!(registry.own.is_empty() && registry.starting == 0);
}

#[test]
fn the_status_of_an_own_child_is_its_owners_however_often_orphans_are_reaped() {
    if !is_alone("the_status_of_an_own_child_is_its_owners_however_often_orphans_are_reaped") {
        return;
    }
    let mut children: Vec<(i32, Child)> = (0..40)
        .map(|code| (code, start(shell(&format!("exit {code}")), Terms::default()).expect("a shell")))
        .collect();
    let begun = Instant::now();
    while !children.iter().all(|(_, child)| child.has_ended()) {
        reap_orphans();
        assert!(begun.elapsed() < PATIENCE, "they end");
    }
    for (code, child) in &mut children {
        assert_eq!(child.try_wait().expect("its status").and_then(|status| status.code()), Some(*code));
        assert_eq!(child.wait().expect("again").code(), Some(*code));
        child.signal(Signal::TERM).expect_err("the number may be somebody else's");
    }
}

#[test]
fn an_own_child_that_nobody_has_asked_for_does_not_hide_orphans_for_ever() {
    if !is_alone("an_own_child_that_nobody_has_asked_for_does_not_hide_orphans_for_ever") {
        return;
    }
    // Both are children of this process; the second one is nobody's, once it is dropped.
    let mut own = start(shell("exit 3"), Terms::default()).expect("a shell");
    let stranger = start(shell("exit 4"), Terms::default()).expect("a shell");
    let pid = stranger.pid();
    assert!(own.look(WaitIdOptions::empty()));
    drop(stranger);
    assert_eq!(own.wait().expect("its status").code(), Some(3));
    let begun = Instant::now();
    while fs::exists(format!("/proc/{pid}")).expect("/proc") {
        reap_orphans();
        assert!(begun.elapsed() < PATIENCE, "the orphan is reaped");
    }
}

#[test]
fn a_signal_reaches_all_that_a_child_of_an_own_group_has_started() {
    let mut command = shell("sleep 1000 & echo $!; wait");
    command.stdout(Stdio::piped());
    let mut child = start(command, Terms { own_group: true, ..Terms::default() }).expect("a shell");
    let mut pipe = child.take_stdout().expect("a pipe");
    let mut text = [0; 1];
    // The helper holds the pipe, too.
    pipe.read_exact(&mut text).expect("the number of the helper");
    child.signal(Signal::KILL).expect("it is there");
    assert_eq!(child.wait().expect("its status").signal(), Some(libc::SIGKILL));
    pipe.read_to_end(&mut Vec::new()).expect("the end: the helper is gone, too");
}
