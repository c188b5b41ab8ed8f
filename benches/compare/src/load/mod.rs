//! The load generator: what goes over the wire (`wire`, `block`), who sends and reads it (`target` with its
//! `plays`, `client`, `churn`, `mix`), and what they wait with (`line`, `poll`).

pub(crate) mod block;
pub(crate) mod churn;
pub(crate) mod client;
pub(crate) mod line;
pub(crate) mod mix;
pub(crate) mod plays;
pub(crate) mod poll;
pub(crate) mod target;
pub(crate) mod wire;
