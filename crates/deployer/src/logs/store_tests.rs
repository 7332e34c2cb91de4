use super::*;
use chrono::TimeDelta;
use domain::id::{DeploymentId, ServiceId};
use domain::{FixedClock, SeededEntropy};
use futures_util::StreamExt;

struct World {
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    store: Arc<LogStore>,
    stream: LogStream,
}

const SMALL: LogLimits = LogLimits { segment_bytes_max: 500, stream_bytes_max: 3_000 };

fn world(limits: LogLimits) -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::default());
    let store = Arc::new(LogStore::open(folder.path().into(), clock.clone(), limits).unwrap());
    let stream = LogStream::Service(ServiceId::new(clock.as_ref(), &SeededEntropy::new(1)));
    World { folder, clock, store, stream }
}

impl World {
    fn reopen(&mut self, limits: LogLimits) {
        self.store = Arc::new(LogStore::open(self.folder.path().into(), self.clock.clone(), limits).unwrap());
    }

    fn say(&self, from: u32, to: u32) {
        for number in from..=to {
            self.store.say(self.stream, "web.1", format!("line {number}")).unwrap();
        }
    }

    fn texts(&self, query: &LogQuery) -> Vec<String> {
        texts(self.store.read(query).unwrap().events)
    }
}

fn texts(events: Vec<LogEvent>) -> Vec<String> {
    events
        .into_iter()
        .map(|event| match event {
            LogEvent::Line(line) => line.text,
            LogEvent::Gap { dropped, .. } => format!("gap {dropped}"),
            LogEvent::End { status } => format!("end {status}"),
        })
        .collect()
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let world = world(SMALL);
    world.say(1, 25);
    let mut query = LogQuery { limit: 10, ..LogQuery::whole(world.stream) };
    let mut all = Vec::new();
    loop {
        let page = world.store.read(&query).unwrap();
        if page.events.is_empty() {
            break;
        }
        assert!(page.events.len() <= 10);
        query.after = page.next;
        all.extend(texts(page.events));
    }
    assert_eq!(all, (1..=25).map(|number| format!("line {number}")).collect::<Vec<_>>());
}

#[test]
fn filters_and_tail() {
    let world = world(SMALL);
    world.say(1, 20);
    let begin = world.clock.now();
    world.clock.advance(TimeDelta::seconds(10));
    world.say(21, 30);
    let whole = LogQuery::whole(world.stream);
    assert_eq!(world.texts(&LogQuery { tail: Some(3), ..whole.clone() }), ["line 28", "line 29", "line 30"]);
    let contains = LogQuery { contains: Some("line 2".into()), ..whole.clone() };
    assert_eq!(world.texts(&contains).len(), 11);
    assert_eq!(world.texts(&LogQuery { tail: Some(2), ..contains }), ["line 28", "line 29"]);
    let later = LogQuery { since: Some(begin + TimeDelta::seconds(1)), ..whole.clone() };
    assert_eq!(world.texts(&later).len(), 10);
    assert_eq!(world.texts(&LogQuery { until: Some(begin + TimeDelta::seconds(1)), ..whole }).len(), 20);
}

#[test]
fn a_torn_last_line_is_ignored_and_offsets_go_on() {
    let mut world = world(LogLimits::default());
    world.say(1, 3);
    let folder = world.store.folder_of(world.stream);
    let path = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"o\":4,\"t\":1,\"x\":\"to").unwrap();
    world.reopen(LogLimits::default());
    world.say(4, 4);
    let events = world.store.read(&LogQuery::whole(world.stream)).unwrap().events;
    let offsets: Vec<u64> = events.iter().map(|event| if let LogEvent::Line(line) = event { line.offset } else { 0 }).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
    assert_eq!(texts(events), ["line 1", "line 2", "line 3", "line 4"]);
}

#[test]
fn the_oldest_lines_go_when_the_stream_is_full() {
    let world = world(SMALL);
    world.say(1, 500);
    let lines = world.texts(&LogQuery { limit: 5_000, ..LogQuery::whole(world.stream) });
    assert!(lines.len() < 100 && lines.last().unwrap() == "line 500", "{} lines", lines.len());
    let bytes: u64 = fs::read_dir(world.store.folder_of(world.stream)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= SMALL.stream_bytes_max + SMALL.segment_bytes_max + 200, "{bytes}");
}

#[test]
fn purge_deletes_to_the_line_and_offsets_never_go_back() {
    let mut world = world(SMALL);
    world.say(1, 20);
    world.clock.advance(TimeDelta::days(2));
    let middle = world.clock.now();
    world.say(21, 22);
    assert!(world.store.purge(None, middle).unwrap() > 0);
    assert_eq!(world.texts(&LogQuery::whole(world.stream)), ["line 21", "line 22"]);
    world.store.purge(Some(world.stream), middle + TimeDelta::days(1)).unwrap();
    assert!(world.texts(&LogQuery::whole(world.stream)).is_empty());
    world.reopen(SMALL);
    world.say(23, 23);
    let events = world.store.read(&LogQuery::whole(world.stream)).unwrap().events;
    assert!(matches!(events.as_slice(), [LogEvent::Line(line)] if line.offset > 20), "{events:?}");
    let bytes: Vec<u8> =
        fs::read_dir(world.store.folder_of(world.stream)).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("line 21"), "purged lines must not stay on disk");
}

#[test]
fn a_purged_and_ended_stream_is_gone_from_disk() {
    let world = world(SMALL);
    let stream = LogStream::Deployment(DeploymentId::new(world.clock.as_ref(), &SeededEntropy::new(2)));
    world.store.say(stream, "build", "x").unwrap();
    world.store.close(stream, "live").unwrap();
    world.clock.advance(TimeDelta::days(1));
    world.store.purge(None, world.clock.now()).unwrap();
    assert!(!world.store.folder_of(stream).exists());
}

#[tokio::test]
async fn a_follower_sees_what_was_and_what_comes_and_the_end() {
    let world = world(SMALL);
    world.say(1, 5);
    let mut follower = world.store.follow(LogQuery { tail: Some(2), ..LogQuery::whole(world.stream) }).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(follower.next().await.unwrap());
    }
    let writer = Arc::clone(&world.store);
    let stream = world.stream;
    let task = tokio::spawn(async move {
        for number in 6..=200 {
            writer.say(stream, "web.1", format!("line {number}")).unwrap();
            if number % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
        writer.gap(stream, "web.1", 7).unwrap();
        writer.close(stream, "done").unwrap();
    });
    while let Some(event) = follower.next().await {
        seen.push(event);
    }
    task.await.unwrap();
    let seen = texts(seen);
    assert_eq!(seen.first().map(String::as_str), Some("line 4"));
    assert_eq!(&seen[seen.len() - 2..], ["gap 7", "end done"]);
}

#[tokio::test]
async fn a_follower_misses_nothing_when_nothing_is_dropped() {
    let world = world(LogLimits::default());
    let mut follower = world.store.follow(LogQuery::whole(world.stream)).unwrap();
    let writer = Arc::clone(&world.store);
    let stream = world.stream;
    let task = tokio::task::spawn_blocking(move || {
        for number in 1..=3_000 {
            writer.say(stream, "web.1", format!("line {number}")).unwrap();
        }
        writer.close(stream, "done").unwrap();
    });
    let mut seen = Vec::new();
    while let Some(event) = follower.next().await {
        seen.push(event);
    }
    task.await.unwrap();
    let expected: Vec<String> = (1..=3_000).map(|number| format!("line {number}")).chain(["end done".into()]).collect();
    assert_eq!(texts(seen), expected);
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let world = world(LogLimits::default());
    world.store.say(world.stream, "web.1", "ä".repeat(LINE_BYTES_MAX)).unwrap();
    let lines = world.texts(&LogQuery::whole(world.stream));
    assert!(lines[0].len() <= LINE_BYTES_MAX && lines[0].chars().all(|letter| letter == 'ä'));
}
