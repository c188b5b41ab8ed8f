//! One end of a stream, TCP or Unix, on which every operation has a deadline and says what it waited for.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::{SockRef, Socket};

use super::DEADLINE;
use super::flow::pattern_at;

/// A connected stream socket. Dropping it closes it in order.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) Socket);

impl Wire {
    /// Takes a connected socket and puts the deadlines on it.
    pub(crate) fn new(socket: Socket) -> Self {
        socket.set_nonblocking(false).expect("blocking mode");
        socket.set_read_timeout(Some(DEADLINE)).expect("read timeout");
        socket.set_write_timeout(Some(DEADLINE)).expect("write timeout");
        let _ = socket.set_tcp_nodelay(true);
        Self(socket)
    }

    /// The TCP port of this end.
    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("bound").as_socket().expect("TCP").port()
    }

    /// A second handle to the same socket, for a thread that writes while this one reads.
    pub(crate) fn twin(&self) -> Self {
        Self(self.0.try_clone().expect("duplicate a socket"))
    }

    /// Gives a socket that was made narrow, to be full soon, room to be drained fast.
    pub(crate) fn widen(&self) {
        self.0.set_recv_buffer_size(4 << 20).expect("receive buffer");
    }

    /// Writes all of `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        (&self.0).write_all(bytes).unwrap_or_else(|error| panic!("sending {} bytes: {error}", bytes.len()));
    }

    /// Writes `bytes` as far as the other end takes them: an ended connection is not a failure here.
    pub(crate) fn send_what_goes(&mut self, bytes: &[u8]) {
        let _ = (&self.0).write_all(bytes);
    }

    /// Sends `total` bytes of the test pattern, from its start.
    pub(crate) fn send_pattern(&mut self, total: u64) {
        let mut at = 0;
        while at < total {
            let part = pattern_at(at);
            let part = &part[..part.len().min(usize::try_from(total - at).unwrap_or(usize::MAX))];
            self.send(part);
            at += part.len() as u64;
        }
    }

    /// One read. Zero means the other end has finished.
    pub(crate) fn read_some(&mut self, space: &mut [u8]) -> usize {
        match (&self.0).read(space) {
            Ok(count) => count,
            // A socket with a timeout reports a signal, whatever its handler is.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_some(space),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("timed out waiting for bytes"),
            Err(error) => panic!("expected bytes or an orderly end, got: {error}"),
        }
    }

    /// Exactly `count` bytes.
    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut have = 0;
        while have < count {
            let more = self.read_some(&mut bytes[have..]);
            assert!(more > 0, "the stream ended after {have} of {count} bytes: {:?}", head(&bytes[..have]));
            have += more;
        }
        bytes
    }

    /// Whether bytes come next, and not the other end's end, in order or by a reset.
    pub(crate) fn brings_something(&mut self) -> bool {
        self.brings_something_into(&mut Vec::new())
    }

    /// The same, and the first byte of it is appended to `bytes`.
    pub(crate) fn brings_something_into(&mut self, bytes: &mut Vec<u8>) -> bool {
        let mut byte = [0];
        match (&self.0).read(&mut byte) {
            Ok(count) => {
                bytes.extend_from_slice(&byte[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("timed out waiting for bytes"),
            Err(_) => false,
        }
    }

    /// Everything up to the other end's orderly end.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut space = [0; 16 * 1024];
        loop {
            match self.read_some(&mut space) {
                0 => return bytes,
                count => bytes.extend_from_slice(&space[..count]),
            }
        }
    }

    /// Waits until the other end has gone, in order or by a reset, and discards what it still sends.
    pub(crate) fn wait_until_gone(&mut self) {
        let mut space = [0; 16 * 1024];
        loop {
            match (&self.0).read(&mut space) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("timed out waiting for the end")
                }
                Err(_) => return,
            }
        }
    }

    /// Whether nothing is there to be read now: no bytes, no end, no error.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.set_nonblocking(true).expect("non-blocking mode");
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let result = self.0.peek(&mut byte);
        self.0.set_nonblocking(false).expect("blocking mode");
        matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Says that no more bytes come from this end (a FIN); reading goes on.
    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("shut down the writing half");
    }

    /// Ends the connection with a reset (an RST), also while the other end is sending.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).expect("set linger");
    }
}

/// The beginning of what was read, for a failure message.
fn head(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
