//! Counts visits per page, in memory.

mod http;
mod visits;

use std::{
    env,
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use signal_hook::{consts::SIGTERM, iterator::Signals};
use visits::Visits;

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("counter listens on {port}");

    let mut signals = Signals::new([SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("counter stops");
            std::process::exit(0);
        }
    });

    let visits = Arc::new(Mutex::new(Visits::default()));
    for stream in listener.incoming() {
        let (stream, visits) = (stream?, Arc::clone(&visits));
        thread::spawn(move || {
            if let Err(error) = serve(stream, &visits) {
                eprintln!("connection: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, visits: &Mutex<Visits>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = http::read(&mut stream)? {
        let (status, body) = match request.path.as_str() {
            "/healthz" => (200, r#"{"status":"ok"}"#.to_owned()),
            "/version" => {
                let motto = env::var("MOTTO").unwrap_or_default();
                (200, format!(r#"{{"app":"counter","version":"{}","motto":"{motto}"}}"#, env!("CARGO_PKG_VERSION")))
            }
            path => match visits.lock() {
                Ok(mut visits) => (200, format!(r#"{{"path":"{path}","visits":{}}}"#, visits.count(path))),
                Err(_) => (500, r#"{"error":"poisoned"}"#.to_owned()),
            },
        };
        http::write(&mut stream, status, &body)?;
    }
    Ok(())
}
