//! What a file says counts, or is named.

use api::value;

use super::*;

#[test]
fn what_has_no_effect_is_named() {
    let file = value!({
        "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "cgroupDriver": "systemd", "shutdownGracePeriod": "30s", "shutdownGracePeriodCriticalPods": "0s",
        "authentication": {"webhook": {"enabled": false, "cacheTTL": "120s"}, "x509": {"clientCAFile": "/ca"}},
        "memorySwap": {"swapBehavior": "LimitedSwap", "else": 1}, "maxPodz": 3, "maxPods": 7,
        "enforceNodeAllocatable": ["pods", "kube-reserved"]
    });
    let read = Configuration::read(&file).expect("it is right");
    assert_eq!(
        read.warnings,
        [
            "authentication.webhook.enabled: it has no effect yet",
            "cgroupDriver: it has no effect yet",
            "memorySwap.swapBehavior: it has no effect yet",
            "shutdownGracePeriod: it has no effect yet",
            "memorySwap.else: there is no such member",
            "maxPodz: there is no such member",
            "enforceNodeAllocatable: \"kube-reserved\" has no effect yet",
        ]
    );
    assert_eq!(read.reserved.pods_max, 7);
    assert!(Configuration::default().warnings.is_empty());
}

/// The port that asks nobody who he is does not exist, and the limits of what is kept for others are there.
#[test]
fn cve_2025_0426_there_is_no_port_without_a_name_and_no_disk_without_bounds() {
    let plain = Configuration::default();
    assert!(plain.effective.at("readOnlyPort").is_null());
    let asked = Configuration::read(&value!({"readOnlyPort": 10255})).expect("it is read");
    assert_eq!(asked.warnings, ["readOnlyPort: it has no effect yet"]);
    let said = plain.effective.at("authentication").at("anonymous").get("enabled").and_then(Value::as_bool);
    assert_eq!(said, Some(false));
    assert_eq!(plain.effective.at("authorization").str("mode"), "Webhook");
    for (member, bound) in [("containerLogMaxSize", "10Mi"), ("imageMaximumGCAge", "0s")] {
        assert_eq!(plain.effective.str(member), bound);
    }
    assert_eq!(plain.effective.int("containerLogMaxFiles"), 5);
    assert_eq!(plain.effective.int("imageGCHighThresholdPercent"), 85);
}

#[test]
fn rows_are_told_apart_and_have_defaults_that_can_be_read() {
    for (i, row) in ROWS.iter().enumerate() {
        assert!(ROWS[i + 1..].iter().all(|other| !other.path.starts_with(row.path)), "{:?} is there twice", row.path);
        assert!(row.default.is_empty() || codec::json::is_valid(row.default.as_bytes()), "{:?}", row.path);
    }
}

#[test]
fn configz_says_what_counts() {
    let read =
        Configuration::read(&value!({"syncFrequency": "90s", "serializeImagePulls": false})).expect("it is right");
    assert_eq!(read.effective.str("syncFrequency"), "1m30s");
    assert_eq!(read.effective.int("maxPods"), 110);
    assert_eq!(
        read.effective.at("authentication").at("anonymous").get("enabled").and_then(Value::as_bool),
        Some(false)
    );
    assert!(read.pulls.parallel > 8);
    assert_eq!(read.rhythm.sync, SignedDuration::from_secs(90));
}

#[test]
fn what_cannot_be_is_refused() {
    let error = |file: Value| Configuration::read(&file).expect_err("it is wrong");
    assert_eq!(error(value!({"maxPods": "many"})), "maxPods: \"many\" is no number");
    assert_eq!(
        error(value!({"syncFrequency": "1 minute"})),
        "syncFrequency: time: unknown unit \" minute\" in duration \"1 minute\""
    );
    assert_eq!(
        error(value!({"imageGCHighThresholdPercent": 70})),
        "imageGCLowThresholdPercent 80 must be less than imageGCHighThresholdPercent 70"
    );
    assert_eq!(error(value!({"containerLogMaxFiles": 1})), "containerLogMaxFiles 1 must be greater than 1");
    assert!(
        error(value!({"evictionHard": {"memory.free": "1Mi"}})).contains("unsupported eviction signal memory.free")
    );
}

#[test]
fn how_often_is_told_follows_how_often_is_looked() {
    let of = |file: Value| Configuration::read(&file).expect("it is right").rhythm.report.as_secs();
    assert_eq!(of(Value::object()), 300);
    assert_eq!(of(value!({"nodeStatusUpdateFrequency": "4s"})), 4);
    assert_eq!(of(value!({"nodeStatusUpdateFrequency": "4s", "nodeStatusReportFrequency": "1m"})), 60);
}
