//! The threads: one per socket that only accepts, and a few that answer.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::Socket;

use super::exchange::exchange;
use super::{Admin, Role};
use crate::helpers::Lane;
use crate::net::listen::Listener;

/// Serves `listener` in threads of its own.
///
/// # Errors
/// The system gives no thread, or no second descriptor of the socket.
pub(super) fn serve(admin: &Arc<Admin>, listener: &Listener, role: Role) -> io::Result<()> {
    let socket = Socket::from(listener.as_fd().try_clone_to_owned()?);
    // This changes it for all its descriptors, and nobody else accepts here.
    socket.set_nonblocking(false)?;
    let is_unix = listener.address().is_none();
    let admin = Arc::clone(admin);
    let lane = Lane::new("admin", THREADS_MAX, QUEUE_MAX);
    thread::Builder::new().name("admin-accept".into()).spawn(move || {
        loop {
            match socket.accept() {
                Ok((stream, _)) => {
                    let admin = Arc::clone(&admin);
                    // If there is no room, the connection is closed with its job.
                    let _ = lane.submit(Box::new(move || exchange(&admin, stream, is_unix, role)));
                }
                // The peer has left already, or there are no descriptors at the moment.
                Err(_) => thread::sleep(ACCEPT_RETRY),
            }
        }
    })?;
    Ok(())
}

/// Requests of one socket that are answered at a time, and that wait for their turn.
const THREADS_MAX: usize = 8;
const QUEUE_MAX: usize = 32;

/// Descriptors that one admin socket can need: its second one, a connection for each place, and a file in hand for
/// each thread.
pub const DESCRIPTORS_MAX: usize = 1 + QUEUE_MAX + 2 * THREADS_MAX;

/// Until accepting is tried again after the system refused.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
