//! Indexes as text: `0-3,7`.
//!
//! Upstream: pkg/apis/batch/validation/validation.go `validateIndexesFormat`,
//! `validateFailedIndexesNotOverlapCompleted`.

use api::{field::quote, intstr::atoi};

/// How many indexes a text names.
///
/// # Errors
/// Upstream's text.
pub fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut last, mut total) = (None, 0);
    for part in text.split(',') {
        let (start, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= start) {
            return Err(format!("non-increasing order, previous: {last}, current: {start}"));
        }
        total += end - start + 1;
        last = Some(end);
    }
    Ok(total)
}

/// What two texts have in common; parts that cannot be read are passed over.
pub fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut c, mut f) = (0, 0);
    while let (Some(&(c_start, c_end)), Some(&(f_start, f_end))) = (completed.get(c), failed.get(f)) {
        if c_start <= f_end && f_start <= c_end {
            return Some(c_start.max(f_start));
        }
        if c_start <= f_start { c += 1 } else { f += 1 }
    }
    None
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let mut parts = text.split('-');
    let (first, second) = (parts.next().unwrap_or(""), parts.next());
    if parts.next().is_some() {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quote(text)
        ));
    }
    let start = index(first, completions)?;
    let Some(second) = second else { return Ok((start, start)) };
    let end = index(second, completions)?;
    if start >= end {
        return Err(format!("non-increasing order, previous: {start}, current: {end}"));
    }
    Ok((start, end))
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let index = atoi(text).map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
    if index >= completions { Err(format!("too large index: {}", quote(text))) } else { Ok(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_or_refused() {
        let cases: [(&str, Result<i64, &str>); 6] = [
            ("", Ok(0)),
            ("0-3,7", Ok(5)),
            ("3,1", Err("non-increasing order, previous: 3, current: 1")),
            ("10", Err("too large index: \"10\"")),
            ("a-b", Err("cannot convert string to integer for index: \"a\"")),
            ("4-2", Err("non-increasing order, previous: 4, current: 2")),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text, 10), expected.map_err(String::from), "{text}");
        }
    }

    #[test]
    fn what_is_in_both_is_found() {
        assert_eq!(overlap("0-2,5", "3-4,6", 10), None);
        assert_eq!(overlap("0-2,5", "3-5", 10), Some(5));
    }
}
