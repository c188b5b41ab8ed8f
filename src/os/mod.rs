//! What the process has to do with the system around it.

pub mod signal;
