//! A client's connection, plain or inside TLS, as hyper sees it, with deadlines for each phase and a second look at HTTP/1.1 heads.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{body::Stall, config::Limits, head_scan::HeadScan, phase::Phase};

#[derive(Debug)]
pub struct ClientStream<S> {
    stream: S,
    /// HTTP/1.1 only; HTTP/2 has its own pings and limits.
    http1: Option<Http1>,
    write_stall: Stall,
}

#[derive(Debug)]
struct Http1 {
    phase: Arc<Phase>,
    scan: HeadScan,
    stall: Stall,
    head_timeout: Duration,
    idle_timeout: Duration,
    had_request: bool,
}

impl<S> ClientStream<S> {
    pub fn http1(stream: S, phase: Arc<Phase>, limits: &Limits) -> Self {
        let head_timeout = Duration::from_millis(limits.head_read_timeout_ms);
        let http1 = Http1 {
            phase,
            scan: HeadScan::default(),
            stall: Stall::new(head_timeout),
            head_timeout,
            idle_timeout: Duration::from_millis(limits.idle_timeout_ms),
            had_request: false,
        };
        Self { stream, http1: Some(http1), write_stall: Stall::new(Duration::from_millis(limits.write_stall_timeout_ms)) }
    }

    pub fn http2(stream: S, limits: &Limits) -> Self {
        Self { stream, http1: None, write_stall: Stall::new(Duration::from_millis(limits.write_stall_timeout_ms)) }
    }

    fn after_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_stall.moved();
        } else if self.write_stall.is_over(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
        }
        result
    }
}

impl Http1 {
    fn saw(&mut self, bytes: &[u8]) {
        self.note_end();
        let was_inside = self.scan.is_inside_head();
        if !self.scan.feed(bytes) {
            self.phase.set_malformed();
        }
        // The deadline of a head runs from its first byte, however slowly the rest drips in.
        if !(was_inside && self.scan.is_inside_head()) {
            self.stall.moved();
        }
    }

    fn note_end(&mut self) {
        if self.phase.take_at_head() {
            self.scan.restart();
            self.had_request = true;
            self.stall.moved();
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase.is_busy() {
            return false;
        }
        let is_idle = self.had_request && !self.scan.is_inside_head();
        self.stall.set_limit(if is_idle { self.idle_timeout } else { self.head_timeout });
        self.stall.is_over(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let Some(http1) = &mut this.http1 else {
            return result;
        };
        if result.is_pending() {
            http1.note_end();
            if http1.is_over(cx) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no complete request head came")));
            }
            return Poll::Pending;
        }
        ready!(result)?;
        http1.saw(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.after_write(cx, result)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.after_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
