//! One connection under whatever may happen to it. The property is in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockify_fuzz::states(data));
