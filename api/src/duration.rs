//! Go's durations: `1h30m`, `500ms`, `0s`. Upstream: time.ParseDuration, Duration.String.

/// Reads a duration into nanoseconds; the error is Go's text.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", crate::field::quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let part = rest[whole..]
            .strip_prefix('.')
            .map_or(0, |part| 1 + part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
        let (number, tail) = rest.split_at(whole + part);
        if number.is_empty() || number == "." {
            return Err(invalid());
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", crate::field::quote(text)));
        }
        let Some(scale) = nanos_of(unit) else {
            let (unit, text) = (crate::field::quote(unit), crate::field::quote(text));
            return Err(format!("time: unknown unit {unit} in duration {text}"));
        };
        total = scaled(number, scale).and_then(|nanos| total.checked_add(nanos)).ok_or_else(invalid)?;
        rest = tail;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}

/// Writes nanoseconds as Go does: the largest unit that leaves a leading digit, fractions only below a second's unit.
pub fn format(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let body = match n {
        0..1_000 => format!("{n}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(n, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(n, 1_000_000)),
        _ => {
            let (minutes, rest) = (n / 60_000_000_000, n % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    };
    format!("{sign}{body}")
}

fn nanos_of(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = part.get(..part.len().min(18))?;
    let fraction: i128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    whole.checked_mul(scale)?.checked_add(fraction * scale / 10_i128.pow(part.len() as u32))
}

fn fraction(n: u64, unit: u64) -> String {
    let (whole, rest) = (n / unit, n % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip_as_gos() {
        let cases = [
            ("1h30m", "1h30m0s"),
            ("1.5s", "1.5s"),
            ("90s", "1m30s"),
            ("500ms", "500ms"),
            ("0", "0s"),
            ("-2m", "-2m0s"),
            ("1us", "1µs"),
            ("0000000000000000000000001s", "1s"),
            ("1.000000000000000000000s", "1s"),
            ("-2562047h47m16.854775808s", "-2562047h47m16.854775808s"),
        ];
        for (text, printed) in cases {
            assert_eq!(parse(text).map(format), Ok(printed.to_string()), "{text}");
        }
        assert_eq!(parse("5"), Err("time: missing unit in duration \"5\"".into()));
        assert_eq!(parse("1.2.3s"), Err("time: missing unit in duration \"1.2.3s\"".into()));
        for text in [".", "-.s", "1000000000000000000000000000000000000000s", "9223372036854775808ns"] {
            assert_eq!(parse(text), Err(format!("time: invalid duration {}", crate::field::quote(text))));
        }
        assert_eq!(parse("5x"), Err("time: unknown unit \"x\" in duration \"5x\"".into()));
        assert_eq!(parse(""), Err("time: invalid duration \"\"".into()));
    }
}
