//! websockify: a gateway between WebSocket clients and TCP or Unix-socket servers.
//!
//! The library carries everything, so that tests, benches and fuzz targets can import it; the binary is
//! a thin shell around [`cli`] and `server`. `ARCHITECTURE.md` has the floors: a module imports only from
//! floors below its own, and `tests/layers.rs` holds it to that.

// Floor 1: protocol. Slices in, slices out.
pub mod http;
pub mod sniff;
pub mod target;
pub mod ws;

// Floor 6: process.
pub mod cli;
