#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bearward::fuzzing::opening(octets));
