#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mako_raft_fuzz::c_abi::run(bytes));
