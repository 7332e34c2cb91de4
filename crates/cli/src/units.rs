//! Sizes and times as people write them: `512m`, `1.5g`; `250ms`, `30s`, `5m`.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];

/// Bytes of `512m`, `1g`, `64KiB`, `1000`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write 512m, 2g or a number of bytes");
    let low = text.trim().to_ascii_lowercase();
    let bare = low.strip_suffix("ib").or(low.strip_suffix('b')).unwrap_or(&low);
    for (suffix, factor) in SIZES {
        if let Some(number) = bare.strip_suffix(suffix) {
            return scaled(number, *factor).ok_or_else(wrong);
        }
    }
    bare.parse().map_err(|_| wrong())
}

/// `0.5` cores are 500 thousandths; `250m` too.
pub fn cpu_millis(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no share of processors; write 0.5, 2 or 250m");
    match text.trim().strip_suffix('m') {
        Some(number) => number.parse().map_err(|_| wrong()),
        None => scaled(text.trim(), 1000).ok_or_else(wrong),
    }
}

/// `250ms`, `30s`, `5m`, `2h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write 250ms, 30s or 5m");
    let text = text.trim();
    for (suffix, factor) in [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)] {
        if let Some(number) = text.strip_suffix(suffix) {
            return scaled(number, factor).map(Duration::from_millis).ok_or_else(wrong);
        }
    }
    text.parse().map(Duration::from_secs).map_err(|_| wrong())
}

/// Up to three digits behind the point.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    if part.len() > 3 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / 1000)
}

/// `1.5 GiB`.
pub fn shown_bytes(bytes: u64) -> String {
    let unit = |bits: u32, name: &str| {
        let tenths = (u128::from(bytes) * 10) >> bits;
        if tenths.is_multiple_of(10) { format!("{} {name}", tenths / 10) } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
    };
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => unit(10, "KiB"),
        1_048_576..1_073_741_824 => unit(20, "MiB"),
        _ => unit(30, "GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_shares_and_times_are_read() {
        for (text, expected) in [("512m", 512 << 20), ("1.5g", 3 << 29), ("64KiB", 65_536), ("1000", 1000), ("2 gb", 0)] {
            assert_eq!(bytes(text).ok(), Some(expected).filter(|value| *value > 0), "{text}");
        }
        for (text, expected) in [("0.5", 500), ("2", 2000), ("250m", 250), ("1.25", 1250)] {
            assert_eq!(cpu_millis(text), Ok(expected));
        }
        for (text, expected) in [("250ms", 250), ("30s", 30_000), ("30", 30_000), ("5m", 300_000), ("1.5s", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)));
        }
        for bad in ["", "m", "-1", "1.m", "1.2345g", "99999999999999999999g", "x"] {
            assert!(bytes(bad).is_err() && cpu_millis(bad).is_err() && duration(bad).is_err(), "{bad}");
        }
        assert_eq!(shown_bytes(1_610_612_736), "1.5 GiB");
        assert_eq!(shown_bytes(512 << 20), "512 MiB");
    }
}
