//! `seaway-fileserver FOLDER [--single-page]`: serves the folder on `$PORT`.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use fileserver::{Site, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const PORT_DEFAULT: u16 = 3000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // Nobody is left to tell when this fails as well.
            let _lost = writeln!(std::io::stderr(), "seaway-fileserver: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> std::io::Result<()> {
    let mut folder = PathBuf::from(".");
    let mut single_page = false;
    for argument in std::env::args_os().skip(1) {
        if argument == "--single-page" {
            single_page = true;
        } else {
            folder = PathBuf::from(argument);
        }
    }
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(PORT_DEFAULT);
    let site = Site::new(&folder, single_page)?;
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        // A machine without IPv6.
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await?,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    serve(listener, site, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    Ok(())
}
