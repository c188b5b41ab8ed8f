//! websockify: a gateway between WebSocket clients and TCP or Unix-socket servers.
//!
//! The library carries everything, so that tests, benches and fuzz targets can import it; the binary is
//! a thin shell around [`cli`] and `server`. `ARCHITECTURE.md` has the floors: a module imports only from
//! floors below its own, and `tests/layers.rs` holds it to that.

// Floor 0: tools.
pub mod flight;
pub mod helpers;
pub mod id;
pub mod limit;
pub mod log;
pub mod metrics;
pub mod ring;
pub mod secret;
pub mod sys;
pub mod timers;

// Floor 1: protocol. Slices in, slices out.
pub mod http;
pub mod rules;
pub mod sniff;
pub mod target;
pub mod ws;

// Floor 2: services. They may block, and run on helpers.
pub mod auth;
pub mod certs;
pub mod gate;
pub mod resolve;
pub mod source;
pub mod token;
pub mod web;

// Floor 3: sockets.
pub mod net;

// Floor 4: connections.
pub mod conn;

// Floor 5: the event loop.
pub mod reactor;

// Floor 6: the process.
pub mod cli;
pub mod os;
pub mod server;
