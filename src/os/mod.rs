//! What the process has to do with the system around it.

pub mod daemon;
pub mod inherited;
pub mod notify;
pub mod pid_file;
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, reason = "the port is held for wrapped programs, which are to come")
)]
pub mod rebind;
pub mod signal;
