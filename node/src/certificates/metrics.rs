//! What is counted of a node's certificates, with upstream's names.
//!
//! Upstream: pkg/kubelet/certificate/kubelet.go, cmd/kubelet/app/server.go buildKubeletClientConfig.

use std::fmt::Write as _;

use certs::UnixSeconds;
use parking_lot::Mutex;

use super::Purpose;

/// Seconds: a minute, an hour, four, a day, a week, a month, three, six, a year, four.
const BUCKETS: [i64; 10] = [60, 3600, 14400, 86400, 604_800, 2_592_000, 7_776_000, 15_552_000, 31_104_000, 124_416_000];

/// Counts.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    client: Of,
    serving: Of,
    /// How long serving certificates had lived when they were exchanged, in seconds.
    lived: Vec<i64>,
    lived_sum: i64,
    lived_count: u64,
}

#[derive(Debug, Default)]
struct Of {
    /// Whether it is looked after at all.
    is_kept: bool,
    not_after: Option<UnixSeconds>,
    failures: u64,
}

// === impl Tally ===

impl Tally {
    /// What is in use.
    pub fn holds(&self, purpose: Purpose, not_after: Option<UnixSeconds>) {
        let mut counts = self.0.lock();
        let of = counts.of(purpose);
        (of.is_kept, of.not_after) = (true, not_after);
    }

    pub fn failed(&self, purpose: Purpose) {
        self.0.lock().of(purpose).failures += 1;
    }

    /// One took the place of another, which had lived for so many seconds.
    pub fn exchanged(&self, purpose: Purpose, lived: Option<i64>) {
        let mut counts = self.0.lock();
        let Some(lived) = lived.filter(|_| purpose == Purpose::Serving) else { return };
        counts.lived.resize(BUCKETS.len(), 0);
        for (bucket, most) in counts.lived.iter_mut().zip(BUCKETS) {
            *bucket += i64::from(lived <= most);
        }
        counts.lived_sum += lived;
        counts.lived_count += 1;
    }

    /// As Prometheus reads it, below what the page says already.
    pub fn page(&self, now: UnixSeconds) -> String {
        let mut counts = self.0.lock();
        let mut page = String::new();
        if counts.client.is_kept {
            gauge(
                &mut page,
                "kubelet_certificate_manager_client_ttl_seconds",
                "Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until \
                 certificate expiry (negative if already expired). If client certificate is invalid or unused, the value \
                 will be +INF.",
                counts.client.not_after.map(|end| end - now),
            );
            counter(&mut page, "kubelet_certificate_manager_client_expiration_renew_errors", counts.client.failures);
        }
        if counts.serving.is_kept {
            gauge(
                &mut page,
                "kubelet_certificate_manager_server_ttl_seconds",
                "Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is in seconds \
                 until certificate expiry (negative if already expired). If serving certificate is invalid or unused, the \
                 value will be +INF.",
                counts.serving.not_after.map(|end| end - now),
            );
            counter(&mut page, "kubelet_server_expiration_renew_errors", counts.serving.failures);
            counts.lived.resize(BUCKETS.len(), 0);
            rotations(&mut page, &counts);
        }
        page
    }
}

// === impl Counts ===

impl Counts {
    fn of(&mut self, purpose: Purpose) -> &mut Of {
        match purpose {
            Purpose::Client => &mut self.client,
            Purpose::Serving => &mut self.serving,
        }
    }
}

fn gauge(page: &mut String, name: &str, help: &str, value: Option<i64>) {
    let value = value.map_or("+Inf".to_owned(), |value| value.to_string());
    let _ = write!(page, "# HELP {name} [ALPHA] {help}\n# TYPE {name} gauge\n{name} {value}\n");
}

fn counter(page: &mut String, name: &str, count: u64) {
    let help = "[ALPHA] Counter of certificate renewal errors.";
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}\n");
}

fn rotations(page: &mut String, counts: &Counts) {
    let name = "kubelet_certificate_manager_server_rotation_seconds";
    let help = "[ALPHA] Histogram of the number of seconds the previous certificate lived before being rotated.";
    let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} histogram\n");
    for (count, most) in counts.lived.iter().zip(BUCKETS) {
        let _ = writeln!(page, "{name}_bucket{{le=\"{most}\"}} {count}");
    }
    let (sum, count) = (counts.lived_sum, counts.lived_count);
    let _ = write!(page, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_how_long_certificates_are_good_and_what_went_wrong() {
        let tally = Tally::default();
        assert_eq!(tally.page(0), "", "nothing is looked after");
        tally.holds(Purpose::Client, Some(1000));
        tally.failed(Purpose::Client);
        tally.holds(Purpose::Serving, None);
        tally.exchanged(Purpose::Serving, Some(7200));
        tally.exchanged(Purpose::Client, Some(1));
        let page = tally.page(400);
        for line in [
            "kubelet_certificate_manager_client_ttl_seconds 600",
            "kubelet_certificate_manager_client_expiration_renew_errors 1",
            "kubelet_certificate_manager_server_ttl_seconds +Inf",
            "kubelet_server_expiration_renew_errors 0",
            "kubelet_certificate_manager_server_rotation_seconds_bucket{le=\"3600\"} 0",
            "kubelet_certificate_manager_server_rotation_seconds_bucket{le=\"14400\"} 1",
            "kubelet_certificate_manager_server_rotation_seconds_sum 7200",
            "kubelet_certificate_manager_server_rotation_seconds_count 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
