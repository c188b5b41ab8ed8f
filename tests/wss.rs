//! The tests of sessions once more, over wss: what holds for plain clients holds for those with TLS.
#![allow(clippy::duplicate_mod, reason = "each file brings the shared helpers along")]

#[path = "backpressure.rs"]
mod backpressure;
#[path = "endings.rs"]
mod endings;
#[path = "frames.rs"]
mod frames;
#[path = "handshake.rs"]
mod handshake;
#[path = "life.rs"]
mod life;
#[path = "web.rs"]
mod web;
