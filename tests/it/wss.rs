//! The tests of sessions once more, over wss: what holds for plain clients holds for those with TLS. A module
//! that is listed here takes its `Server` from its parent.
#![allow(clippy::duplicate_mod, reason = "the same tests with another kind of server")]

#[path = "backpressure.rs"]
mod backpressure;
#[path = "endings.rs"]
mod endings;
#[path = "faults.rs"]
mod faults;
#[path = "frames.rs"]
mod frames;
#[path = "handshake.rs"]
mod handshake;
#[path = "life.rs"]
mod life;
#[path = "mixture.rs"]
mod mixture;
#[path = "web.rs"]
mod web;
#[path = "workers.rs"]
mod workers;

use crate::common::server::SecureServer as Server;
