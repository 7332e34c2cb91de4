//! Bodies in both directions: streamed, counted, timed, never collected.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    live::{Claim, InFlight},
    phase::PhaseGuard,
    policy::compress::Compressor,
    pool::Upstream,
    seen::meter::Meter,
};

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than the route allows")]
    TooLarge,
    #[error("nothing came for too long")]
    Stalled,
    #[error("the grace of the drain is over")]
    Cut,
    #[error("the answer cannot be compressed")]
    Compression(#[source] std::io::Error),
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
}

/// How far a request's body came; shared between the body, which the connection to the replica owns, and the handler.
#[derive(Debug, Default)]
pub struct BodyProgress {
    end: AtomicU8,
    bytes: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    Open,
    Complete,
    TooLarge,
    Stalled,
    Broken,
}

impl BodyProgress {
    pub fn end(&self) -> BodyEnd {
        match self.end.load(Ordering::Acquire) {
            0 => BodyEnd::Open,
            1 => BodyEnd::Complete,
            2 => BodyEnd::TooLarge,
            3 => BodyEnd::Stalled,
            _ => BodyEnd::Broken,
        }
    }

    fn set(&self, end: BodyEnd) {
        self.end.store(end as u8, Ordering::Release);
    }

    /// Bytes that the client sent so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub enum RequestBody {
    Empty,
    Streamed(Box<Streamed>),
}

#[derive(Debug)]
pub struct Streamed {
    inner: Incoming,
    bytes_left: u64,
    stall: Stall,
    progress: Arc<BodyProgress>,
}

impl RequestBody {
    /// The second value is there for a body that is not empty.
    pub fn new(inner: Incoming, bytes_max: u64, stall: Duration) -> (Self, Option<Arc<BodyProgress>>) {
        if inner.is_end_stream() {
            return (Self::Empty, None);
        }
        let progress = Arc::new(BodyProgress::default());
        let streamed = Streamed { inner, bytes_left: bytes_max, stall: Stall::new(stall), progress: Arc::clone(&progress) };
        (Self::Streamed(Box::new(streamed)), Some(progress))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(streamed) => streamed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(streamed) => streamed.inner.size_hint(),
        }
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
            if self.stall.is_over(cx) {
                self.progress.set(BodyEnd::Stalled);
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
            return Poll::Pending;
        };
        self.stall.moved();
        let result = match next {
            None => {
                self.progress.set(BodyEnd::Complete);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.progress.set(BodyEnd::Broken);
                Err(error.into())
            }
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                if size > self.bytes_left {
                    self.progress.set(BodyEnd::TooLarge);
                    Err(BodyError::TooLarge)
                } else {
                    self.bytes_left -= size;
                    self.progress.bytes.fetch_add(size, Ordering::Relaxed);
                    if self.inner.is_end_stream() {
                        self.progress.set(BodyEnd::Complete);
                    }
                    Ok(frame)
                }
            }
        };
        Poll::Ready(Some(result))
    }
}

/// The body of an answer to a client: a page of the ingress, or what a replica sends.
#[derive(Debug)]
pub struct ResponseBody {
    content: Content,
    /// Tells the connection, when dropped, that the request is over.
    _phase: Option<PhaseGuard>,
    meter: Option<Box<Meter>>,
}

#[derive(Debug)]
enum Content {
    Page(Bytes),
    Relayed(Box<Relayed>),
    Compressed(Box<Compressed>),
}

/// A replica's answer on its way through a compressor.
#[derive(Debug)]
struct Compressed {
    inner: Relayed,
    compressor: Compressor,
    trailers: Option<http::HeaderMap>,
    is_done: bool,
}

/// What goes on while a replica's answer is streamed.
#[derive(Debug)]
pub struct Relayed {
    inner: Incoming,
    upstream: Option<Upstream>,
    claim: Option<Claim>,
    in_flight: Option<InFlight>,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    stall: Stall,
    /// A cut event stream ends cleanly: its client connects again by itself, and nothing of it counts as truncated.
    is_event_stream: bool,
}

impl Relayed {
    pub fn new(
        inner: Incoming,
        upstream: Upstream,
        claim: Claim,
        in_flight: Option<InFlight>,
        idle: Duration,
        is_event_stream: bool,
    ) -> Self {
        Self { inner, upstream: Some(upstream), claim: Some(claim), in_flight, cut: None, stall: Stall::new(idle), is_event_stream }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.claim.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return self.poll_waiting(cx);
        };
        self.stall.moved();
        match next {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => {
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(claim) = &self.claim else {
            return Poll::Ready(None);
        };
        // Made at the first wait only: most answers arrive whole with their head.
        let cut = self.cut.get_or_insert_with(|| Box::pin(claim.replica().cut.clone().cancelled_owned()));
        if cut.as_mut().poll(cx).is_ready() {
            self.release();
            return Poll::Ready(if self.is_event_stream { None } else { Some(Err(BodyError::Cut)) });
        }
        if self.stall.is_over(cx) {
            self.release();
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        }
        Poll::Pending
    }

    /// The answer is complete: the connection may serve the next request.
    fn finish(&mut self) {
        if let (Some(upstream), Some(claim)) = (self.upstream.take(), &self.claim)
            && !claim.replica().is_retired()
        {
            claim.replica().give_back(upstream);
        }
        self.release();
    }

    fn release(&mut self) {
        self.upstream = None;
        self.claim = None;
        self.in_flight = None;
    }
}

/// Frames taken in one turn that gave nothing to send yet.
const COMPRESSED_FRAMES_MAX: usize = 32;

impl Compressed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_done {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        for _ in 0..COMPRESSED_FRAMES_MAX {
            let out = match self.inner.poll(cx) {
                Poll::Pending => match self.compressor.flush() {
                    Ok(out) if out.is_empty() => return Poll::Pending,
                    out => out,
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return self.finish(),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.compressor.feed(&data),
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        return self.finish();
                    }
                },
            };
            match out {
                Ok(out) if out.is_empty() => {}
                out => return Poll::Ready(Some(out.map(Frame::data).map_err(BodyError::Compression))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn finish(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.is_done = true;
        let rest = self.compressor.finish();
        Poll::Ready(Some(rest.map(Frame::data).map_err(BodyError::Compression)))
    }
}

impl ResponseBody {
    pub fn page(bytes: Bytes) -> Self {
        Self { content: Content::Page(bytes), _phase: None, meter: None }
    }

    pub fn relayed(mut relayed: Relayed) -> Self {
        if relayed.inner.is_end_stream() {
            relayed.finish();
            return Self::page(Bytes::new());
        }
        Self { content: Content::Relayed(Box::new(relayed)), _phase: None, meter: None }
    }

    /// A replica's body that is still to come.
    pub fn is_relayed(&self) -> bool {
        matches!(self.content, Content::Relayed(_))
    }

    /// What is not relayed stays as it is.
    pub fn compressed(mut self, compressor: Compressor) -> Self {
        self.content = match self.content {
            Content::Relayed(inner) => {
                Content::Compressed(Box::new(Compressed { inner: *inner, compressor, trailers: None, is_done: false }))
            }
            other => other,
        };
        self
    }

    /// Counts what goes out, until the body is dropped.
    pub fn with_meter(mut self, meter: Meter) -> Self {
        self.meter = Some(Box::new(meter));
        self
    }

    pub fn with_phase(mut self, phase: Option<PhaseGuard>) -> Self {
        self._phase = phase;
        self
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut self.content {
            Content::Page(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Page(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Relayed(relayed) => relayed.poll(cx),
            Content::Compressed(compressed) => compressed.poll(cx),
        };
        if let (Some(meter), Poll::Ready(Some(Ok(frame)))) = (&mut self.meter, &next) {
            meter.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(bytes) => bytes.is_empty(),
            Content::Relayed(relayed) => relayed.claim.is_none() || relayed.inner.is_end_stream(),
            Content::Compressed(compressed) => compressed.is_done && compressed.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Relayed(relayed) => relayed.inner.size_hint(),
            Content::Compressed(_) => SizeHint::default(),
        }
    }
}

/// A deadline that exists only while something is awaited. Zero means none.
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

impl Stall {
    pub fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, is_armed: false }
    }

    pub fn moved(&mut self) {
        self.is_armed = false;
    }

    /// Called while waiting: starts the deadline at the first call after a move, answers whether it passed.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        if !self.is_armed {
            let deadline = Instant::now() + self.limit;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
            self.is_armed = true;
        }
        self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }

    pub fn set_limit(&mut self, limit: Duration) {
        if limit != self.limit {
            self.limit = limit;
            self.is_armed = false;
        }
    }
}
