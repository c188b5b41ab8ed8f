//! The integration tests: each module drives the real program over real sockets and is named after what it is
//! about. They are one program, so that what they share is compiled and linked once.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod addresses;
mod admin;
mod attack;
mod auth;
mod backpressure;
mod buffers;
mod capacity;
mod certificates;
mod chains;
mod command_lines;
mod completions;
mod crowd;
mod daemon;
mod endings;
mod events;
mod fairness;
mod faults;
mod frames;
mod handshake;
mod inherited;
mod jwt;
mod kernel;
mod leaving;
mod life;
mod limits;
mod listen;
mod listings;
mod log_levels;
mod logs;
mod memory;
mod messages;
mod metrics;
mod mixture;
mod monitoring;
mod network;
mod novnc;
mod openssl;
mod own_files;
mod plugins;
mod plugins_beside_python;
mod readme;
mod rebind;
mod record;
mod redis;
mod run;
mod secrets;
mod services;
mod services_beside_python;
mod sessions;
mod side_by_side;
mod signals;
mod soak;
mod syslog;
mod tls;
mod tokens;
mod tokens_beside_python;
mod unix;
mod web;
mod workers;
mod wrap;
mod wrap_beside_python;
mod wrap_real;
mod wrap_stdin;
mod wss;

/// The gateway that the modules have which `wss` and `unix` repeat; there it is one that speaks TLS, or one whose
/// clients connect to a Unix socket.
use common::server::Server;
