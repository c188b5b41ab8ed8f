//! What the main thread waits for.

use std::sync::mpsc::Sender;

use crate::reactor::Notice;

/// Something that happened outside of the main thread.
#[derive(Debug)]
pub(super) enum Event {
    /// A signal came.
    Signal(i32),
    /// A program of a session was started, or its session is over.
    Programs,
    /// A liveness check of the main thread, which answers there.
    Asked(Sender<()>),
    /// A reactor has something to tell.
    Reactor(Notice),
}
