//! The books: every connection ends for one reason that is counted once, in the lines that `-v` writes at
//! the exit, whatever else happens to it on its way out.

use crate::common::client::{Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;

#[test]
fn a_refused_client_that_is_still_there_at_the_exit_is_counted_once() {
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 405);
    // It does not end its side, so the gateway waits for that when it is asked to end.
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.endings(), [("refused".to_owned(), 1)]);
}

#[test]
fn a_refused_client_that_has_reset_its_connection_is_counted_once() {
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    // Answering fails, because the reset is there before the gateway looks.
    server.signal("STOP");
    let mut client = Client::connect(&server);
    client.wire.send(b"nonsense\r\n\r\n");
    client.wire.reset();
    server.signal("CONT");
    server.log.wait_for("code 400, message");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.endings().iter().map(|(_, count)| count).sum::<u64>(), 1, "{:?}", server.endings());
}

#[test]
fn a_session_that_has_ended_and_lingers_at_the_exit_is_counted_once() {
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask(UPGRADE.as_bytes()).status, 101);
    let _target_that_stays = target.accept();
    client.send(&crate::common::frame::Frame::close(1000, ""));
    client.closed_with(1000);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.endings(), [("client-closed".to_owned(), 1)]);
}
