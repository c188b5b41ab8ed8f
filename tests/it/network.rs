//! Networks that fail: name servers, targets and clients that are there and do not answer. Whoever depends
//! on them is told in time, everybody else goes on, and nothing is held for a peer that is gone.
//!
//! Most of this needs a network of its own, in which packets are lost (see `common::namespace`).

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Server;
use crate::common::client::Client;
use crate::common::eventually_within;
use crate::common::flow::{Check, Flood};
use crate::common::frame::Frame;
use crate::common::namespace::Namespace;
use crate::common::target::{DeafTarget, Target, echo};
use crate::common::wire::Wire;

/// The connect deadline, 10 s, and some to spare for a busy machine.
const CONNECT_MAX: Duration = Duration::from_secs(18);

/// `clients` are told that their target can't be reached, while `bystander` goes on undisturbed.
fn all_are_told_while_another_goes_on(clients: Vec<Client>, bystander: Option<&mut Client>) {
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    if let Some(bystander) = bystander {
        while clients.iter().any(|client| client.wire.is_silent()) && start.elapsed() < CONNECT_MAX {
            let echo = Instant::now();
            bystander.echo(b"undisturbed");
            longest = longest.max(echo.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("the longest echo beside them took {longest:?}");
        assert!(longest < Duration::from_secs(1), "an echo took {longest:?}");
    }
    for mut client in clients {
        assert_eq!(client.closed_with(1011), "Failed to connect to downstream server");
    }
    println!("all were told after {:?}", start.elapsed());
    assert!(start.elapsed() < CONNECT_MAX, "all were told after {:?}", start.elapsed());
}

#[test]
fn a_target_that_becomes_deaf_harms_only_those_that_need_it() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut bystander = Client::open(&server);
    let wire = target.accept();
    std::thread::spawn(move || echo(wire));
    bystander.echo(b"hello");
    let _deaf = DeafTarget::deafen(target);
    let clients = (0..20).map(|_| Client::open(&server)).collect();
    all_are_told_while_another_goes_on(clients, Some(&mut bystander));
    server.log.wait_for("Failed to connect to ");
    bystander.close();
}

#[test]
fn a_dead_name_server_harms_only_those_that_need_it_and_does_not_delay_the_exit() {
    let Some(network) = Namespace::new() else { return };
    network.set_name_server("127.0.0.1");
    network.set_hosts("127.0.0.1 target.test\n");
    // It takes the questions and says nothing.
    let name_server = network.run(|| UdpSocket::bind("127.0.0.1:53")).expect("a name server's port");
    let target = network.run(Target::tcp);
    let name = format!("target.test:{}", target.port());
    let mut server = Server::launch(&mut network.command(&Server::arguments(&["127.0.0.1:0", &name])));
    let open = |_| network.run(|| Client::open(&server));
    let mut bystander = open(0);
    let wire = target.accept();
    std::thread::spawn(move || echo(wire));
    bystander.echo(b"hello");
    network.set_hosts("");
    all_are_told_while_another_goes_on((0..20).map(open).collect(), Some(&mut bystander));
    assert!(name_server.recv(&mut [0; 512]).is_ok(), "the name server was not asked");
    assert!(target.is_untouched());
    // Once more, and this time the lookup is under way when the program is asked to end.
    let mut waiting = open(0);
    server.signal("TERM");
    for client in [&mut waiting, &mut bystander] {
        client.closed_with(1001);
        client.send(&Frame::close(1001, ""));
    }
    assert_eq!(server.wait_within(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_target_whose_network_drops_everything_is_1011_in_time() {
    let Some((near, _far)) = Namespace::pair() else { return };
    // The other side gets the packets and drops them, because it has no such address.
    near.ip("neigh replace 10.77.0.3 lladdr 02:00:00:00:00:02 dev cable nud permanent");
    let server = Server::launch(&mut near.command(&Server::arguments(&["127.0.0.1:0", "10.77.0.3:5900"])));
    let clients = (0..20).map(|_| near.run(|| Client::open(&server))).collect();
    all_are_told_while_another_goes_on(clients, None);
    server.log.wait_for("Failed to connect to 10.77.0.3:5900: [Errno 110] Connection timed out");
}

/// With `--heartbeat 2` a client that was silent for 10 s is ended. Twice that, when it first has to be found
/// out that a full client is gone, and some to spare.
const SILENCE_MAX: Duration = Duration::from_secs(40);

#[test]
fn a_network_that_vanishes_frees_sessions_and_targets() {
    if Server::IS_UNIX {
        // There is no network between it and its clients.
        return;
    }
    let Some((near, far)) = Namespace::pair() else { return };
    let target = near.run(Target::tcp_narrow);
    let options = ["-v", "--heartbeat", "2", "10.77.0.1:0", &target.address];
    let mut server = Server::launch(&mut near.command(&Server::arguments(&options)));
    let address = SocketAddr::from(([10, 77, 0, 1], server.port));
    let session = || {
        let client = far.run(|| Client::connect_at(address, &server).upgrade());
        (client, target.accept())
    };
    let (_idle, mut idle_target) = session();
    let (_full, full_target) = session();
    let full = Flood::pattern(full_target.twin(), 1 << 30);
    let (stalled, mut stalled_target) = session();
    let upload = stalled.flood(1 << 30, 100_000);
    full.wait_for_stall();
    upload.wait_for_stall();
    far.ip("address del 10.77.0.2/24 dev cable");
    let start = Instant::now();
    wait_until_gone(&mut idle_target);
    println!("an idle session's target was freed after {:?}", start.elapsed());
    eventually_within(SILENCE_MAX, "all sessions to be freed", || server.watched() == [2]);
    println!("all of them after {:?}", start.elapsed());
    wait_until_gone(&mut stalled_target);
    full.abandon();
    upload.abandon();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.endings(), [("client-silent".to_owned(), 3)]);
}

#[test]
fn a_silent_client_is_ended_by_the_heartbeat_and_a_stalled_one_is_not() {
    const TOTAL: u64 = 24 << 20;
    let target = Target::tcp_narrow();
    let server = Server::relay_with(&target.address, &["--heartbeat", "2"]);
    // A client whose target takes nothing can't be heard, and one that takes nothing can't hear.
    let behind_data = Client::open(&server);
    let mut full_target = target.accept();
    let upload = behind_data.flood(TOTAL, 100_000);
    let mut full = Client::connect_narrow(&server).upgrade();
    let download = Flood::pattern(target.accept(), TOTAL);
    upload.wait_for_stall();
    download.wait_for_stall();
    // One silent client after the other is ended: the gateway's own clock says how much time has passed.
    for _ in 0..2 {
        let mut silent = Client::open(&server);
        let mut wire = target.accept();
        wait_until_gone(&mut wire);
        wait_until_gone(&mut silent.wire);
    }
    server.log.wait_for_nth("Client did not answer pings in time", 2);
    full.check_data(TOTAL);
    let filler = download.join();
    full.close();
    drop(filler);
    Check::default().read(&mut full_target, TOTAL);
    drop(upload.join());
    behind_data.close();
    server.log.expect("Client did not answer pings", 2);
}

/// Waits for the end of a connection for as long as a silent peer may take to be found out.
fn wait_until_gone(wire: &mut Wire) {
    wire.0.set_read_timeout(Some(SILENCE_MAX)).expect("read timeout");
    wire.wait_until_gone();
}
