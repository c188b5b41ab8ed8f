//! A WebSocket client that does what it is told, the wrong things included.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::flow::Check;
use super::frame::{BINARY, CONTINUATION, Frame, PING};
use super::server::Server;
use super::tls;
use super::wire::Wire;
use super::{DEADLINE, flow::Flood};

/// The client's end of a connection to the gateway.
pub(crate) struct Client {
    /// The socket, for what has no frames.
    pub(crate) wire: Wire,
}

/// An HTTP answer: its head, and its body if it had one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The words behind the status.
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A request that every gateway takes; its key is the RFC's example.
pub(crate) const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The answer to that key (RFC 6455 section 1.3).
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Client {
    /// Connects without sending anything.
    pub(crate) fn connect(server: &Server) -> Self {
        Self { wire: Wire::new(secured(server, dial_door(server), false)) }
    }

    /// The same to an address that is not the usual one, without TLS.
    pub(crate) fn connect_to(address: SocketAddr) -> Self {
        Self { wire: Wire::new(dial(address)) }
    }

    /// Connects to an address of the gateway that is not the usual one.
    pub(crate) fn connect_at(address: SocketAddr, server: &Server) -> Self {
        Self { wire: Wire::new(secured(server, dial(address), false)) }
    }

    /// Connects, and speaks TLS to a gateway whose certificate is that of [`tls::identity`].
    pub(crate) fn connect_tls(server: &Server) -> Self {
        Self { wire: Wire::new(tls::wrap(dial_door(server), false)) }
    }

    /// Connects without TLS, whether or not the gateway has a certificate.
    pub(crate) fn connect_bare(server: &Server) -> Self {
        Self { wire: Wire::new(dial_door(server)) }
    }

    /// Connects with a small receive buffer, so that a client that does not read is full soon.
    ///
    /// A Unix socket has no such buffer: what waits is in the sender's, which is small from the start.
    pub(crate) fn connect_narrow(server: &Server) -> Self {
        if server.unix.is_some() {
            return Self::connect(server);
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(16 * 1024).expect("receive buffer");
        socket.connect(&server.address().into()).expect("connect to the gateway");
        Self { wire: Wire::new(secured(server, socket, true)) }
    }

    /// Connects from another address of this machine, 127.0.0.2 for instance.
    pub(crate) fn connect_from(address: [u8; 4], server: &Server) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((address, 0)).into()).expect("an address of this machine");
        socket.connect(&server.address().into()).expect("connect to the gateway");
        Self { wire: Wire::new(secured(server, socket, false)) }
    }

    /// Connects to a Unix socket.
    pub(crate) fn connect_unix(path: &Path) -> Self {
        Self { wire: Wire::new(dial_unix(path)) }
    }

    /// A WebSocket session, past its 101.
    pub(crate) fn open(server: &Server) -> Self {
        Self::connect(server).upgrade()
    }

    /// Upgrades a fresh connection.
    pub(crate) fn upgrade(mut self) -> Self {
        let answer = self.ask(UPGRADE.as_bytes());
        assert_eq!(answer.status, 101, "an ordinary upgrade was refused: {answer:?}");
        self
    }

    /// Sends a request and reads the head of the answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.wire.send(request);
        self.read_head()
    }

    /// Reads the head of an answer, byte by byte, so that nothing after it is taken.
    pub(crate) fn read_head(&mut self) -> Answer {
        self.read_rest_of_head("")
    }

    /// The same behind what was read of it already.
    pub(crate) fn read_rest_of_head(&mut self, start: &str) -> Answer {
        let mut head = start.as_bytes().to_vec();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.wire.read_exactly(1)[0];
            head.push(byte);
            assert!(head.len() < 16 * 1024, "an answer's head without end");
        }
        Answer::parse(&String::from_utf8(head).expect("an answer is ASCII"))
    }

    /// Reads an answer whole, up to the orderly end of the connection.
    pub(crate) fn read_answer_to_end(&mut self) -> Answer {
        let mut answer = self.read_head();
        answer.body = String::from_utf8_lossy(&self.wire.read_to_end()).into_owned();
        answer
    }

    /// Sends one frame.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.wire.send(&frame.bytes());
    }

    /// Sends a binary message.
    pub(crate) fn send_binary(&mut self, payload: &[u8]) {
        self.send(&Frame::binary(payload));
    }

    /// The next frame, whatever it is.
    pub(crate) fn frame(&mut self) -> Frame {
        Frame::read(&mut self.wire)
    }

    /// The next frame of the given kind; frames of other kinds are a failure.
    pub(crate) fn frame_of(&mut self, opcode: u8) -> Vec<u8> {
        let frame = self.frame();
        assert_eq!(frame.opcode, opcode, "got {frame:?}");
        frame.payload
    }

    /// `count` bytes of data, however they are framed.
    pub(crate) fn data(&mut self, count: usize) -> Vec<u8> {
        let mut data = Vec::new();
        while data.len() < count {
            data.extend_from_slice(&self.data_frame());
        }
        assert_eq!(data.len(), count, "more data than expected: {:?}", String::from_utf8_lossy(&data));
        data
    }

    /// `total` bytes of the test pattern, however they are framed.
    pub(crate) fn check_data(&mut self, total: u64) {
        let mut check = Check::default();
        while check.position < total {
            check.take(&self.data_frame());
        }
        assert_eq!(check.position, total, "more data than was sent");
    }

    /// Sends `payload` and expects the same bytes back.
    pub(crate) fn echo(&mut self, payload: &[u8]) {
        self.send_binary(payload);
        assert_eq!(self.data(payload.len()), payload);
    }

    /// Sends and expects echoes for so long, with `beside` done between one and the next; returns how many there were.
    /// Half of them and more have to take 50 ms at most: however busy the machine is, that holds if nobody waits.
    pub(crate) fn stays_quick(&mut self, time: Duration, mut beside: impl FnMut()) -> usize {
        let (began, mut times) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let sent = Instant::now();
            self.echo(b"hello");
            times.push(sent.elapsed());
            beside();
        }
        times.sort();
        let median = times[times.len() / 2];
        assert!(median <= Duration::from_millis(50), "an echo takes {median:?}");
        times.len()
    }

    /// Expects a close frame now, and returns its code and reason.
    pub(crate) fn closed(&mut self) -> (Option<u16>, String) {
        self.frame().close_reason()
    }

    /// Expects a close frame with this code, behind any data.
    pub(crate) fn closed_with(&mut self, code: u16) -> String {
        let mut frame = self.frame();
        while matches!(frame.opcode, BINARY | CONTINUATION | PING) {
            frame = self.frame();
        }
        let (got, reason) = frame.close_reason();
        assert_eq!(got, Some(code), "the close frame's reason: {reason:?}");
        reason
    }

    /// Expects the orderly end of the connection.
    pub(crate) fn ended(&mut self) {
        let rest = self.wire.read_to_end();
        assert!(rest.is_empty(), "{} bytes behind the end", rest.len());
    }

    /// Closes with 1000, discards data up to the echo, and waits for the end.
    pub(crate) fn close(mut self) {
        self.send(&Frame::close(1000, ""));
        self.closed_with(1000);
        self.ended();
    }

    /// Sends `total` bytes of the pattern on a thread, in frames of `size` bytes.
    pub(crate) fn flood(&self, total: u64, size: usize) -> Flood {
        let mut position = 0;
        Flood::chunks(self.wire.twin(), move |_| {
            if position >= total {
                return Vec::new();
            }
            let count = size.min(usize::try_from(total - position).unwrap_or(usize::MAX));
            position += count as u64;
            Frame::pattern(position - count as u64, count)
        })
    }

    fn data_frame(&mut self) -> Vec<u8> {
        loop {
            let frame = self.frame();
            match frame.opcode {
                BINARY | CONTINUATION => return frame.payload,
                PING => {}
                _ => panic!("expected data, got {frame:?}"),
            }
        }
    }
}

/// One session on this path that echoes and is closed by the client.
pub(crate) fn visit(server: &Server, path: &str) {
    let mut client = Client::connect(server);
    let request = UPGRADE.replace("GET / ", &format!("GET {path} "));
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    client.echo(b"hello");
    client.close();
}

/// Connects to the gateway's port or Unix socket.
fn dial_door(server: &Server) -> Socket {
    server.unix.as_deref().map_or_else(|| dial(server.address()), dial_unix)
}

fn dial_unix(path: &Path) -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    socket.connect(&SockAddr::unix(path).expect("a short path")).expect("connect to the gateway");
    socket
}

/// Connects to the gateway's port.
fn dial(address: SocketAddr) -> Socket {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream.into(),
            Err(error) => assert!(start.elapsed() < DEADLINE, "connecting to the gateway: {error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The socket as it is, or its plain side where clients speak TLS.
fn secured(server: &Server, socket: Socket, narrow: bool) -> Socket {
    if server.is_secure { tls::wrap(socket, narrow) } else { socket }
}

impl Answer {
    pub(crate) fn parse(head: &str) -> Self {
        let (first, rest) = head.split_once("\r\n").expect("a status line");
        let mut words = first.splitn(3, ' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "the answer's version: {first}");
        let status = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let reason = words.next().unwrap_or_default().to_owned();
        let headers = rest
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, reason, headers, body: String::new() }
    }

    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}
