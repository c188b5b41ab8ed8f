//! What a connection is lent while it is driven, and the answers that come back to it.

use std::sync::Arc;

use mio::{Poll, Registry};

use super::frontend::{Frontend, Started};
use super::shared::Shared;
use crate::certs::Served;
use crate::flight::ReplyTo;
use crate::gate::Verdict;
use crate::id::{ConnId, SessionName};
use crate::metrics::Metrics;
use crate::net::pipe::Splicer;
use crate::resolve::Addresses;
use crate::ring::Pool;
use crate::timers::Tick;
use crate::web::{Chunk, Response};

/// What the reactor lends to a connection for one drive.
pub struct Cx<'a> {
    /// The index of the connection's reactor.
    pub worker: u32,
    /// The connection's name there.
    pub id: ConnId,
    /// The reactor's clock.
    pub now: Tick,
    /// Where sockets are registered.
    pub registry: &'a Registry,
    /// The reactor's rings.
    pub rings: &'a mut Pool,
    /// The reactor's pipe.
    pub splicer: &'a mut Splicer,
    /// The reactor's counters.
    pub metrics: &'a Metrics,
    /// What all connections of the process share.
    pub shared: &'a Shared,
    /// What the clients of this connection's listener get.
    pub frontend: &'a Frontend,
    /// Where helpers leave their answers.
    pub inbox: &'a Inbox,
    /// How many bulk connections of this reactor are waiting for their turn.
    pub bulk_waiting: usize,
    /// Set by a connection that has used up its share of the turn and has more to do.
    pub again: bool,
    /// Bytes that this drive has processed, whatever became of them.
    pub worked: usize,
}

impl Cx<'_> {
    /// The name of the connection's session, for operators.
    pub fn session_name(&self) -> SessionName {
        SessionName { instance: self.shared.instance, worker: self.worker, id: self.id }
    }

    /// Where a service answers this connection: what it finds is wrapped and left in the reactor's inbox.
    pub fn reply<T: 'static>(&self, wrap: fn(T) -> Answer) -> ReplyTo<T> {
        let (inbox, id) = (self.inbox.clone(), self.id);
        Box::new(move |found| inbox.deliver(id, wrap(found)))
    }
}

/// What a service has found for a connection.
#[derive(Debug)]
pub enum Answer {
    /// Addresses of the target's name.
    Resolved(Addresses),
    /// What to serve a TLS client with; `None` without a usable certificate.
    Certificate(Served),
    /// What the gate has decided.
    Verdict(Verdict),
    /// The answer to a plain request.
    Page(Box<Response>),
    /// The next bytes of an answer, or that they can't be read.
    Chunk(Chunk),
    /// A program for the session.
    Started(Started),
    /// The recording's file is open or can't be, or its queue has room again.
    Recorded,
}

/// The inbox of a connection's reactor. Clones lead to the same one.
#[derive(Clone)]
pub struct Inbox(Arc<dyn Fn(ConnId, Answer) + Send + Sync>);

impl Inbox {
    /// Answers are given to `deliver`, on the helper's thread.
    pub fn new(deliver: impl Fn(ConnId, Answer) + Send + Sync + 'static) -> Inbox {
        Inbox(Arc::new(deliver))
    }

    /// Leaves an answer for a connection, which may be gone by then.
    pub fn deliver(&self, id: ConnId, answer: Answer) {
        (self.0)(id, answer);
    }
}

/// What a reactor has to lend.
pub(crate) struct Resources {
    /// The reactor's index.
    pub(crate) worker: u32,
    pub(crate) poll: Poll,
    /// The clock as of this pass of the loop.
    pub(crate) tick: Tick,
    pub(crate) rings: Pool,
    pub(crate) splicer: Splicer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) inbox: Inbox,
    pub(crate) shared: Arc<Shared>,
}

impl Resources {
    /// Lends them to the connection of this name, a client of this frontend.
    pub(crate) fn to<'a>(&'a mut self, id: ConnId, frontend: &'a Frontend) -> Cx<'a> {
        Cx {
            worker: self.worker,
            id,
            now: self.tick,
            registry: self.poll.registry(),
            rings: &mut self.rings,
            splicer: &mut self.splicer,
            metrics: &self.metrics,
            shared: &self.shared,
            frontend,
            inbox: &self.inbox,
            bulk_waiting: 0,
            again: false,
            worked: 0,
        }
    }
}

/// The result of a step: waiting, or done.
#[derive(Debug)]
pub enum Turn<S, T> {
    /// The state waits for an event, an answer or its deadline.
    Wait(S),
    /// The state is over, and this is what it found.
    Done(T),
}
