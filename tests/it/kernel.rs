//! System calls that fail: options of sockets that are refused, and connections that are lost before they are
//! accepted.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::client::Client;
use crate::common::server::{Server, program};
use crate::common::target::{Target, echo};
use crate::common::{eventually, has, skipped};

/// A gateway some of whose system calls fail, as strace's `inject=` has it; `None` where that can't be had.
fn failing(call: &str, how: &str, target: &str) -> Option<Server> {
    if !has("strace") {
        return None;
    }
    let mut command = Command::new("strace");
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{how}"));
    // The tracer is a grandchild, so that the child is the gateway.
    command.args(["-D", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject, &program()]);
    command.args(["127.0.0.1:0", target]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    eventually("the start, or the tracer's refusal", || {
        server.log.count("  - proxying from ") > 0 || !server.is_running()
    });
    if !server.is_running() && server.log.count("ptrace") > 0 {
        skipped("strace may not trace here");
        return None;
    }
    server.wait_until_it_listens();
    Some(server)
}

#[test]
fn a_system_that_refuses_every_option_of_sockets_is_served_and_told_once() {
    for error in ["ENOPROTOOPT", "EPERM", "EINVAL"] {
        let target = Target::tcp();
        let Some(mut server) = failing("setsockopt", &format!("error={error}"), &target.address) else {
            return;
        };
        let mut client = Client::open(&server);
        let wire = target.accept();
        std::thread::spawn(move || echo(wire));
        client.echo(b"served all the same");
        server.log.expect("this system refuses ", 1);
        client.close();
        server.signal("TERM");
        assert_eq!(server.wait_within(Duration::from_secs(20)).code(), Some(0));
    }
}

#[test]
fn errors_of_accept_that_are_about_one_connection_pause_nobody() {
    for (error, pauses) in [
        ("EPROTO", 0),
        ("ENOPROTOOPT", 0),
        ("EHOSTDOWN", 0),
        ("ENONET", 0),
        ("EOPNOTSUPP", 0),
        ("EHOSTUNREACH", 0),
        ("ENETUNREACH", 0),
        ("ENETDOWN", 0),
        ("ECONNABORTED", 0),
        ("EPERM", 0),
        ("EINTR", 0),
        // These are about the process, and are worth a line and a pause.
        ("EMFILE", 1),
        ("ENOBUFS", 1),
    ] {
        let target = Target::tcp().echo();
        let Some(mut server) = failing("accept4", &format!("error={error}:when=1"), &target.address) else {
            return;
        };
        let mut client = Client::open(&server);
        client.echo(b"the next one");
        client.close();
        server.signal("TERM");
        assert_eq!(server.wait_within(Duration::from_secs(20)).code(), Some(0), "{error}");
        server.log.wait_for_end();
        assert_eq!(server.log.count("accepting failed: "), pauses, "{error}");
    }
}
