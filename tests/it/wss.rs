//! The tests of sessions once more, over wss: what holds for plain clients holds for those with TLS. A module
//! that is listed here takes its `Server` from its parent.
#![allow(clippy::duplicate_mod, reason = "the same tests with another kind of server")]

#[path = "attack.rs"]
mod attack;
#[path = "backpressure.rs"]
mod backpressure;
#[path = "capacity.rs"]
mod capacity;
#[path = "crowd.rs"]
mod crowd;
#[path = "endings.rs"]
mod endings;
#[path = "faults.rs"]
mod faults;
#[path = "frames.rs"]
mod frames;
#[path = "handshake.rs"]
mod handshake;
#[path = "leaving.rs"]
mod leaving;
#[path = "life.rs"]
mod life;
#[path = "limits.rs"]
mod limits;
#[path = "mixture.rs"]
mod mixture;
#[path = "network.rs"]
mod network;
#[path = "web.rs"]
mod web;
#[path = "workers.rs"]
mod workers;

use crate::common::doors::SecureServer as Server;
