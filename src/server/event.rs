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
    /// Somebody asks whether the main thread comes to it, and gets an answer there.
    Asked(Sender<()>),
    /// A reactor has something to tell.
    Reactor(Notice),
}
