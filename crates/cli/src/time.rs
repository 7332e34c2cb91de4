//! Times as people write them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::failure::{Failure, Result};

/// `90s`, `10m`, `2h`, `3d` before now, or an RFC 3339 time.
pub fn parse(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let invalid = || Failure::usage(format!("{text:?} is no time; write 10m, 2h, 3d or 2026-11-01T12:00:00Z"));
    let unit = text.chars().last().ok_or_else(invalid)?;
    let number: i64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).filter(|number| *number >= 0).ok_or_else(invalid)?;
    let ago = match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    };
    ago.and_then(|ago| now.checked_sub_signed(ago)).ok_or_else(invalid)
}

/// `5 s ago`.
pub fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - time).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        let now: DateTime<Utc> = "2026-11-02T00:00:00Z".parse().unwrap();
        assert_eq!(parse("2h", now).unwrap(), now - TimeDelta::hours(2));
        assert_eq!(parse("2026-11-01T12:00:00+02:00", now).unwrap(), "2026-11-01T10:00:00Z".parse::<DateTime<Utc>>().unwrap());
        for bad in ["", "h", "-1h", "2y", "99999999999999d", "tomorrow", "2é"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
        assert_eq!(ago(now - TimeDelta::minutes(90), now), "1 h ago");
    }
}
