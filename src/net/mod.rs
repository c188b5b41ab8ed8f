//! Sockets: non-blocking reads and writes, listening, and the layers between bytes and a peer.

pub mod fault;
pub mod listen;
pub mod narrow;
pub mod pipe;
#[cfg(any(test, feature = "testing"))]
pub mod scripted;
pub mod socket;
pub mod tls;
pub mod transport;
pub mod tuning;
