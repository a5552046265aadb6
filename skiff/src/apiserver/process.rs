//! What this process uses, as `/metrics` says it, and its features.
//!
//! Upstream: prometheus/client_golang process_collector, component-base/metrics/prometheus/feature.

use server::metrics::{Page, rows};

use crate::features::Features;

/// Ticks of the kernel's clock in a second: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
const PAGE: f64 = 4096.0;

/// Writes what the kernel says about this process; nothing where it says nothing.
pub fn collect(page: &mut Page) {
    let mut gauge =
        |row, number: Option<f64>| page.add(row, |family| number.iter().for_each(|n| family.number(&[], *n)));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the bracket may hold anything; fields count from behind it, the third first.
    let fields: Vec<f64> = stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| {
        rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect()
    });
    let field = |number: usize| fields.get(number - 3).copied();
    gauge(&rows::CPU, field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS));
    gauge(&rows::VIRTUAL, field(23));
    gauge(&rows::RESIDENT, field(24).map(|pages| pages * PAGE));
    gauge(&rows::STARTED, field(22).zip(booted()).map(|(ticks, booted)| booted + ticks / TICKS));
    gauge(&rows::FDS, std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64));
    gauge(&rows::FDS_MAX, limit("Max open files"));
    gauge(&rows::VIRTUAL_MAX, limit("Max address space"));
}

/// Writes which features are on.
pub fn features(features: Features) -> impl Fn(&mut Page) + Send + Sync {
    move |page| {
        page.add(&rows::FEATURE, |family| {
            for (name, stage, on) in features.each() {
                family.number(&[name, stage], f64::from(u8::from(on)));
            }
        });
    }
}

fn booted() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The soft limit.
fn limit(name: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let soft = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    // Go's largest uint64 stands for none.
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_all_of_it() {
        let mut page = Page::default();
        collect(&mut page);
        features(Features::new())(&mut page);
        let text = page.finish();
        for name in [
            "cpu_seconds_total",
            "max_fds",
            "open_fds",
            "resident_memory_bytes",
            "start_time_seconds",
            "virtual_memory_bytes",
        ] {
            let line = text.lines().find(|l| l.starts_with(&format!("process_{name} ")));
            assert!(line.is_some_and(|l| name == "cpu_seconds_total" || !l.ends_with(" 0")), "{name} in\n{text}");
        }
        assert!(text.contains("kubernetes_feature_enabled{name=\"CBORServingAndStorage\",stage=\"ALPHA\"} 0\n"));
        assert!(text.contains("kubernetes_feature_enabled{name=\"AllowServiceExternalIPs\",stage=\"\"} 1\n"));
    }
}
