//! What the main thread waits for.

use crate::reactor::Notice;

/// Something that happened outside of the main thread.
#[derive(Debug)]
pub(super) enum Event {
    /// A signal came.
    Signal(i32),
    /// A program of a session was started, or its session is over.
    Programs,
    /// A reactor has something to tell.
    Reactor(Notice),
}
