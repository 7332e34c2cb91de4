//! Where a client's HTTP/1.1 connection stands, shared between its stream and its requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use crate::body::{BodyEnd, BodyProgress};

#[derive(Debug, Default)]
pub struct Phase {
    requests: AtomicU32,
    /// A request ended and its body was read to the end: the next byte begins a head.
    is_at_head: AtomicBool,
    /// The stream saw a request head that two parsers could read differently.
    is_malformed: AtomicBool,
}

impl Phase {
    pub fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    pub fn take_at_head(&self) -> bool {
        self.is_at_head.swap(false, Ordering::AcqRel)
    }

    pub fn set_malformed(&self) {
        self.is_malformed.store(true, Ordering::Release);
    }

    pub fn is_malformed(&self) -> bool {
        self.is_malformed.load(Ordering::Acquire)
    }
}

/// One request on the connection.
#[derive(Debug)]
pub struct PhaseGuard {
    phase: Arc<Phase>,
    body: Option<Arc<BodyProgress>>,
}

impl PhaseGuard {
    pub fn new(phase: &Arc<Phase>) -> Self {
        phase.requests.fetch_add(1, Ordering::AcqRel);
        Self { phase: Arc::clone(phase), body: None }
    }

    pub fn set_body(&mut self, body: Option<Arc<BodyProgress>>) {
        self.body = body;
    }
}

impl Drop for PhaseGuard {
    fn drop(&mut self) {
        if self.body.as_ref().is_none_or(|body| body.end() == BodyEnd::Complete) {
            self.phase.is_at_head.store(true, Ordering::Release);
        }
        self.phase.requests.fetch_sub(1, Ordering::AcqRel);
    }
}
