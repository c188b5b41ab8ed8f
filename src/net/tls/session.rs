//! One end of a TLS session over slices: rustls without its buffers, and without a socket.
//!
//! rustls opens records where they lie, and asks to be driven through its states one by one. One loop here
//! does that. It has three results: plaintext for a sink, bytes to send, and how far the session is.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, PeerIncompatible, ServerConfig};

use crate::certs;
use crate::id::Side;
use crate::net::fault::Fault;

/// One end of a session.
pub enum Session {
    /// We are the server: the peer is a client of ours.
    Server(UnbufferedServerConnection),
    /// We are the client of a target.
    Client(UnbufferedClientConnection),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The handshake is not over.
    Handshake,
    /// Data may flow both ways.
    Open,
    /// The peer has said that it will send nothing more (close_notify).
    PeerClosed,
}

/// A session's input and where its output goes.
pub struct Flow<'a> {
    /// Received and not used up. Records are opened in place, so the rest must be passed again as it is
    /// afterwards, with more behind it, in every call, even when something is sealed.
    pub input: &'a mut [u8],
    /// This many bytes at the front of `input` are used up.
    pub used: usize,
    /// Gets plaintext, in order.
    pub sink: &'a mut dyn FnMut(&[u8]),
    /// Gets records that are to be sent.
    pub output: &'a mut Vec<u8>,
}

impl Session {
    /// A session with a client that is about to say hello.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub fn server(config: Arc<ServerConfig>) -> Result<Session, Fault> {
        let connection = UnbufferedServerConnection::new(config);
        connection.map(Session::Server).map_err(|error| Fault::new(Side::Client, error))
    }

    /// A session with a target of this name. Its first words come from the first [`Session::open`].
    ///
    /// # Errors
    /// The configuration can't be used.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Fault> {
        let connection = UnbufferedClientConnection::new(config, name);
        connection.map(Session::Client).map_err(|error| Fault::new(Side::Target, error))
    }

    /// Opens the whole records in the input.
    ///
    /// # Errors The session is broken for good, and the alert that says so is in the output. Input used up
    /// and plaintext delivered until then stay valid.
    pub fn open(&mut self, flow: &mut Flow<'_>) -> Result<Reach, Fault> {
        let closed = match self {
            Session::Server(server) => drive(server, flow, |_| Ok(0)),
            Session::Client(client) => drive(client, flow, |_| Ok(0)),
        };
        match closed {
            Ok(_) if self.state().is_handshaking() => Ok(Reach::Handshake),
            Ok(done) if done.closed => Ok(Reach::PeerClosed),
            Ok(_) => Ok(Reach::Open),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Seals `plain` into records at the front of `space`, in which [`sealed_max`] bytes must fit, and returns
    /// their length. Only after the handshake.
    ///
    /// # Errors
    /// The session is broken for good.
    pub fn seal(&mut self, flow: &mut Flow<'_>, plain: &[u8], space: &mut [u8]) -> Result<usize, Fault> {
        let done = match self {
            Session::Server(server) => drive(server, flow, |mut traffic| traffic.encrypt(plain, space)),
            Session::Client(client) => drive(client, flow, |mut traffic| traffic.encrypt(plain, space)),
        };
        match done {
            Ok(done) if done.wrote => Ok(done.sealed),
            Ok(_) => Err(self.fault(Error::HandshakeNotComplete)),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Says that nothing more will come (close_notify), if the handshake is over and nothing has gone wrong.
    pub fn close(&mut self, flow: &mut Flow<'_>) {
        let mut space = [0; CLOSE_BYTES_MAX];
        let done = match self {
            Session::Server(server) => {
                drive(server, flow, |mut traffic| traffic.queue_close_notify(&mut space))
            }
            Session::Client(client) => {
                drive(client, flow, |mut traffic| traffic.queue_close_notify(&mut space))
            }
        };
        // On an error there is nobody left to tell.
        let sealed = done.map_or(0, |done| done.sealed);
        flow.output.extend_from_slice(&space[..sealed]);
    }

    /// What the peer has negotiated and shown.
    pub fn state(&self) -> &CommonState {
        match self {
            Session::Server(server) => server,
            Session::Client(client) => client,
        }
    }

    /// The fault of a message that is too long.
    pub fn too_long(&self) -> Fault {
        self.fault(Error::PeerSentOversizedRecord)
    }

    fn fault(&self, error: Error) -> Fault {
        match self {
            Session::Server(_) => {
                let is_about_suites = error == Error::from(PeerIncompatible::NoKxGroupsInCommon)
                    && !certs::last_hello_shares_a_suite();
                let error =
                    if is_about_suites { PeerIncompatible::NoCipherSuitesInCommon.into() } else { error };
                Fault::new(Side::Client, error)
            }
            Session::Client(_) => Fault::new(Side::Target, error),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Session::Server(_) => "Session::Server",
            Session::Client(_) => "Session::Client",
        })
    }
}

/// The most bytes that records for `plain` bytes can take, with what may have to go before them.
pub const fn sealed_max(plain: usize) -> usize {
    plain + plain.div_ceil(RECORD_PLAIN_MAX) * RECORD_OVERHEAD_MAX + BEFORE_BYTES_MAX
}

/// The most plaintext in a record (RFC 8446 section 5.1).
pub const RECORD_PLAIN_MAX: usize = 16 * 1024;

/// The most bytes of a record on the wire, its header included (RFC 5246 section 6.2.3).
pub const RECORD_MAX: usize = 5 + RECORD_PLAIN_MAX + 2048;

/// Header, explicit nonce, type and tag of the suites that rustls has.
const RECORD_OVERHEAD_MAX: usize = 5 + 8 + 1 + 16;

/// Room for a key update or an alert before the data.
const BEFORE_BYTES_MAX: usize = 256;

/// Room for a close_notify, and for a key update before it.
const CLOSE_BYTES_MAX: usize = 256;

/// Either end, as the loop needs it.
trait Endpoint {
    type Data;
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn owes(&self) -> bool;
}

impl Endpoint for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        UnbufferedConnectionCommon::<Self::Data>::process_tls_records(self, input)
    }

    fn owes(&self) -> bool {
        self.wants_write()
    }
}

impl Endpoint for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        UnbufferedConnectionCommon::<Self::Data>::process_tls_records(self, input)
    }

    fn owes(&self) -> bool {
        self.wants_write()
    }
}

#[derive(Default)]
struct Done {
    closed: bool,
    wrote: bool,
    sealed: usize,
}

/// Goes through the states until more input is needed or data can be written, which `act` is given the
/// chance to do, once.
fn drive<S: Endpoint>(
    side: &mut S,
    flow: &mut Flow<'_>,
    act: impl FnOnce(WriteTraffic<'_, S::Data>) -> Result<usize, EncryptError>,
) -> Result<Done, Error> {
    let mut done = Done::default();
    let mut act = Some(act);
    loop {
        let status = side.process(&mut flow.input[flow.used..]);
        let discard = status.discard;
        let more = match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    (flow.sink)(record?.payload);
                }
                true
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, flow.output)?;
                true
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                // It is in the output, which is sent in order whatever comes.
                transmit.done();
                true
            }
            Ok(ConnectionState::PeerClosed) => {
                done.closed = true;
                true
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                if let Some(act) = act.take() {
                    done.sealed = act(traffic).map_err(|error| Error::General(error.to_string()))?;
                    done.wrote = true;
                }
                false
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => false,
            // Early data is never offered, and there are no other states.
            Ok(_) => return Err(Error::HandshakeNotComplete),
            Err(error) => {
                flow.used += discard;
                return Err(alert(side, flow, error));
            }
        };
        flow.used += discard;
        if !more {
            return Ok(done);
        }
    }
}

/// Returns the alert that ends a session.
fn alert<S: Endpoint>(side: &mut S, flow: &mut Flow<'_>, error: Error) -> Error {
    // Nothing more is opened: what waits to be sent comes before the input is read.
    while side.owes() {
        let status = side.process(&mut flow.input[flow.used..]);
        let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else { break };
        if encode(&mut data, flow.output).is_err() {
            break;
        }
    }
    error
}

fn encode<D>(data: &mut EncodeTlsData<'_, D>, output: &mut Vec<u8>) -> Result<(), Error> {
    let start = output.len();
    // An empty slice is always too small, and the error tells what is needed.
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        output.resize(start + size.required_size, 0);
        let len = data.encode(&mut output[start..]).map_err(|error| Error::General(error.to_string()))?;
        output.truncate(start + len);
    }
    Ok(())
}
