//! What the process has to do with the system around it.

pub mod daemon;
pub mod fault;
pub mod inherited;
pub mod notify;
pub mod pid_file;
pub mod rebind;
pub mod signal;
