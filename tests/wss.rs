//! The tests of sessions once more, over wss: what holds for plain clients holds for those with TLS.

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
