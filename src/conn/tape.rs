//! What is taken down of a session while it is relayed. Today that is traffic marks: one character per event
//! on stdout, for watching a session by eye (`--traffic`).

use super::cx::Cx;
use crate::id::Side;

/// The tape of one session. A session without one pays nothing for it.
#[derive(Debug)]
pub struct Tape {
    traffic: bool,
}

impl Tape {
    /// Begins to take down a session, if anything is to be.
    pub fn begin(cx: &Cx<'_>) -> Option<Box<Tape>> {
        let options = cx.frontend.tape.as_ref()?;
        if options.traffic {
            cx.shared.log.traffic(LEGEND);
        }
        Some(Box::new(Tape { traffic: options.traffic }))
    }

    /// Payload came from the client; `whole` when what was read ends with a frame.
    pub fn up(&mut self, _payload: &[u8], whole: bool, cx: &Cx<'_>) {
        self.mark(if whole { "}" } else { "}." }, cx);
    }

    /// Payload came from the target.
    pub fn down(&mut self, _payload: &[u8], cx: &Cx<'_>) {
        self.mark("{", cx);
    }

    /// One end took bytes; `whole` when it took all that it was offered.
    pub fn sent(&mut self, to: Side, whole: bool, cx: &Cx<'_>) {
        let mark = match (to, whole) {
            (Side::Target, true) => ">",
            (Side::Target, false) => ">.",
            (Side::Client, true) => "<",
            (Side::Client, false) => "<.",
        };
        self.mark(mark, cx);
    }

    fn mark(&self, mark: &str, cx: &Cx<'_>) {
        if self.traffic {
            cx.shared.log.traffic(mark);
        }
    }
}

/// What the marks mean; printed at the start of each session.
const LEGEND: &str = "
Traffic Legend:
    }  - Client receive
    }. - Client receive partial
    {  - Target receive

    >  - Target send
    >. - Target send partial
    <  - Client send
    <. - Client send partial

";
