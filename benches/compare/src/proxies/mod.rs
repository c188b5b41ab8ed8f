//! The proxies under load: which there are (`peers`) and which are here (`found`), what one needs (`kit`), a
//! running one (`proxy`, placed by `pin`, watched by `procfs`), and the plain `relay` that they are compared with.

pub(crate) mod found;
pub(crate) mod kit;
pub(crate) mod peers;
pub(crate) mod pin;
pub(crate) mod procfs;
pub(crate) mod proxy;
pub(crate) mod relay;
