//! TLS to a target that was reached.

use std::sync::Arc;

use super::{Connect, Stage};
use crate::certs;
use crate::conn::cx::Cx;
use crate::conn::frontend::Frontend;
use crate::metrics::Dial;
use crate::net::fault::Broken;
use crate::net::transport::Transport;
use crate::target::Target;
use crate::timers::Tick;

impl Connect {
    /// Begins the target's TLS handshake, if there is to be one; gives the socket back if not.
    pub(super) fn secure(
        &mut self,
        mut socket: Transport,
        until: Tick,
        cx: &mut Cx<'_>,
    ) -> Result<Stage, Transport> {
        let Some(tls) = &cx.frontend.target_tls else { return Err(socket) };
        let host = match self.to.target() {
            Some(Target::Tcp { host, .. }) => Some(host.as_str()),
            Some(Target::Unix(_)) | None => None,
        };
        let begun = certs::target_name(&tls.options, host).and_then(|name| {
            let config = Arc::clone(&tls.config);
            socket.speak_tls(config, name).map_err(|fault| fault.to_string())
        });
        match begun {
            Ok(()) => Ok(Stage::Securing(socket, until)),
            Err(failure) => {
                // It would be the same at any other of its addresses.
                self.rest.clear();
                self.give_up_tls(socket, failure, cx);
                Ok(Stage::Next)
            }
        }
    }

    /// Notes why TLS with a target that was reached has failed.
    pub(super) fn give_up_tls(&mut self, mut socket: Transport, failure: String, cx: &mut Cx<'_>) {
        socket.retire(cx.rings);
        if !self.reached {
            self.kind = Dial::Tls;
            self.failure = Some(failure);
        }
    }
}

/// Why TLS with a target that was reached has failed.
pub(super) fn unsecured(broken: &Broken, frontend: &Frontend) -> String {
    let verifies = frontend.target_tls.as_ref().is_some_and(|tls| tls.options.authorities.is_some());
    let remedy = match broken {
        Broken::Tls(fault) if verifies => fault.remedy(),
        Broken::Tls(_) | Broken::Truncated | Broken::System(_) => None,
    };
    match (broken, remedy) {
        (Broken::Tls(fault), Some(remedy)) => format!("certificate verification failed: {fault}; {remedy}"),
        (Broken::Tls(_), None) => format!("TLS handshake failed: {broken}"),
        (Broken::Truncated | Broken::System(_), _) => format!("TLS handshake failed: target left ({broken})"),
    }
}
