//! Arbitrary bytes into a TLS session. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::tls(data));
