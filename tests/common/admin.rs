//! The admin listener from outside: one request a connection.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::client::{Answer, Client};
use super::eventually;
use super::server::Server;

/// Where the admin listener of a gateway is.
#[derive(Clone)]
pub(crate) struct Admin {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Admin {
    /// The one that the log of `server` names.
    pub(crate) fn of(server: &Server) -> Admin {
        let line = server.log.wait_for("  - Admin on ");
        let place = line.rsplit(" on ").next().expect("an address");
        match place.parse() {
            Ok(address) => Admin::at(address),
            Err(_) => Admin::at_unix(Path::new(place)),
        }
    }

    pub(crate) fn at(address: SocketAddr) -> Admin {
        Admin { place: Place::Tcp(address) }
    }

    pub(crate) fn at_unix(path: &Path) -> Admin {
        Admin { place: Place::Unix(path.to_owned()) }
    }

    /// What a Host header for it says.
    pub(crate) fn host(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(_) => "admin".into(),
        }
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Client {
        match &self.place {
            Place::Tcp(address) => Client::connect_to(*address),
            Place::Unix(path) => Client::connect_unix(path),
        }
    }

    /// A whole exchange; `headers` has a line end behind each line.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.wire.send(request.as_bytes());
        client.read_answer_to_end()
    }

    /// GET without anything else.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host()))
    }

    /// A change, with the header that one needs.
    pub(crate) fn change(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nWebsockify-Admin: 1\r\nContent-Length: {}\r\n\r\n{body}",
            self.host(),
            body.len()
        ))
    }

    /// The object at this path.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }

    /// Waits until the service is ready.
    pub(crate) fn eventually_ready(&self) {
        eventually("the service to be ready", || self.get("/readyz").status == 200);
    }
}
