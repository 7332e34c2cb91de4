//! An app that starts in a millisecond and misbehaves on demand. Standard library only; one thread per connection.
//!
//! Variables, read at the start:
//!   PORT (8080)            port that it listens on; LISTEN_PORT overrides it (to listen on another than it was told)
//!   MESSAGE                shown in every answer
//!   START_DELAY_MS         listens only after this time          STOP_DELAY_MS     stays this long after SIGTERM
//!   IGNORE_TERM=1          SIGTERM does nothing                  EXIT_CODE=n       exits at once
//!   EXIT_AFTER_MS=n        exits with 1 after this time          EAT_MEMORY_MB=n   takes memory after the start
//!   HEALTH=never|hang|redirect|NN  always 503; no answer; 302 to /; fails NN % of the time
//!   FORK=1                 forks without end                     FLOOD=1           writes log lines as fast as it can
//!   PRINT=NAME,NAME        prints these variables: plain, base64, percent-encoded
//!   ANSWER_DELAY_MS        delay of every answer
//! Paths: / /healthz /slow?ms= /echo (POST; header x-id is printed as `posted ID`) /env?name= /headers /log?text=&count=
//!   /sse?count=&ms= /ws /bytes?count= /crash /eat?mb= /connect?to= /file?path= (GET reads, POST appends)

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    process::{Command, exit},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const SIGTERM: i32 = 15;

static STOPPING: AtomicBool = AtomicBool::new(false);
static IN_FLIGHT: AtomicI64 = AtomicI64::new(0);
static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static BOOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    fn signal(signal: i32, handler: usize) -> usize;
    fn fork() -> i32;
}

extern "C" fn on_term(_: i32) {
    STOPPING.store(true, SeqCst);
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn sleep_ms(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

fn main() {
    if let Some(code) = number("EXIT_CODE") {
        eprintln!("behave exits at once with {code}");
        exit(code as i32);
    }
    let handler = if env::var("IGNORE_TERM").is_ok() { 1 } else { on_term as *const () as usize };
    unsafe { signal(SIGTERM, handler) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    BOOT.store(now.as_micros() as u64, SeqCst);
    print_secrets();
    if env::var("FORK").is_ok() {
        loop {
            if unsafe { fork() } == 0 {
                sleep_ms(3_600_000);
            }
        }
    }
    sleep_ms(number("START_DELAY_MS").unwrap_or(0));
    let port = number("LISTEN_PORT").or(number("PORT")).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port as u16)).expect("port is taken");
    println!("behave {} listens on {port}", revision());
    if let Some(ms) = number("EXIT_AFTER_MS") {
        thread::spawn(move || {
            sleep_ms(ms);
            eprintln!("behave exits after {ms} ms");
            exit(1);
        });
    }
    if let Some(mb) = number("EAT_MEMORY_MB") {
        thread::spawn(move || eat(mb));
    }
    if env::var("FLOOD").is_ok() {
        thread::spawn(flood);
    }
    thread::spawn(stop_when_told);
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let _ = serve(stream);
        });
    }
}

fn stop_when_told() {
    while !STOPPING.load(SeqCst) {
        sleep_ms(2);
    }
    println!("behave was told to stop");
    sleep_ms(number("STOP_DELAY_MS").unwrap_or(0));
    for _ in 0..60_000 {
        if IN_FLIGHT.load(SeqCst) == 0 {
            break;
        }
        sleep_ms(1);
    }
    exit(0);
}

fn revision() -> String {
    fs::read_to_string("/revision").map(|text| text.trim().to_owned()).unwrap_or_else(|_| "none".into())
}

fn eat(mb: u64) {
    let mut all = Vec::new();
    for _ in 0..mb {
        all.push(vec![1_u8; 1024 * 1024]);
        sleep_ms(1);
    }
    println!("behave ate {} MiB", all.len());
    sleep_ms(3_600_000);
}

fn flood() {
    let line = format!("flood {}\n", "x".repeat(1000));
    let block = line.repeat(64);
    let mut out = std::io::stdout().lock();
    loop {
        let _ = out.write_all(block.as_bytes());
    }
}

fn print_secrets() {
    for name in env::var("PRINT").unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        let value = env::var(name).unwrap_or_default();
        let percent: String = value.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect();
        println!("plain {name}={value}");
        println!("base64 {name}={}", base64(value.as_bytes()));
        println!("percent {name}={percent}");
    }
}

struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    fn number(&self, name: &str, or: u64) -> u64 {
        self.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(or)
    }
    fn text(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

fn decode(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'%' if at + 2 < bytes.len() => {
                out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap_or(b'?'));
                at += 2;
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next().unwrap_or("").to_owned(), parts.next().unwrap_or("/").to_owned());
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect();
    let mut request = Request { method, path: path.to_owned(), query, headers, body: Vec::new() };
    if let Some(length) = request.header("content-length").and_then(|text| text.parse::<usize>().ok()) {
        request.body = vec![0; length.min(BODY_BYTES_MAX)];
        reader.read_exact(&mut request.body)?;
    } else if request.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or("0"), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk[..size]);
        }
    }
    Ok(Some(request))
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        IN_FLIGHT.fetch_add(1, SeqCst);
        let result = answer(&request, &mut out, &mut reader);
        IN_FLIGHT.fetch_sub(1, SeqCst);
        if !result? {
            break;
        }
    }
    Ok(())
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => { out.push('\\'); out.push(c) }
            c if (c as u32) < 32 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

fn send(out: &mut TcpStream, status: u16, kind: &str, extra: &str, body: &[u8]) -> std::io::Result<bool> {
    let mut all = format!("HTTP/1.1 {status} Behave\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{extra}\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    out.write_all(&all)?;
    Ok(true)
}

fn json(out: &mut TcpStream, status: u16, fields: &str) -> std::io::Result<bool> {
    let body = format!(
        "{{\"revision\":{},\"release\":{},\"boot\":{},\"sequence\":{},\"host\":{},\"message\":{},\"stopping\":{}{}{fields}}}\n",
        quote(&revision()),
        quote(&env::var("SEAWAY_RELEASE").unwrap_or_default()),
        BOOT.load(SeqCst),
        SEQUENCE.fetch_add(1, SeqCst),
        quote(&env::var("HOSTNAME").unwrap_or_default()),
        quote(&env::var("MESSAGE").unwrap_or_default()),
        STOPPING.load(SeqCst),
        if fields.is_empty() { "" } else { "," },
    );
    send(out, status, "application/json", "", body.as_bytes())
}

fn answer(request: &Request, out: &mut TcpStream, reader: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    if let Some(ms) = number("ANSWER_DELAY_MS") {
        sleep_ms(ms);
    }
    match request.path.as_str() {
        "/healthz" => health(out),
        "/slow" => {
            sleep_ms(request.number("ms", 1000));
            json(out, 200, "\"slow\":true")
        }
        "/echo" => {
            if let Some(id) = request.header("x-id") {
                println!("posted {id}");
            }
            let fields = format!("\"size\":{},\"body\":{}", request.body.len(), quote(&String::from_utf8_lossy(&request.body)));
            json(out, 200, &fields)
        }
        "/env" => match env::var(request.text("name")) {
            Ok(value) => json(out, 200, &format!("\"value\":{}", quote(&value))),
            Err(_) => json(out, 404, "\"value\":null"),
        },
        "/headers" => {
            let all: Vec<String> = request.headers.iter().map(|(k, v)| format!("[{},{}]", quote(k), quote(v))).collect();
            json(out, 200, &format!("\"method\":{},\"headers\":[{}]", quote(&request.method), all.join(",")))
        }
        "/log" => {
            for n in 0..request.number("count", 1) {
                println!("{} {n}", request.text("text"));
            }
            json(out, 200, "")
        }
        "/sse" => events(request, out),
        "/ws" => web_socket(request, out, reader),
        "/bytes" => send(out, 200, "application/octet-stream", "", &vec![b'x'; request.number("count", 1024) as usize]),
        "/crash" => {
            eprintln!("behave crashes");
            exit(3)
        }
        "/eat" => {
            let mb = request.number("mb", 10_000);
            thread::spawn(move || eat(mb));
            json(out, 200, "")
        }
        "/run" => {
            let done = Command::new("/bin/sh").arg("-c").arg(request.text("command")).output()?;
            json(out, 200, &format!("\"out\":{}", quote(&String::from_utf8_lossy(&done.stdout))))
        }
        "/connect" => {
            let reached = request.text("to").to_socket_addrs().ok().and_then(|mut all| all.next())
                .is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok());
            json(out, 200, &format!("\"reached\":{reached}"))
        }
        "/file" => {
            if request.method == "POST" {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(request.text("path"))?;
                file.write_all(&request.body)?;
            }
            let text = fs::read_to_string(request.text("path")).unwrap_or_default();
            json(out, 200, &format!("\"text\":{}", quote(&text)))
        }
        _ => json(out, 200, &format!("\"path\":{}", quote(&request.path))),
    }
}

fn health(out: &mut TcpStream) -> std::io::Result<bool> {
    match env::var("HEALTH").as_deref() {
        Ok("never") => json(out, 503, "\"healthy\":false"),
        Ok("hang") => {
            sleep_ms(3_600_000);
            Ok(false)
        }
        Ok("redirect") => send(out, 302, "text/plain", "location: /\r\n", b""),
        Ok(percent) if SEQUENCE.fetch_add(37, SeqCst) % 100 < percent.parse().unwrap_or(0) => json(out, 503, "\"healthy\":false"),
        _ => json(out, 200, "\"healthy\":true"),
    }
}

fn events(request: &Request, out: &mut TcpStream) -> std::io::Result<bool> {
    out.write_all(b"HTTP/1.1 200 Behave\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nconnection: close\r\n\r\n")?;
    for n in 0..request.number("count", 5) {
        out.write_all(format!("id: {n}\ndata: {{\"n\":{n},\"boot\":{}}}\n\n", BOOT.load(SeqCst)).as_bytes())?;
        sleep_ms(request.number("ms", 100));
    }
    Ok(false)
}

/// Echoes text frames of less than 126 bytes; `time` starts nothing, a close frame is answered.
fn web_socket(request: &Request, out: &mut TcpStream, reader: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let key = request.header("sec-websocket-key").unwrap_or("").to_owned() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = base64(&sha1(key.as_bytes()));
    out.write_all(format!("HTTP/1.1 101 Behave\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n").as_bytes())?;
    // A WebSocket is not a request that a stop waits for.
    IN_FLIGHT.fetch_sub(1, SeqCst);
    let result = frames(out, reader);
    IN_FLIGHT.fetch_add(1, SeqCst);
    result.map(|()| false)
}

fn frames(out: &mut TcpStream, reader: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    loop {
        let (mut head, mut mask) = ([0; 2], [0; 4]);
        reader.read_exact(&mut head)?;
        reader.read_exact(&mut mask)?;
        let mut body = vec![0; usize::from(head[1] & 0x7f)];
        reader.read_exact(&mut body)?;
        for (at, byte) in body.iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        let mut frame = vec![head[0], body.len() as u8];
        frame.extend_from_slice(&body);
        out.write_all(&frame)?;
        if head[0] & 0x0f == 8 {
            return Ok(());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = (0..3).fold(0_u32, |n, at| n << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            out.push(if at <= chunk.len() { SIGNS[(n >> (18 - 6 * at) & 63) as usize] as char } else { '=' });
        }
    }
    out
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut message = bytes.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    let mut state = [0x67452301_u32, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0];
    for block in message.chunks(64) {
        let mut words: Vec<u32> = block.chunks(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]])).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (f, k) = match at {
                0..20 => (b & c | !b & d, 0x5A827999),
                20..40 => (b ^ c ^ d, 0x6ED9EBA1),
                40..60 => (b & c | b & d | c & d, 0x8F1BBCDC),
                _ => (b ^ c ^ d, 0xCA62C1D6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut out = [0; 20];
    for (at, word) in state.iter().enumerate() {
        out[at * 4..at * 4 + 4].copy_from_slice(&word.to_be_bytes());
    }
    out
}
