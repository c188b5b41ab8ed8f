//! Options of sockets that the system refuses.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::client::Client;
use crate::common::server::{Server, program};
use crate::common::target::{Target, echo};
use crate::common::{eventually, has, skipped};

#[test]
fn a_system_that_refuses_every_option_of_sockets_is_served_and_told_once() {
    if !has("strace") {
        return;
    }
    for error in ["ENOPROTOOPT", "EPERM", "EINVAL"] {
        let target = Target::tcp();
        let mut command = Command::new("strace");
        let inject = format!("inject=setsockopt:error={error}");
        // The tracer is a grandchild, so that the child is the gateway.
        command.args(["-D", "-f", "-o", "/dev/null", "-e", "trace=setsockopt", "-e", &inject, &program()]);
        command.args(["127.0.0.1:0", &target.address]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Server::spawn(&mut command);
        eventually("the start, or the tracer's refusal", || {
            server.log.count("  - proxying from ") > 0 || !server.is_running()
        });
        if !server.is_running() && server.log.count("ptrace") > 0 {
            return skipped("strace may not trace here");
        }
        server.wait_until_it_listens();
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
