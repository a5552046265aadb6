//! What the kernel says about a process: the CPU it used, and the memory it holds.

use anyhow::{Context, Result};

/// Of `/proc`: the ABI says so, whatever the kernel's own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds that a process has used: user and system, all threads.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = read(pid, "stat")?;
    ticks(&text).map(|ticks| ticks as f64 / TICKS_PER_SECOND).with_context(|| format!("/proc/{pid}/stat: {text}"))
}

/// Proportional set size: the memory that would come back if the process went away.
pub fn pss_bytes(pid: u32) -> Result<f64> {
    let text = read(pid, "smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}

/// `utime` and `stime`. A program's name may hold blanks and parentheses, so counting begins behind the last one.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    std::fs::read_to_string(&path).with_context(|| format!("{path}: the server is gone"))
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn a_name_with_blanks_and_parentheses_shifts_nothing() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 100 0 0 0 730 21 0 0 20 0 9 0 100 0";
        assert_eq!(ticks(stat), Some(751));
        assert_eq!(ticks("12 (a"), None);
    }
}
