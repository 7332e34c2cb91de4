//! Follows the frames of a WebSocket (RFC 6455, 5.2) without looking at their content, to know where one may be inserted.

#[derive(Debug, Default)]
pub struct FrameTracker {
    header: [u8; 14],
    have: usize,
    payload_left: u64,
}

impl FrameTracker {
    /// Between two frames: a control frame may be sent now.
    pub fn is_at_boundary(&self) -> bool {
        self.have == 0 && self.payload_left == 0
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len() as u64);
                self.payload_left -= skipped;
                bytes = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.header.get_mut(self.have) {
                *place = *first;
            }
            self.have += 1;
            bytes = rest;
            if let Some(length) = self.complete_header() {
                self.payload_left = length;
                self.have = 0;
            }
        }
    }

    /// The payload's length, once the header is complete.
    fn complete_header(&self) -> Option<u64> {
        if self.have < 2 {
            return None;
        }
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (size, length) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes([a, b]))),
            127 => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            short => (2, u64::from(short)),
        };
        (self.have == size + mask).then_some(length)
    }
}

/// A server's close frame: 1012, "service restart".
pub fn close_frame() -> Vec<u8> {
    const REASON: &[u8] = b"a new release took over";
    let mut frame = vec![0x88, 2 + REASON.len() as u8];
    frame.extend_from_slice(&1012u16.to_be_bytes());
    frame.extend_from_slice(REASON);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..=125 => bytes.push(mask_bit | length as u8),
            126..=65535 => {
                bytes.push(mask_bit | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend_from_slice(&[1, 2, 3, 4]);
        }
        bytes.resize(bytes.len() + length, 0xff);
        bytes
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let bytes = frame(length, masked);
                for step in [1, 3, 1000, usize::MAX] {
                    let mut tracker = FrameTracker::default();
                    let mut fed = 0;
                    for chunk in bytes.chunks(step.min(bytes.len())) {
                        tracker.feed(chunk);
                        fed += chunk.len();
                        assert_eq!(tracker.is_at_boundary(), fed == bytes.len(), "length {length}, step {step}, at {fed}");
                    }
                }
            }
        }
        let mut tracker = FrameTracker::default();
        tracker.feed(&close_frame());
        assert!(tracker.is_at_boundary());
    }
}
