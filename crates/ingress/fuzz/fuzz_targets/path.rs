//! Any path: normalising is final, leaves no dot segment and never leaves the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let path = format!("/{text}");
    if let Ok(normal) = ingress::path::normalise(&path) {
        assert!(normal.starts_with('/'));
        assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
        assert_eq!(ingress::path::normalise(&normal).as_deref(), Ok(&*normal));
    }
});
