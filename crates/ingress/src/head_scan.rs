//! A second look at raw HTTP/1.1 request heads, because a lenient parser hides what an attacker needs hidden.
//!
//! hyper accepts bare line feeds and a head with both Content-Length and Transfer-Encoding. What it accepts is framed anew
//! before it reaches a replica, so no replica can be confused; but a proxy in front of us could be. Such a request is
//! refused and its connection closed. Heads behind a chunked body are seen when the request before has ended.

const HEAD_KEPT_MAX: usize = 128 * 1024;

#[derive(Debug)]
pub struct HeadScan {
    state: State,
    /// The beginning of a head whose end has not come yet.
    partial: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    /// A chunked body or a tunnel: not followed.
    Blind,
}

/// What a head says about the bytes behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Unknown,
    Malformed,
}

impl Default for HeadScan {
    fn default() -> Self {
        Self { state: State::Head, partial: Vec::new() }
    }
}

impl HeadScan {
    /// Looks at the next bytes of the connection; `false` when a head is malformed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.state {
                State::Blind => return true,
                State::Body(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
                    self.state = if left == skipped { State::Head } else { State::Body(left - skipped) };
                }
                State::Head => match self.head(bytes) {
                    Ok(rest) => bytes = rest,
                    Err(()) => return false,
                },
            }
        }
        true
    }

    /// The next byte begins a head, whatever was before.
    pub fn restart(&mut self) {
        if self.state == State::Blind {
            self.state = State::Head;
            self.partial.clear();
        }
    }

    /// Part of a head has come, its end has not.
    pub fn is_inside_head(&self) -> bool {
        self.state == State::Head && !self.partial.is_empty()
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ()> {
        let before = self.partial.len();
        if before == 0 {
            // Empty lines before a request line are legal and mean nothing.
            let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if skipped > 0 {
                return Ok(bytes.get(skipped..).unwrap_or_default());
            }
            let Some(end) = head_end(bytes, 0) else {
                self.partial.extend_from_slice(bytes);
                return Ok(&[]);
            };
            self.enter(framing(bytes.get(..end).unwrap_or_default()))?;
            return Ok(bytes.get(end..).unwrap_or_default());
        }
        if before + bytes.len() > HEAD_KEPT_MAX {
            // The parser answers 431; there is nothing left to follow.
            self.state = State::Blind;
            self.partial = Vec::new();
            return Ok(&[]);
        }
        self.partial.extend_from_slice(bytes);
        let Some(end) = head_end(&self.partial, before.saturating_sub(3)) else {
            return Ok(&[]);
        };
        let framing = framing(self.partial.get(..end).unwrap_or_default());
        self.partial = Vec::new();
        self.enter(framing)?;
        Ok(bytes.get(end.saturating_sub(before)..).unwrap_or_default())
    }

    fn enter(&mut self, framing: Framing) -> Result<(), ()> {
        self.state = match framing {
            Framing::Malformed => return Err(()),
            Framing::Unknown => State::Blind,
            Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Body(length),
        };
        Ok(())
    }
}

/// Just behind the empty line that ends the head, counting a bare line feed as a line end as the parser does.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(feed) = bytes.get(at..)?.iter().position(|byte| *byte == b'\n').map(|step| at + step) {
        match (bytes.get(feed + 1), bytes.get(feed + 2)) {
            (Some(b'\n'), _) => return Some(feed + 2),
            (Some(b'\r'), Some(b'\n')) => return Some(feed + 3),
            _ => at = feed + 1,
        }
    }
    None
}

fn framing(head: &[u8]) -> Framing {
    let mut length: Option<u64> = None;
    let mut is_chunked = false;
    let mut is_upgrade = false;
    for (index, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Framing::Malformed;
        };
        if line.contains(&b'\r') || line.contains(&0) || matches!(line.first(), Some(b' ' | b'\t')) {
            return Framing::Malformed;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':').filter(|_| index > 0) else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let parsed = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(parsed) = parsed.and_then(|text| text.parse().ok()).filter(|_| length.is_none()) else {
                return Framing::Malformed;
            };
            length = Some(parsed);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Framing::Malformed;
            }
            is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            is_upgrade = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Framing::Malformed,
        _ if is_chunked || is_upgrade => Framing::Unknown,
        (length, _) => Framing::Length(length.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn table_of_heads() {
        for (head, wanted) in [
            (&b"Host: a\r\n\r\n"[..], true),
            (b"Content-Length: 0\r\n\r\n", true),
            (b"Transfer-Encoding: chunked\r\n\r\n", true),
            (b"Transfer-Encoding: CHUNKED\r\n\r\n", true),
            (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            (b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", false),
            (b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", false),
            (b"Content-Length: +1\r\n\r\n", false),
            (b"Content-Length: 1, 1\r\n\r\n", false),
            (b"Transfer-Encoding: gzip, chunked\r\n\r\n", false),
            (b"Transfer-Encoding: xchunked\r\n\r\n", false),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            (b"A: b\r\n folded\r\n\r\n", false),
            (b"A: b\nHost: a\r\n\r\n", false),
            (b"A: b\r\n\n", false),
            (b"A: b\rc\r\n\r\n", false),
        ] {
            let whole = [b"POST / HTTP/1.1\r\n", head].concat();
            assert_eq!(HeadScan::default().feed(&whole), wanted, "{}", String::from_utf8_lossy(&whole));
            // Byte by byte gives the same answer.
            let mut scan = HeadScan::default();
            let by_byte = whole.iter().all(|byte| scan.feed(&[*byte]));
            assert_eq!(by_byte, wanted, "by byte: {}", String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn follows_bodies_and_pipelined_heads() {
        let bad = b"GET / HTTP/1.1\nHost: a\r\n\r\n";
        let sized = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc";
        assert!(HeadScan::default().feed(&[sized, GOOD, sized, GOOD].concat()));
        assert!(!HeadScan::default().feed(&[sized, GOOD, bad].concat()));

        let mut chunked = HeadScan::default();
        assert!(chunked.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"));
        assert!(chunked.feed(bad), "a chunked body is not followed");
        chunked.restart();
        assert!(!chunked.feed(bad), "but the next head is");
    }

    #[test]
    fn knows_whether_it_is_inside_a_head() {
        let mut scan = HeadScan::default();
        assert!(!scan.is_inside_head());
        scan.feed(b"GET / HT");
        assert!(scan.is_inside_head());
        scan.feed(b"TP/1.1\r\nHost: a\r\n\r\n");
        assert!(!scan.is_inside_head());
    }
}
