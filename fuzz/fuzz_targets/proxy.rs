//! The PROXY header at the beginning of a connection. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::proxy(data));
