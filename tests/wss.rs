//! The tests of sessions once more, over wss: what holds for plain clients holds for those with TLS.
#![allow(clippy::duplicate_mod, reason = "each file brings the shared helpers along")]

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
