//! URLs of services, with tokens and redirects. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::service_urls_stay(data));
