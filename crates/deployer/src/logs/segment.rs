//! The files of one stream: `<first offset>.log`, only the last one is written. The name keeps the offset even when every line
//! of the file was purged, so offsets never go back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::{self, Record};

#[derive(Debug, Clone)]
pub struct Segment {
    pub path: PathBuf,
    pub first: u64,
    pub size_bytes: u64,
}

/// What a stream looks like when it is opened.
#[derive(Default)]
pub struct Opened {
    pub segments: Vec<Segment>,
    pub next: u64,
    pub ended: Option<String>,
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// Lists the segments and cuts a torn last line off.
pub fn open(folder: &Path) -> io::Result<Opened> {
    let mut segments = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened { next: 1, ..Opened::default() }),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(first), Some("log")) = (first, path.extension().and_then(|end| end.to_str())) {
            let size_bytes = fs::metadata(&path)?.len();
            segments.push(Segment { path, first, size_bytes });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    let mut opened = Opened { next: 1, ..Opened::default() };
    if let Some(last) = segments.last_mut() {
        let bytes = fs::read(&last.path)?;
        let complete = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        if complete < bytes.len() {
            OpenOptions::new().write(true).open(&last.path)?.set_len(u64::try_from(complete).unwrap_or(0))?;
            last.size_bytes = u64::try_from(complete).unwrap_or(0);
        }
        opened.next = last.first;
        if let Some(record) = record::parse(&bytes).last() {
            opened.next = record.offset + 1;
            opened.ended = record.end;
        }
    }
    opened.segments = segments;
    Ok(opened)
}

/// A new, empty segment, open for appending.
pub fn create(folder: &Path, first: u64) -> io::Result<(Segment, File)> {
    fs::create_dir_all(folder)?;
    let path = segment_path(folder, first);
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    Ok((Segment { path, first, size_bytes: 0 }, file))
}

pub fn append_to(segment: &Segment) -> io::Result<File> {
    OpenOptions::new().append(true).open(&segment.path)
}

/// Keeps only the records for which `keep` holds. Answers the bytes freed.
pub fn rewrite(segment: &mut Segment, keep: impl Fn(&Record) -> bool) -> io::Result<u64> {
    let bytes = fs::read(&segment.path)?;
    let mut kept = Vec::new();
    let mut changed = false;
    for record in record::parse(&bytes) {
        if keep(&record) {
            kept.extend(serde_json::to_vec(&record)?);
            kept.push(b'\n');
        } else {
            changed = true;
        }
    }
    if !changed {
        return Ok(0);
    }
    let temporary = segment.path.with_extension("writing");
    let mut file = File::create(&temporary)?;
    file.write_all(&kept)?;
    file.sync_all()?;
    fs::rename(&temporary, &segment.path)?;
    let size = u64::try_from(kept.len()).unwrap_or(0);
    let freed = segment.size_bytes.saturating_sub(size);
    segment.size_bytes = size;
    Ok(freed)
}
