#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| maand::fuzzing::run("inventory", bytes));
