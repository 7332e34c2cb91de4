//! The small web server inside the images of static sites: files of one folder, nothing else.
//!
//! It must never serve a file outside its folder, list a folder, serve a name that begins with a dot (but `.well-known`), or
//! change anything.
//!
//! To add a content type, add a line to [`content_type`].

mod answer;
mod content_type;

pub use answer::{Body, Site};

use std::convert::Infallible;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves, then lets open requests finish.
pub async fn serve(listener: TcpListener, site: Site, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let site = site.clone();
        let service = service_fn(move |request| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(site.answer(&request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away needs no word.
            let _gone = watched.await;
        });
    }
    drop(listener);
    // What is still open after the pause is cut by the end of the process.
    let _cut = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}
