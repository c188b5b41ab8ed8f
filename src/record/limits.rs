//! The bounds of recordings.

/// Threads that write. This many sessions can hang on a disk before other recorded sessions have to wait.
pub(super) const THREADS_MAX: usize = 16;

/// A session reads no more while this much waits for the disk. Its last read, at most a ring of one
/// direction, comes on top, so that a session's queue has the same bound as its rings: 256 KiB.
pub const QUEUE_BYTES: usize = 128 * 1024;

/// A full queue has room again when it is as short as this, so that reading and writing overlap. With less left the
/// writer would come to the end before the session reads again, and would have to be woken each time.
pub(super) const ROOM_BYTES: usize = QUEUE_BYTES / 2;

/// A queue this short is nearly empty: it is being written, and not worth counting or a wake-up.
pub(super) const SMALL_BYTES: usize = 4 * 1024;

/// A buffer for the queue of a busy session: the bound of a queue, and the overhead around its content.
pub(super) const BUFFER_BYTES: usize = 2 * QUEUE_BYTES + 8 * 1024;

/// A payload for which it matters where in a page it is copied to.
pub(super) const LARGE_BYTES: usize = 8 * 1024;

/// Buffers of that size that are kept for the next session that moves much data, since fresh memory costs as much as
/// the copy into it.
pub(super) const BUFFERS_KEPT: usize = 8;

/// Bytes written for one session before others that wait have the thread.
pub(super) const SHARE_BYTES: usize = 2 * QUEUE_BYTES;

/// How much all ended sessions together may leave unwritten; with a hanging disk, memory must not grow with
/// every session that comes and goes.
pub(super) const LEFT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// No wake is wanted.
pub(super) const NO_WAKE: usize = usize::MAX;
