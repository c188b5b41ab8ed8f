//! The TLS handshake: first the certificate, which a helper may have to read, then the handshake itself, with
//! a deadline of its own for both.

use std::time::{Duration, Instant};

use super::client::Client;
use super::cx::{Answer, Cx, Turn};
use super::end::End;
use crate::certs::Served;
use crate::flight::Asked;
use crate::metrics::Handshake;
use crate::net::fault::Broken;
use crate::timers::Tick;

/// On the way to a TLS session with a client.
#[derive(Debug)]
pub struct Tls {
    stage: Stage,
    begun: Instant,
    deadline: Tick,
}

#[derive(Debug)]
enum Stage {
    /// A helper looks at the certificate's files.
    Asking,
    /// The answer; `None` without a certificate.
    Answered(Served),
    /// The client's socket has become a TLS session.
    Handshaking,
}

impl Tls {
    /// Asks for the certificate. The clock starts now.
    pub fn begin(client: &Client, cx: &Cx<'_>) -> Tls {
        let certificates = cx.frontend.tls.as_ref();
        let stage = match certificates.map(|certificates| certificates.ask(cx.reply(Answer::Certificate))) {
            Some(Asked::Now(config)) => Stage::Answered(config),
            Some(Asked::Later) => Stage::Asking,
            Some(Asked::Busy) | None => Stage::Answered(None),
        };
        Tls { stage, begun: Instant::now(), deadline: cx.now.after(HANDSHAKE).min(client.first_request_by()) }
    }

    /// Stores a helper's answer.
    pub fn answered(&mut self, config: Served) {
        if matches!(self.stage, Stage::Asking) {
            self.stage = Stage::Answered(config);
        }
    }

    /// Goes on as far as possible. When it is done, the client's socket is a TLS session.
    ///
    /// # Errors
    /// There is no certificate, the client left, or the two can't agree.
    pub fn step(mut self, client: &mut Client, cx: &mut Cx<'_>) -> Result<Turn<Tls, ()>, End> {
        match std::mem::replace(&mut self.stage, Stage::Handshaking) {
            Stage::Asking if client.socket.is_hung_up() => return Err(End::HalfTls),
            Stage::Asking => {
                self.stage = Stage::Asking;
                return Ok(Turn::Wait(self));
            }
            Stage::Answered(None) => return Err(End::NoCertificate),
            Stage::Answered(Some(config)) => {
                let received = std::mem::take(&mut client.kept);
                client.socket.serve_tls(config, &received).map_err(End::TlsFailed)?;
            }
            Stage::Handshaking => {}
        }
        match client.socket.handshake(cx.rings) {
            Ok(true) => {
                self.count(client, cx);
                Ok(Turn::Done(()))
            }
            Ok(false) => Ok(Turn::Wait(self)),
            Err(Broken::Tls(fault)) => Err(End::TlsFailed(fault)),
            Err(Broken::Truncated | Broken::System(_)) => Err(End::HalfTls),
        }
    }

    /// Counts a handshake that is done.
    fn count(&self, client: &Client, cx: &Cx<'_>) {
        let kind = match client.socket.tls().map(|tls| tls.kind()) {
            Some((true, true)) => Handshake::Ok13Resumed,
            Some((true, false)) => Handshake::Ok13,
            Some((false, true)) => Handshake::Ok12Resumed,
            Some((false, false)) => Handshake::Ok12,
            None => return,
        };
        cx.metrics.handshakes.count(kind as usize);
        cx.metrics.handshake_times.note(self.begun.elapsed());
    }

    /// The deadline of the handshake.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }
}

/// Time from the first byte of a TLS client to the end of the handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
