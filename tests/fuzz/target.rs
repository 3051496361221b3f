//! One program for all targets, so that DataFusion is linked once; `FUZZ_TARGET` names the one.
#![no_main]

mod targets;

use std::sync::LazyLock;

use targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("`{name}` is no target"));
    target
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The decoder of Parquet panics at some files; whoever reads them catches it.
    if std::env::var("FUZZ_TARGET").is_ok_and(|name| name == "parquet") {
        std::panic::set_hook(Box::new(|_| {}));
    }
    TARGET(data);
});
