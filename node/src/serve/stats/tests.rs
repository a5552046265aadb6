//! What is used, as a summary and as metrics.

use super::*;
use crate::runtime::{PodName, Words};

fn snapshot() -> Snapshot {
    let at: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
    let container = ContainerStats {
        id: "c1".into(),
        name: "web".into(),
        labels: Words::new(),
        at,
        cpu_nanos: Some(1_500_000_000),
        cpu_nano_cores: Some(2_000_000),
        memory_working_set_bytes: Some(4096),
        memory_available_bytes: None,
        memory_usage_bytes: Some(8192),
        memory_rss_bytes: Some(2048),
        page_faults: Some(7),
        major_page_faults: Some(0),
        writable_layer: None,
    };
    let sandbox = SandboxStats {
        id: "s1".into(),
        pod: PodName { namespace: "d".into(), name: "p".into(), uid: "u".into() },
        labels: Words::new(),
        at,
        cpu_nanos: Some(1_500_000_000),
        cpu_nano_cores: None,
        memory_working_set_bytes: Some(4096),
        memory_available_bytes: None,
        memory_usage_bytes: None,
        memory_rss_bytes: None,
        processes: Some(2),
        interfaces: vec![InterfaceStats { name: "eth0".into(), rx_bytes: 10, ..InterfaceStats::default() }],
        containers: vec![container],
    };
    Snapshot {
        node: "n".into(),
        now: at,
        machine: Machine {
            cpu_nanos: 10_000_000_000,
            memory_bytes: 100,
            memory_available_bytes: 40,
            ..Machine::default()
        },
        sandboxes: vec![sandbox],
        starts: vec!["2026-01-02T03:00:00Z".into()],
        created: [("c1".to_owned(), at)].into(),
        images: None,
    }
}

#[test]
fn a_summary_says_what_pods_use() {
    let summary = snapshot().summary(true);
    assert_eq!(
        codec::json::to_string(summary.list("pods").first().expect("there is one")),
        r#"{"podRef":{"name":"p","namespace":"d","uid":"u"},"startTime":"2026-01-02T03:00:00Z","containers":[{"name":"web","startTime":"2026-01-02T03:04:05Z","cpu":{"time":"2026-01-02T03:04:05Z","usageNanoCores":2000000,"usageCoreNanoSeconds":1500000000},"memory":{"time":"2026-01-02T03:04:05Z","usageBytes":8192,"workingSetBytes":4096,"rssBytes":2048,"pageFaults":7,"majorPageFaults":0}}],"cpu":{"time":"2026-01-02T03:04:05Z","usageCoreNanoSeconds":1500000000},"memory":{"time":"2026-01-02T03:04:05Z","workingSetBytes":4096}}"#
    );
    assert_eq!(summary.at_path(&["node", "memory"]).int("workingSetBytes"), 60);
    let whole = snapshot().summary(false);
    let pod = whole.list("pods").first().expect("there is one");
    assert_eq!((pod.at("network").int("rxBytes"), pod.at("process_stats").int("process_count")), (10, 2));
}

#[test]
fn metrics_are_what_scrapers_read() {
    let page = snapshot().resource_metrics();
    for line in [
        "# TYPE container_cpu_usage_seconds_total counter",
        "container_cpu_usage_seconds_total{container=\"web\",namespace=\"d\",pod=\"p\"} 1.5 1767323045000",
        "container_start_time_seconds{container=\"web\",namespace=\"d\",pod=\"p\"} 1767323045",
        "node_cpu_usage_seconds_total 10 1767323045000",
        "pod_memory_working_set_bytes{namespace=\"d\",pod=\"p\"} 4096 1767323045000",
        "resource_scrape_error 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
}

#[test]
fn the_kernels_counts_are_read() {
    assert_eq!(cpu_nanos("cpu  10 1 5 1000 50 1 2 0 3 0\ncpu0 1 1 1 1"), 19 * 10_000_000);
    let dev = "Inter-| Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9\n  eth0: 100 1 2 0 0 0 0 0 200 1 3 0 0 0 0 0\n";
    let found = interfaces(dev);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rx_bytes, found[0].rx_errors, found[0].tx_bytes, found[0].tx_errors), (100, 2, 200, 3));
}
