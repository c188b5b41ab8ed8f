//! Traffic marks: one character per event on stdout, for watching a session by eye (`--traffic`).

use super::Cx;

/// What the marks mean; printed at the start of each session.
pub(super) const LEGEND: &str = "
Traffic Legend:
    }  - Client receive
    }. - Client receive partial
    {  - Target receive

    >  - Target send
    >. - Target send partial
    <  - Client send
    <. - Client send partial

";

/// Bytes came from the client; `whole` when they end with a frame.
pub(super) fn received_from_client(cx: &Cx<'_>, whole: bool) {
    cx.shared.log.traffic(if whole { "}" } else { "}." });
}

/// Bytes came from the target.
pub(super) fn received_from_target(cx: &Cx<'_>) {
    cx.shared.log.traffic("{");
}

/// The target took bytes; `whole` when it took all.
pub(super) fn sent_to_target(cx: &Cx<'_>, whole: bool) {
    cx.shared.log.traffic(if whole { ">" } else { ">." });
}

/// The client took bytes; `whole` when it took all.
pub(super) fn sent_to_client(cx: &Cx<'_>, whole: bool) {
    cx.shared.log.traffic(if whole { "<" } else { "<." });
}
