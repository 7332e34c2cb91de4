//! A body on its way through a compressor. What the app sent is sent on as soon as the app pauses: nothing is held back.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::negotiate::Coding;

/// Compressors at the same time; above it answers go out as they are. One takes up to a MiB (brotli).
pub const AT_ONCE_MAX: usize = 512;
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
/// 2^18 bytes: a quarter of a MiB.
const BROTLI_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4_096;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_BITS: u32 = 18;

static AT_ONCE: AtomicUsize = AtomicUsize::new(0);

pub struct Compressor {
    encoder: Encoder,
    /// Bytes went in since the last flush.
    is_dirty: bool,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Done,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// A place among [`AT_ONCE_MAX`].
fn take_place() -> bool {
    if AT_ONCE.fetch_add(1, Ordering::Relaxed) < AT_ONCE_MAX {
        return true;
    }
    AT_ONCE.fetch_sub(1, Ordering::Relaxed);
    false
}

impl Compressor {
    /// `None`: too many run already.
    pub fn try_new(coding: Coding) -> Option<Self> {
        if !take_place() {
            return None;
        }
        // From here on dropping it gives the place back.
        let mut compressor = Self { encoder: Encoder::Done, is_dirty: false };
        compressor.encoder = match coding {
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Brotli => Encoder::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                encoder.window_log(ZSTD_WINDOW_BITS).ok()?;
                Encoder::Zstd(encoder)
            }
        };
        Some(compressor)
    }

    /// What came out so far; often nothing.
    pub fn feed(&mut self, data: &[u8]) -> io::Result<Bytes> {
        self.is_dirty |= !data.is_empty();
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.write_all(data)?,
            Encoder::Brotli(encoder) => encoder.write_all(data)?,
            Encoder::Zstd(encoder) => encoder.write_all(data)?,
            Encoder::Done => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(self.take())
    }

    /// Everything that went in, in a form that can be decoded; empty when nothing came since the last one.
    pub fn flush(&mut self) -> io::Result<Bytes> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(Bytes::new());
        }
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.flush()?,
            Encoder::Brotli(encoder) => encoder.flush()?,
            Encoder::Zstd(encoder) => encoder.flush()?,
            Encoder::Done => {}
        }
        Ok(self.take())
    }

    /// The rest; the compressor is of no more use.
    pub fn finish(&mut self) -> io::Result<Bytes> {
        let rest = match std::mem::replace(&mut self.encoder, Encoder::Done) {
            Encoder::Gzip(encoder) => encoder.finish()?,
            Encoder::Brotli(encoder) => encoder.into_inner(),
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Done => Vec::new(),
        };
        Ok(Bytes::from(rest))
    }

    fn take(&mut self) -> Bytes {
        let out = match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Brotli(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Done => return Bytes::new(),
        };
        Bytes::from(std::mem::take(out))
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        AT_ONCE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
            Coding::Brotli => drop(brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut out).unwrap()),
            Coding::Zstd => drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap()),
        }
        out
    }

    #[test]
    fn what_comes_out_is_what_went_in_and_a_flush_holds_nothing_back() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|number| format!("line {} ", number % 977).into_bytes()).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut compressor = Compressor::try_new(coding).unwrap();
            let mut out = Vec::new();
            for (index, chunk) in text.chunks(10_007).enumerate() {
                out.extend_from_slice(&compressor.feed(chunk).unwrap());
                if index % 7 == 0 {
                    out.extend_from_slice(&compressor.flush().unwrap());
                    assert_eq!(compressor.flush().unwrap().len(), 0, "nothing new, nothing sent");
                }
            }
            out.extend_from_slice(&compressor.finish().unwrap());
            assert!(out.len() * 4 < text.len(), "{coding:?}: {} of {}", out.len(), text.len());
            assert!(decode(coding, &out) == text, "{coding:?}");
            assert!(compressor.feed(b"x").is_err());

            let mut empty = Compressor::try_new(coding).unwrap();
            assert_eq!(decode(coding, &empty.finish().unwrap()), b"");
        }
    }
}
