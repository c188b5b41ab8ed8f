//! A request head, whole and in pieces, up to the answer. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::request_head(data));
