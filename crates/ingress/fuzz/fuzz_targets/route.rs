//! Any body of the admin socket or of a file on disk: read, judged, written and read again without a surprise.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(route) = serde_json::from_slice::<ingress::ServiceRoute>(bytes) else { return };
    if route.validate().is_ok() {
        let again: ingress::ServiceRoute = serde_json::from_slice(&serde_json::to_vec(&route).unwrap()).unwrap();
        assert_eq!(route, again);
    }
});
