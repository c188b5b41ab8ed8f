//! The parts of the end-to-end bench. From the ground up: `stats`, `procfs`, `poll`, `wire`, `block`; the
//! plain `relay`; the load generator (`line`, `target` with its `plays`, `client`, `churn`, `mix`); the
//! tables (`peers`, `scenarios`, `demands`); a running `proxy` and what it needs (`found`, `kit`); one `run`,
//! their comparison (`compare`, `syscalls`), and what is shown and kept of it (`report`, `record`, `plots`
//! with `svg`).

pub(crate) mod block;
pub(crate) mod churn;
pub(crate) mod client;
pub(crate) mod compare;
pub(crate) mod demands;
pub(crate) mod found;
pub(crate) mod kit;
pub(crate) mod line;
pub(crate) mod mix;
pub(crate) mod options;
pub(crate) mod peers;
pub(crate) mod pin;
pub(crate) mod plays;
pub(crate) mod plots;
pub(crate) mod poll;
pub(crate) mod procfs;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod relay;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod scenarios;
pub(crate) mod stats;
pub(crate) mod svg;
pub(crate) mod syscalls;
pub(crate) mod target;
pub(crate) mod wire;
