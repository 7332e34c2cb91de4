//! The build context as a tar stream: made while it is sent, never as a whole in memory or on disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::ignore::Ignore;

const CHUNK_BYTES: usize = 128 * 1024;
const CHUNKS_AHEAD: usize = 8;

/// What is sent.
pub struct Context {
    pub folder: PathBuf,
    pub ignore: Ignore,
    /// Files added to those of the folder or put in their place: path, content, mode.
    pub extra: Vec<(String, Vec<u8>, u32)>,
    /// Put before every path of the folder.
    pub prefix: String,
}

/// Starts sending; the reader's end stops it.
pub fn stream(context: Context) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut out = Chunks { sender: sender.clone(), buffer: Vec::with_capacity(CHUNK_BYTES) };
        if let Err(error) = write(&context, &mut out).and_then(|()| out.flush()) {
            // A reader that is gone needs no reason.
            let _gone = sender.blocking_send(Err(error));
        }
    });
    receiver
}

struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES)));
        self.sender.blocking_send(Ok(chunk)).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}

fn write(context: &Context, out: &mut Chunks) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    for (path, content, mode) in &context.extra {
        let mut header = header(*mode);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let mut entries = std::fs::read_dir(context.folder.join(&folder))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| io::Error::other(format!("the file name {} is not UTF-8", name.display())))?;
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let metadata = entry.metadata()?;
            let left_out = context.ignore.leaves_out(&path);
            if metadata.is_dir() {
                if !left_out {
                    let mut header = header(metadata.permissions().mode() & 0o777);
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, format!("{}{path}/", context.prefix), io::empty())?;
                }
                if !left_out || context.ignore.may_keep_below(&path) {
                    folders.push(path);
                }
                continue;
            }
            let placed = format!("{}{path}", context.prefix);
            if left_out || context.extra.iter().any(|(extra, _, _)| *extra == placed) {
                continue;
            }
            append(&mut archive, &context.folder.join(&path), &placed, &metadata)?;
        }
    }
    archive.finish()
}

/// Owner and time are left out of it, so that the cache sees content only.
fn header(mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append(archive: &mut tar::Builder<&mut Chunks>, source: &Path, placed: &str, metadata: &std::fs::Metadata) -> io::Result<()> {
    let mut header = header(metadata.mode() & 0o777);
    if metadata.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        return archive.append_link(&mut header, placed, std::fs::read_link(source)?);
    }
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file: File = std::fs::OpenOptions::new().read(true).custom_flags(nofollow).open(source)?;
    header.set_size(metadata.len());
    archive.append_data(&mut header, placed, io::Read::take(file, metadata.len()))
}
