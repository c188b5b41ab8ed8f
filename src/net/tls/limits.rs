//! The bounds of a TLS session: what it keeps, reads and writes at a time.

use super::session::{RECORD_MAX, RECORD_PLAIN_MAX, sealed_max};
use crate::ring::RING_BYTES;

/// Plaintext that one write should offer: as many full records as a ring takes when they are sealed. What the
/// socket refuses of it then waits as sealed bytes alone.
pub const WRITE_MAX: usize = 7 * RECORD_PLAIN_MAX;
const _: () = assert!(sealed_max(WRITE_MAX) <= RING_BYTES);

/// How much may be kept of an incomplete message. The largest are handshake messages, certificates for
/// instance, in several records; rustls takes up to 64 KiB.
pub(super) const INCOMING_MAX: usize = 96 * 1024;
const _: () = assert!(INCOMING_MAX + READ_MIN <= RING_BYTES);

/// The same after the handshake, when only key updates and tickets are sent: the most input that a session
/// keeps.
pub const UNREAD_MAX: usize = 2 * RECORD_MAX;

/// The least that a read asks for, however much is kept.
pub(super) const READ_MIN: usize = 4 * 1024;

/// Reads per turn while input is being discarded.
pub(super) const DROPPED_READS_MAX: usize = 2;

/// Reads per turn that bring no data.
pub(super) const EMPTY_READS_MAX: usize = 4;
