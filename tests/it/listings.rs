//! Lists of names that cost much, and others beside those who ask for them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::Scratch;
use crate::common::client::Client;
use crate::common::server::Server;

/// A web root with two directories of many names, and a small file.
struct Root(Scratch);

impl Root {
    fn new() -> Root {
        let root = Root(Scratch::new());
        for folder in ["files", "links", "target"] {
            fs::create_dir_all(root.path(folder)).expect("made");
        }
        for number in 0..NAMES {
            fs::write(root.path(&format!("files/{number:05}")), "").expect("written");
            symlink("../target", root.path(&format!("links/{number:05}"))).expect("linked");
        }
        fs::write(root.path("small.txt"), "small").expect("written");
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path("root").join(name)
    }

    fn serve(&self) -> Server {
        Server::start(&["--web", &self.0.arg("root"), "127.0.0.1:0", "127.0.0.1:1"])
    }
}

/// Sends one request on a connection of its own and returns the status and the body.
fn get(server: &Server, method: &str, path: &str) -> (u16, String) {
    let mut client = Client::connect(server);
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.wire.send(request.as_bytes());
    let answer = client.read_answer_to_end();
    (answer.status, answer.body)
}

#[test]
fn a_small_file_is_served_beside_clients_that_ask_for_lists_of_10_000_names_without_end() {
    let root = Root::new();
    let server = Arc::new(root.serve());
    let (over, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let crowd: Vec<_> = (0..64)
        .map(|number| {
            let (server, over, lists) = (server.clone(), over.clone(), lists.clone());
            let path = ["/files/", "/links/"][number % 2];
            let method = ["HEAD", "GET"][number / 2 % 2];
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let (status, body) = get(&server, method, path);
                    assert_eq!(status, 200);
                    assert!(method == "HEAD" || body.contains("Directory listing for"));
                    lists.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut waits = Vec::new();
    while waits.len() < 20 || lists.load(Ordering::Relaxed) < 10 * crowd.len() {
        let asked = Instant::now();
        assert_eq!(get(&server, "GET", "/small.txt"), (200, "small".into()));
        waits.push(asked.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|client| client.join().expect("the lists come"));
    waits.sort_unstable();
    let (median, late, longest) =
        (waits[waits.len() / 2], waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
    println!(
        "{} lists; {} waits for a small file: median {median:?}, 99th percentile {late:?}, longest {longest:?}",
        lists.load(Ordering::Relaxed),
        waits.len()
    );
    // A busy machine may take that; with each list made again it was seconds.
    assert!(median < Duration::from_millis(500), "a small file takes {median:?}");
}

#[test]
fn a_list_shows_each_change_that_was_made_before_it_was_asked_for() {
    let root = Root::new();
    let server = root.serve();
    for number in 0..20 {
        let name = format!("new-{number}");
        fs::write(root.path("target").join(&name), "").expect("written");
        assert!(get(&server, "GET", "/target/").1.contains(&format!(">{name}<")));
        fs::remove_file(root.path("target").join(&name)).expect("removed");
        assert!(!get(&server, "GET", "/target/").1.contains(&format!(">{name}<")));
    }
}

#[test]
fn a_link_behind_the_hundredth_has_no_slash_and_leads_to_its_directory() {
    let root = Root::new();
    fs::create_dir(root.path("some")).expect("made");
    (100..250).for_each(|number| symlink("../target", root.path(&format!("some/{number}"))).expect("linked"));
    let server = root.serve();
    let (_, list) = get(&server, "GET", "/some/");
    let slashes = list.matches("/\">").count();
    assert_eq!(slashes, 100, "links that were followed");
    for number in 100..250 {
        assert!(list.contains(&format!(">{number}@<")), "{number} is in the list");
        assert_eq!(get(&server, "GET", &format!("/some/{number}")).0, 301);
    }
}

const NAMES: usize = 10_000;
