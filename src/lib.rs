//! websockify: a gateway between WebSocket clients and TCP or Unix-socket servers.
//!
//! The library carries everything; the binary is a thin shell around [`cli`] and [`server`]. With the feature
//! `testing` tests, benches and fuzz targets can import all of its modules, and a rig for connections. `ARCHITECTURE.md` has the floors: a module imports only from
//! floors below its own, and `tests/layers.rs` holds it to that.

// Without the feature nothing but the program uses the library: then the compiler says what is never used.
#![cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "it is reachable for tests"))]

// Floor 0: tools.
#[cfg(feature = "testing")]
pub mod child;
#[cfg(not(feature = "testing"))]
mod child;
#[cfg(feature = "testing")]
pub mod flight;
#[cfg(not(feature = "testing"))]
mod flight;
#[cfg(feature = "testing")]
pub mod health;
#[cfg(not(feature = "testing"))]
mod health;
#[cfg(feature = "testing")]
pub mod helpers;
#[cfg(not(feature = "testing"))]
mod helpers;
#[cfg(feature = "testing")]
pub mod id;
#[cfg(not(feature = "testing"))]
mod id;
#[cfg(feature = "testing")]
pub mod limit;
#[cfg(not(feature = "testing"))]
mod limit;
#[cfg(feature = "testing")]
pub mod log;
#[cfg(not(feature = "testing"))]
mod log;
#[cfg(feature = "testing")]
pub mod metrics;
#[cfg(not(feature = "testing"))]
mod metrics;
#[cfg(feature = "testing")]
pub mod networks;
#[cfg(not(feature = "testing"))]
mod networks;
#[cfg(feature = "testing")]
pub mod printable;
#[cfg(not(feature = "testing"))]
mod printable;
#[cfg(feature = "testing")]
pub mod ring;
#[cfg(not(feature = "testing"))]
mod ring;
#[cfg(feature = "testing")]
pub mod secret;
#[cfg(not(feature = "testing"))]
mod secret;
#[cfg(feature = "testing")]
pub mod sys;
#[cfg(not(feature = "testing"))]
mod sys;
#[cfg(feature = "testing")]
pub mod timers;
#[cfg(not(feature = "testing"))]
mod timers;

// Floor 1: protocol. Slices in, slices out.
#[cfg(feature = "testing")]
pub mod http;
#[cfg(not(feature = "testing"))]
mod http;
#[cfg(feature = "testing")]
pub mod proxy;
#[cfg(not(feature = "testing"))]
mod proxy;
#[cfg(feature = "testing")]
pub mod rules;
#[cfg(not(feature = "testing"))]
mod rules;
#[cfg(feature = "testing")]
pub mod sniff;
#[cfg(not(feature = "testing"))]
mod sniff;
#[cfg(feature = "testing")]
pub mod target;
#[cfg(not(feature = "testing"))]
mod target;
#[cfg(feature = "testing")]
pub mod ws;
#[cfg(not(feature = "testing"))]
mod ws;

// Floor 2: services. They may block, and run on helpers.
#[cfg(feature = "testing")]
pub mod auth;
#[cfg(not(feature = "testing"))]
mod auth;
#[cfg(feature = "testing")]
pub mod certs;
#[cfg(not(feature = "testing"))]
mod certs;
#[cfg(feature = "testing")]
pub mod gate;
#[cfg(not(feature = "testing"))]
mod gate;
#[cfg(feature = "testing")]
pub mod plugin;
#[cfg(not(feature = "testing"))]
mod plugin;
#[cfg(feature = "testing")]
pub mod record;
#[cfg(not(feature = "testing"))]
mod record;
#[cfg(feature = "testing")]
pub mod resolve;
#[cfg(not(feature = "testing"))]
mod resolve;
#[cfg(feature = "testing")]
pub mod source;
#[cfg(not(feature = "testing"))]
mod source;
#[cfg(feature = "testing")]
pub mod token;
#[cfg(not(feature = "testing"))]
mod token;
#[cfg(feature = "testing")]
pub mod web;
#[cfg(not(feature = "testing"))]
mod web;

// Floor 3: sockets.
#[cfg(feature = "testing")]
pub mod net;
#[cfg(not(feature = "testing"))]
mod net;

// Floor 4: connections.
#[cfg(feature = "testing")]
pub mod conn;
#[cfg(not(feature = "testing"))]
mod conn;

// Floor 5: the event loop.
#[cfg(feature = "testing")]
pub mod reactor;
#[cfg(not(feature = "testing"))]
mod reactor;

// Floor 6: the process.
#[cfg(feature = "testing")]
pub mod admin;
#[cfg(not(feature = "testing"))]
mod admin;
pub mod cli;
#[cfg(feature = "testing")]
pub mod os;
#[cfg(not(feature = "testing"))]
mod os;
pub mod server;

#[cfg(test)]
mod parts;
#[cfg(test)]
#[path = "../tests/common/skips.rs"]
mod skips;
