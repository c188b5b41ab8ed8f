//! The transitions: the one place that moves a connection from state to state.

use std::sync::Arc;

use super::Conn;
use super::close::Close;
use super::connect::{self, Connect, Dialled, Failure};
use super::cx::{Cx, Turn};
use super::end::End;
use super::frontend::{Destination, Sessions};
use super::handshake::Handshake;
use super::lookup::{Lookup, Request};
use super::party;
use super::relay::Relay;
use super::reply::Reply;
use super::report;
use super::serve::{Serve, Served};
use super::sniff::Sniff;
use super::state::State;
use super::tape::Tape;
use super::tls::Tls;
use super::wanted::{Action, PageRequest, RequestLine, SessionRequest, Wanted};
use crate::gate::{Grant, TokenTarget, Verdict, Why};
use crate::http::refusal::Refusal;
use crate::http::response::Status;
use crate::log::{Level, What};
use crate::sniff::Protocol;
use crate::ws::code;
use crate::ws::decode::Decoder;

impl Conn {
    /// Goes on as far as possible. False when the connection is gone.
    #[inline(always)]
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>) -> bool {
        // Nearly all drives are of a session that continues. All other cases are kept out of their code, so
        // that it is small enough to be inlined.
        if let State::Relay(relay) = &mut self.state {
            match relay.pump(&mut self.client, cx) {
                Ok(None) => return true,
                Ok(Some(end)) => return self.go_on_behind(Ok(end), cx),
                Err(end) => return self.go_on_behind(Err(end), cx),
            }
        }
        self.go_through(cx)
    }

    /// Continues after a session that is over, cleanly or not.
    #[inline(never)]
    fn go_on_behind(&mut self, end: Result<End, End>, cx: &mut Cx<'_>) -> bool {
        let next = end.map(|end| self.close(end, cx));
        let alive = self.follow(next, cx) && self.go_through(cx);
        self.note_stage(cx);
        alive
    }

    /// Enters the state that follows, or ends the connection: false when it is gone.
    fn follow(&mut self, next: Result<State, End>, cx: &mut Cx<'_>) -> bool {
        match next {
            Ok(state) => self.state = state,
            Err(end) => {
                self.finish(&end, cx);
                if !end.owes_alert() {
                    self.cut(cx);
                    return false;
                }
                self.state = self.close_both(cx);
            }
        }
        true
    }

    /// Goes from state to state for as long as that works.
    #[inline(never)]
    fn go_through(&mut self, cx: &mut Cx<'_>) -> bool {
        let alive = self.go_from_state_to_state(cx);
        self.note_stage(cx);
        alive
    }

    fn go_from_state_to_state(&mut self, cx: &mut Cx<'_>) -> bool {
        loop {
            let next = match &mut self.state {
                State::Relay(relay) => match relay.pump(&mut self.client, cx) {
                    Ok(None) => return true,
                    Ok(Some(end)) => Ok(self.close(end, cx)),
                    Err(end) => Err(end),
                },
                State::Close(close) => match close.step(&mut self.client, cx) {
                    Turn::Wait(()) => return true,
                    Turn::Done(()) => {
                        self.cut(cx);
                        return false;
                    }
                },
                State::Connect(connect) => match connect.step(&mut self.client, cx) {
                    Ok(Turn::Wait(())) => return true,
                    Ok(Turn::Done(dialled)) => {
                        connect.count(&dialled, cx.metrics);
                        let (to, tape) = (Arc::clone(&connect.to), connect.tape.take());
                        let decoder = connect.take_decoder();
                        connect.abandon(cx);
                        Ok(self.relay(to, dialled, decoder, tape, cx))
                    }
                    Err(end) => Err(end),
                },
                State::Serve(serve) => match serve.step(&mut self.client, cx) {
                    Ok(Turn::Wait(())) => return true,
                    Ok(Turn::Done(Served::Last)) => Ok(self.close(End::Served, cx)),
                    Ok(Turn::Done(Served::Next(served))) => {
                        self.state = State::Handshake(Box::new(Handshake::again(&self.client, served, cx)));
                        // The next head gets a turn of its own: others have theirs first, and it meets the
                        // listener's frontend as it is then.
                        cx.again = !self.client.kept.is_empty() || self.client.socket.is_readable();
                        return true;
                    }
                    Err(end) => Err(end),
                },
                State::Proxy(_)
                | State::Sniff(_)
                | State::Tls(_)
                | State::Handshake(_)
                | State::Lookup(_)
                | State::Reply(_) => match self.set_up(cx) {
                    Ok(Turn::Wait(state)) => {
                        self.state = state;
                        return true;
                    }
                    Ok(Turn::Done(state)) => Ok(state),
                    Err(end) => Err(end),
                },
                State::Gone => return false,
            };
            if !self.follow(next, cx) {
                return false;
            }
        }
    }

    /// One step of a state that owns no socket but the client's, and what follows it: the diagram above.
    #[inline(never)]
    fn set_up(&mut self, cx: &mut Cx<'_>) -> Result<Turn<State, State>, End> {
        let client = &mut self.client;
        Ok(match std::mem::replace(&mut self.state, State::Gone) {
            State::Proxy(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Proxy(state)),
                Turn::Done(()) => Turn::Done(State::Sniff(Sniff::begin(cx))),
            },
            State::Sniff(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Sniff(state)),
                Turn::Done(Protocol::Plain) if !self.admitted => Turn::Done(self.turn_away(cx)),
                Turn::Done(Protocol::Tls) if !self.admitted => {
                    return Err(End::Full(cx.shared.places));
                }
                Turn::Done(Protocol::Plain) if cx.frontend.tls_only => Turn::Done(self.refuse_plain(cx)),
                Turn::Done(Protocol::Plain) => {
                    Turn::Done(State::Handshake(Box::new(Handshake::begin(client, cx))))
                }
                Turn::Done(Protocol::Tls) => Turn::Done(State::Tls(Tls::begin(client, cx))),
            },
            State::Tls(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Tls(state)),
                Turn::Done(()) => Turn::Done(State::Handshake(Box::new(Handshake::begin(client, cx)))),
            },
            State::Handshake(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Handshake(state)),
                Turn::Done(wanted) => Turn::Done(self.look_up(wanted, cx)),
            },
            State::Lookup(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Lookup(state)),
                Turn::Done((request, verdict)) => Turn::Done(self.decided(request, verdict, cx)),
            },
            State::Reply(state) => match state.step(client, cx)? {
                Turn::Wait(state) => Turn::Wait(State::Reply(state)),
                Turn::Done(()) => Turn::Done(State::Close(Box::new(Close::begin(client, false, None, cx)))),
            },
            state @ (State::Serve(_)
            | State::Connect(_)
            | State::Relay(_)
            | State::Close(_)
            | State::Gone) => Turn::Wait(state),
        })
    }

    /// A request has arrived: the gate is asked, if there is anything to ask.
    fn look_up(&mut self, wanted: Wanted, cx: &mut Cx<'_>) -> State {
        let request = match wanted {
            Wanted::Session(session) => Request::Session(session),
            Wanted::Page(page) => Request::Page(page),
            Wanted::Refused(refusal, line) => return self.refuse(&refusal, &line, cx),
            Wanted::Health(answer, line) => {
                let reply = Reply::begin(&answer, line.head_only, &mut self.client, cx);
                self.finish(&End::Served, cx);
                return State::Reply(reply);
            }
            Wanted::Nothing => return self.close(End::Served, cx),
        };
        match Lookup::begin(request, cx) {
            Turn::Wait(lookup) => State::Lookup(lookup),
            Turn::Done((request, verdict)) => self.decided(request, verdict, cx),
        }
    }

    /// The gate has decided.
    fn decided(&mut self, request: Request, verdict: Verdict, cx: &mut Cx<'_>) -> State {
        report::decided(&verdict, cx);
        match (request, verdict) {
            (Request::Session(session), Verdict::Granted(grant)) => self.upgrade(&session, grant, cx),
            (Request::Session(session), Verdict::Refused(why, refusal)) => {
                let status = refusal.status.0;
                let end = match why {
                    Why::Denied => End::Denied(status),
                    Why::Unknown => End::UnknownToken(status),
                    Why::Broken => End::LookupFailed(status),
                };
                self.refuse_as(&end, &refusal, &session.line, cx)
            }
            (Request::Page(mut page), Verdict::Granted(grant)) => {
                page.set_cookie = grant.set_cookie;
                self.serve(*page, cx)
            }
            (Request::Page(mut page), Verdict::Refused(why, refusal)) => {
                // The connection continues after the answer: browsers ask again with a password. But a late
                // verdict must not be taken for that of another request.
                page.options.keep &= why != Why::Broken;
                page.action = Action::Refuse(refusal);
                self.serve(*page, cx)
            }
        }
    }

    fn serve(&mut self, page: PageRequest, cx: &mut Cx<'_>) -> State {
        State::Serve(Serve::begin(&mut self.client, page, cx))
    }

    /// Grants the upgrade: the 101 goes out now, before the target is dialled.
    fn upgrade(&mut self, request: &SessionRequest, grant: Grant, cx: &mut Cx<'_>) -> State {
        let Grant { to, set_cookie, user } = grant;
        if user.is_some() {
            self.client.who.facts_mut().user = user;
        }
        if let Some(to) = &to {
            self.client.who.facts_mut().token = Some(to.token);
        }
        let Some(to) = destination(to, cx) else {
            return self.refuse(&Refusal::new(404, "Not Found"), &request.line, cx);
        };
        if !cx.shared.claim_session() {
            let refusal = Refusal::new(503, "the one session of --run-once has begun");
            return self.refuse(&refusal, &request.line, cx);
        }
        self.client.upgraded_at = cx.now;
        let transport = self.client.transport() as usize;
        cx.metrics.upgraded.count(transport);
        cx.metrics.sessions[transport].raise();
        cx.metrics.answered(Status(101).index());
        report::upgraded(request, &to, &mut self.client, cx);
        self.client.out.push(&request.upgrade.response(set_cookie.as_deref()));
        let tape = Tape::begin(&self.client, cx);
        let header = connect::header(&to, &self.client, request.host.as_deref(), cx);
        State::Connect(Connect::begin(to, tape, header, cx))
    }

    /// Too many connections: the client gets a 503 before its request is read.
    fn turn_away(&mut self, cx: &Cx<'_>) -> State {
        let reply = Reply::begin(&Refusal::new(503, "too many connections"), false, &mut self.client, cx);
        self.finish(&End::Full(cx.shared.places), cx);
        State::Reply(reply)
    }

    /// Only TLS is served, and this client does not speak it.
    fn refuse_plain(&mut self, cx: &Cx<'_>) -> State {
        let refusal = Refusal::new(400, "TLS is required here: use https:// or wss://");
        let reply = Reply::begin(&refusal, false, &mut self.client, cx);
        let end = End::Refused(400);
        let words = format_args!("non-SSL connection received but disallowed");
        let what = What::ConnectionEnd(end.kind().name(), &words);
        cx.shared.say_limited(&end, |log| party::say(log, Level::Info, what, &self.client, None, cx));
        self.finish(&end, cx);
        State::Reply(reply)
    }

    /// The request is answered with an error, which ends the connection.
    fn refuse(&mut self, refusal: &Refusal, line: &RequestLine, cx: &Cx<'_>) -> State {
        let end = if refusal.is_error() { End::Refused(refusal.status.0) } else { End::Served };
        self.refuse_as(&end, refusal, line, cx)
    }

    /// The same with an ending of its own.
    fn refuse_as(&mut self, end: &End, refusal: &Refusal, line: &RequestLine, cx: &Cx<'_>) -> State {
        let reply = Reply::begin(refusal, line.head_only, &mut self.client, cx);
        report::refused(end, line, refusal.status, refusal.log_words(), None, &self.client, cx);
        self.finish(end, cx);
        State::Reply(reply)
    }

    /// The dial is over: relay, or tell the client that there is no target, or close.
    fn relay(
        &mut self,
        to: Arc<Destination>,
        dialled: Dialled,
        decoder: Decoder,
        tape: Option<Box<Tape>>,
        cx: &mut Cx<'_>,
    ) -> State {
        match dialled {
            Dialled::Connected(target) => {
                report::connected(&to, &target, &self.client, cx);
                State::Relay(Relay::new(to, target, &mut self.client, decoder, tape, cx))
            }
            Dialled::Failed(failure) => {
                let end = match failure {
                    Failure::Unreachable(_) => End::Unreachable,
                    Failure::NotAllowed(_) => End::NotAllowed,
                };
                report::not_reached(&end, &to, &failure, &mut self.client, cx);
                // The client is told the same as for an unreachable target, so that it learns nothing.
                let close = (code::INTERNAL_ERROR, "Failed to connect to downstream server");
                State::Relay(Relay::without_target(to, &mut self.client, end, close, decoder, cx))
            }
            Dialled::Leaving => State::Relay(Relay::leaving(to, decoder, cx)),
            Dialled::Left(end) => self.close(end, cx),
        }
    }

    /// The session ended cleanly: nothing is owed, and both sockets are closed gracefully.
    pub(super) fn close(&mut self, end: End, cx: &mut Cx<'_>) -> State {
        self.finish(&end, cx);
        self.close_both(cx)
    }

    /// Ends the writing side of whatever is open.
    fn close_both(&mut self, cx: &mut Cx<'_>) -> State {
        let mut is_done = false;
        let target = match &mut self.state {
            State::Relay(relay) => {
                is_done = relay.client_is_done();
                relay.release(cx);
                relay.take_target()
            }
            State::Proxy(_)
            | State::Sniff(_)
            | State::Tls(_)
            | State::Handshake(_)
            | State::Lookup(_)
            | State::Serve(_)
            | State::Connect(_)
            | State::Reply(_)
            | State::Close(_)
            | State::Gone => {
                self.state.release(cx);
                None
            }
        };
        State::Close(Box::new(Close::begin(&mut self.client, is_done, target, cx)))
    }
}

/// Where a granted session goes.
fn destination(to: Option<TokenTarget>, cx: &Cx<'_>) -> Option<Arc<Destination>> {
    match (to, &cx.frontend.sessions) {
        (Some(to), _) => Some(Arc::new(Destination::of_token(to, cx.frontend.target_tls.is_some()))),
        (None, Some(Sessions::Fixed(to))) => Some(Arc::clone(to)),
        (None, Some(Sessions::Tokens) | None) => None,
    }
}
