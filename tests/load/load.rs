//! Open-loop load on one app: requests leave at a fixed rate whatever the answers do, and latency counts from the intended
//! time of sending, so that a gap cannot hide behind waiting clients. Standard library only; made by `rustc -O`.
//!
//! load ADDRESS HOST RATE SECONDS [IDS_FILE]
//!
//! Runs for SECONDS or until its standard input ends, then prints one JSON object. The mix, by position of the request:
//! of twenty, 12 GET on kept connections, 3 GET on a new connection, 3 POST with an id of its own (kept connection), 2 slow
//! answers (100 to 1500 ms). Every accepted POST's id goes into IDS_FILE, to be compared with what the app saw.
//!
//! Failure classes: connect, reset (the connection ended before the answer did), timeout (over 5 s, or LOAD_PATIENCE_SECONDS of the
//! environment; slow ones over 8 s),
//! truncated, gateway (502, 503, 504), status (any other than 200), stopping (the answer of an app that was already told to stop
//! is counted apart and is no failure while the request began before), wrong (a body that does not belong to the request).

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const WORKERS: usize = 384;
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_SLOW: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Kept,
    New,
    Post,
    Slow,
}

const MIX: [Kind; 20] = {
    use Kind::*;
    [Kept, Post, Kept, New, Kept, Kept, Slow, Kept, Post, Kept, New, Kept, Kept, Kept, Post, Kept, New, Kept, Slow, Kept]
};

struct Outcome {
    kind: Kind,
    intended: Duration,
    latency: Duration,
    done: Duration,
    result: Result<Answer, String>,
}

struct Answer {
    boot: u64,
    revision: String,
    stopping: bool,
}

struct Target {
    address: SocketAddr,
    host: String,
    begin: Instant,
    /// How long a client waits for an answer.
    patience: Duration,
    run: u128,
    /// Newest replica that has answered so far: an older one after it is a step back.
    newest_boot: AtomicU64,
    backwards: AtomicU64,
    ids: Mutex<Option<BufWriter<File>>>,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let rate: u64 = arguments[3].parse().expect("rate");
    let seconds: u64 = arguments[4].parse().expect("seconds");
    let ids = arguments.get(5).map(|path| BufWriter::new(File::create(path).expect("ids file")));
    let target = Arc::new(Target {
        address: arguments[1].parse().expect("address"),
        host: arguments[2].clone(),
        begin: Instant::now(),
        patience: env::var("LOAD_PATIENCE_SECONDS").map_or(TIMEOUT, |text| Duration::from_secs(text.parse().expect("seconds"))),
        run: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros(),
        newest_boot: AtomicU64::new(0),
        backwards: AtomicU64::new(0),
        ids: Mutex::new(ids),
    });
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        told.store(true, SeqCst);
    });

    let (order, orders) = mpsc::channel::<u64>();
    let orders = Arc::new(Mutex::new(orders));
    let (outcome, outcomes) = mpsc::channel::<Outcome>();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (target, orders, outcome) = (Arc::clone(&target), Arc::clone(&orders), outcome.clone());
            thread::Builder::new().stack_size(128 * 1024).spawn(move || work(&target, &orders, &outcome, rate)).expect("thread")
        })
        .collect();
    drop(outcome);
    let collected = thread::spawn(move || outcomes.into_iter().collect::<Vec<_>>());

    let mut sent = 0;
    while target.begin.elapsed() < Duration::from_secs(seconds) && !ended.load(SeqCst) {
        let due = intended(sent, rate);
        if let Some(wait) = due.checked_sub(target.begin.elapsed()) {
            thread::sleep(wait);
        }
        order.send(sent).expect("workers are gone");
        sent += 1;
    }
    let end = target.begin.elapsed();
    drop(order);
    for worker in workers {
        let _ = worker.join();
    }
    let outcomes = collected.join().expect("collector");
    if let Some(mut ids) = target.ids.lock().unwrap().take() {
        ids.flush().expect("ids file");
    }
    report(&outcomes, sent, end, target.backwards.load(SeqCst));
}

fn intended(number: u64, rate: u64) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / rate)
}

fn work(target: &Target, orders: &Mutex<mpsc::Receiver<u64>>, outcomes: &mpsc::Sender<Outcome>, rate: u64) {
    let mut kept: Option<BufReader<TcpStream>> = None;
    loop {
        let Ok(number) = orders.lock().unwrap().recv() else { return };
        let kind = MIX[(number % MIX.len() as u64) as usize];
        let boot_before = target.newest_boot.load(SeqCst);
        let result = if kind == Kind::New {
            connect(target).and_then(|mut connection| request(target, &mut connection, kind, number).map(|(answer, _)| answer))
        } else {
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                None => connect(target),
            };
            connection.and_then(|mut connection| {
                let (answer, reusable) = request(target, &mut connection, kind, number)?;
                kept = reusable.then_some(connection);
                Ok(answer)
            })
        };
        if let Ok(answer) = &result {
            if answer.boot < boot_before {
                target.backwards.fetch_add(1, SeqCst);
            }
            target.newest_boot.fetch_max(answer.boot, SeqCst);
        }
        let done = target.begin.elapsed();
        let intended = intended(number, rate);
        let _ = outcomes.send(Outcome { kind, intended, latency: done.saturating_sub(intended), done, result });
    }
}

fn connect(target: &Target) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect_timeout(&target.address, CONNECT_TIMEOUT).map_err(|error| format!("connect: {}", error.kind()))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(BufReader::new(stream))
}

fn request(target: &Target, connection: &mut BufReader<TcpStream>, kind: Kind, number: u64) -> Result<(Answer, bool), String> {
    let timeout = if kind == Kind::Slow { TIMEOUT_SLOW.max(target.patience) } else { target.patience };
    let stream = connection.get_mut();
    stream.set_read_timeout(Some(timeout)).map_err(|error| error.to_string())?;
    stream.set_write_timeout(Some(timeout)).map_err(|error| error.to_string())?;
    let host = &target.host;
    let id = format!("{}-{number}", target.run);
    let close = if kind == Kind::New { "connection: close\r\n" } else { "" };
    let text = match kind {
        Kind::Kept | Kind::New => format!("GET /?n={number} HTTP/1.1\r\nhost: {host}\r\n{close}\r\n"),
        Kind::Slow => format!("GET /slow?ms={} HTTP/1.1\r\nhost: {host}\r\n\r\n", 100 + number * 37 % 1400),
        Kind::Post => {
            let body = format!("{id} {}", "b".repeat((number * 131 % 4096) as usize));
            format!("POST /echo HTTP/1.1\r\nhost: {host}\r\nx-id: {id}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
    };
    stream.write_all(text.as_bytes()).map_err(|error| format!("reset: writing: {}", error.kind()))?;
    let (status, body, reusable) = read_answer(connection)?;
    match status {
        200 => {}
        502..=504 => return Err(format!("gateway: {status}")),
        _ => return Err(format!("status: {status}")),
    }
    let field = |name: &str| body.split(&format!("\"{name}\":")).nth(1).map(|rest| rest.split([',', '}']).next().unwrap_or("").trim_matches('"'));
    let Some(boot) = field("boot").and_then(|text| text.parse().ok()) else { return Err("wrong: no boot id".into()) };
    if kind == Kind::Post {
        if !body.contains(&format!("\"body\":\"{id} ")) {
            return Err("wrong: another body came back".into());
        }
        if let Some(ids) = target.ids.lock().unwrap().as_mut() {
            let _ = writeln!(ids, "{id}");
        }
    }
    let answer = Answer { boot, revision: field("revision").unwrap_or("").to_owned(), stopping: field("stopping") == Some("true") };
    Ok((answer, reusable))
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<(u16, String, bool), String> {
    let failed = |what: &str, error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => format!("timeout: {what}"),
        kind => format!("reset: {what}: {kind}"),
    };
    let mut line = String::new();
    if connection.read_line(&mut line).map_err(|error| failed("head", error))? == 0 {
        return Err("reset: no answer".into());
    }
    let status = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).ok_or("wrong: status line")?;
    let (mut length, mut reusable, mut chunked) = (None, true, false);
    loop {
        line.clear();
        if connection.read_line(&mut line).map_err(|error| failed("head", error))? == 0 {
            return Err("truncated: head".into());
        }
        let text = line.trim_end().to_ascii_lowercase();
        let Some((name, value)) = text.split_once(':') else { break };
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse::<usize>().ok(),
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => reusable = false,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            line.clear();
            connection.read_line(&mut line).map_err(|error| failed("body", error))?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| "truncated: body")?;
            let mut chunk = vec![0; size + 2];
            connection.read_exact(&mut chunk).map_err(|error| failed("body", error))?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else {
        body = vec![0; length.unwrap_or(0)];
        connection.read_exact(&mut body).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "truncated: body".to_owned(),
            _ => failed("body", error),
        })?;
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned(), reusable))
}

fn report(outcomes: &[Outcome], sent: u64, end: Duration, backwards: u64) {
    let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
    let mut examples: Vec<String> = Vec::new();
    let mut revisions: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut latencies, mut successes, mut stopping) = (Vec::new(), Vec::new(), 0);
    for outcome in outcomes {
        match &outcome.result {
            Ok(answer) => {
                successes.push(outcome.done);
                stopping += u64::from(answer.stopping);
                *revisions.entry(&answer.revision).or_default() += 1;
                if outcome.kind != Kind::Slow {
                    latencies.push(outcome.latency);
                }
            }
            Err(text) => {
                *failures.entry(text.split(':').next().unwrap_or(text)).or_default() += 1;
                if examples.len() < 20 {
                    examples.push(format!("\"at {} ms: {text}\"", outcome.intended.as_millis()));
                }
            }
        }
    }
    latencies.sort();
    successes.sort();
    let gap = successes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(end);
    let at = |share: f64| latencies.get(((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1))).map_or(0.0, |l| l.as_secs_f64() * 1000.0);
    let failed: u64 = failures.values().sum();
    let classes: Vec<String> = failures.iter().map(|(class, count)| format!("\"{class}\":{count}")).collect();
    let revisions: Vec<String> = revisions.iter().map(|(revision, count)| format!("\"{revision}\":{count}")).collect();
    println!(
        "{{\"sent\":{sent},\"ok\":{},\"failed\":{failed},\"failures\":{{{}}},\"examples\":[{}],\"seconds\":{:.3},\"gap_ms\":{:.1},\
         \"p50_ms\":{:.2},\"p99_ms\":{:.2},\"p999_ms\":{:.2},\"max_ms\":{:.2},\"backwards\":{backwards},\"stopping\":{stopping},\"revisions\":{{{}}}}}",
        outcomes.len() as u64 - failed,
        classes.join(","),
        examples.join(","),
        end.as_secs_f64(),
        gap.as_secs_f64() * 1000.0,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        revisions.join(",")
    );
}
