//! HTTP/1.1 as far as a gateway needs it: one request head in, one short answer out.

pub mod path;
pub mod request;
pub mod response;
