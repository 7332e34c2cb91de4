//! Any authority: normalising is final and yields what the table may hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(normal) = ingress::host::normalise(text) {
        assert!(ingress::host::is_normal(&normal), "{normal:?}");
    }
});
