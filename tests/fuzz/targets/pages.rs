#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| access_tokens_fuzz::pages(data));
