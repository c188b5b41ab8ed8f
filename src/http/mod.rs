//! HTTP/1.1 as far as a gateway with a few files needs it: one request head in, one answer out.

pub mod body;
pub mod conditional;
pub mod credentials;
pub mod encoding;
pub mod forwarded;
pub mod host;
pub mod mime;
pub mod novnc;
pub mod origin;
pub mod path;
pub mod query;
pub mod range;
pub mod refusal;
pub mod request;
pub mod resource;
pub mod response;
