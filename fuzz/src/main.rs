//! The fuzzer: libFuzzer's own `main` calls what `YUE_FUZZ_TARGET` names (`yue_server::fuzzing`).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("YUE_FUZZ_TARGET").unwrap_or_default());

fuzz_target!(|bytes: &[u8]| yue_server::fuzzing::run(&TARGET, bytes));
