//! Lists of addresses in header fields of proxies. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::forwarded(data));
