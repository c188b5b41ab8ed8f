//! The tests of load and faults once more, with clients that connect to a Unix socket. A module that is listed here
//! takes its `Server` from its parent.
#![allow(clippy::duplicate_mod, reason = "the same tests with another kind of server")]

#[path = "attack.rs"]
mod attack;
#[path = "backpressure.rs"]
mod backpressure;
#[path = "capacity.rs"]
mod capacity;
#[path = "faults.rs"]
mod faults;
#[path = "limits.rs"]
mod limits;
#[path = "network.rs"]
mod network;

use crate::common::doors::UnixServer as Server;
