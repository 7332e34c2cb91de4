//! As much HTTP/1.1 as the counter needs.

use std::io::{Error, ErrorKind, Read, Result, Write};

const HEAD_BYTES_MAX: usize = 16 * 1024;

pub struct Request {
    pub path: String,
}

/// The next request of a connection, `None` at its end.
pub fn read(stream: &mut impl Read) -> Result<Option<Request>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&head).map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
        if parsed.is_complete() {
            let path = request.path.unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
            return Ok(Some(Request { path }));
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "head too long"));
        }
        match stream.read(&mut chunk)? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
}

pub fn write(stream: &mut impl Write, status: u16, body: &str) -> Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
