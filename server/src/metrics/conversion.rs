//! What webhooks that convert came to, and how long they and the rules of users' schemas took.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/conversion/metrics.go, apiserver/pkg/cel/metrics/metrics.go.

use std::time::Duration;

use registry::convert::{Converted, Tally};

use super::{
    Counter, Histogram, Kind, Labeled, Page, Row,
    rows::{self, AUTH_SECONDS},
};

/// Calls of conversion webhooks, and users' rules.
pub struct Conversion {
    compiled: Histogram,
    evaluated: Histogram,
    /// By definition, version before, whether it went well, version after.
    of_definitions: Labeled<4, Histogram>,
    /// By failure, result.
    requests: Labeled<2, Counter>,
    durations: Labeled<2, Histogram>,
}

const OF_DEFINITIONS: Row = Row {
    name: "apiserver_crd_conversion_webhook_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["crd_name", "from_version", "succeeded", "to_version"],
    help: "CRD webhook conversion duration in seconds",
};
const REQUESTS: Row = Row {
    name: "apiserver_conversion_webhook_request_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["failure_type", "result"],
    help: "Counter for conversion webhook requests with success/failure and failure error type",
};
const DURATIONS: Row = Row {
    name: "apiserver_conversion_webhook_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["failure_type", "result"],
    help: "Conversion webhook request latency",
};

/// All of them.
pub const ROWS: &[&Row] = &[&OF_DEFINITIONS, &REQUESTS, &DURATIONS];

static SECONDS: [f64; 15] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0];

impl Default for Conversion {
    fn default() -> Conversion {
        let spans = || Histogram::new(&rows::SPAN_SECONDS);
        let (of_definitions, requests, durations) = Default::default();
        Conversion { compiled: spans(), evaluated: spans(), of_definitions, requests, durations }
    }
}

impl Conversion {
    pub fn write(&self, page: &mut Page) {
        page.add(&rows::COMPILED, |family| self.compiled.write(family, &[]));
        page.add(&rows::EVALUATED, |family| self.evaluated.write(family, &[]));
        self.of_definitions.write(page, &OF_DEFINITIONS);
        self.requests.write(page, &REQUESTS);
        self.durations.write(page, &DURATIONS);
    }
}

impl Tally for Conversion {
    fn converted(&self, call: &Converted<'_>) {
        let Converted { definition, from, to, seconds, failure } = call;
        let succeeded = failure.is_none().to_string();
        // Powers of two of a millisecond: upstream's here as there.
        let made = || Histogram::new(&AUTH_SECONDS);
        self.of_definitions.get([definition, from, &succeeded, to], made).observe(*seconds);
        let labels = [failure.unwrap_or(""), if failure.is_none() { "success" } else { "failure" }];
        self.requests.get(labels, Counter::default).add(1);
        self.durations.get(labels, || Histogram::new(&SECONDS)).observe(*seconds);
    }

    fn compiled(&self, took: Duration) {
        self.compiled.observe(took.as_secs_f64());
    }

    fn evaluated(&self, took: Duration) {
        self.evaluated.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let counted = Conversion::default();
        let call = Converted { definition: "tabs.example.com", from: "v1", to: "v2", seconds: 0.015, failure: None };
        counted.converted(&call);
        counted.converted(&Converted { failure: Some("conversion_webhook_call_failure"), ..call });
        let mut page = Page::default();
        counted.write(&mut page);
        let text = page.finish();
        for line in [
            "apiserver_crd_conversion_webhook_duration_seconds_bucket{crd_name=\"tabs.example.com\",from_version=\"v1\",succeeded=\"true\",to_version=\"v2\",le=\"0.016\"} 1\n",
            "apiserver_conversion_webhook_request_total{failure_type=\"\",result=\"success\"} 1\n",
            "apiserver_conversion_webhook_request_total{failure_type=\"conversion_webhook_call_failure\",result=\"failure\"} 1\n",
            "apiserver_conversion_webhook_duration_seconds_bucket{failure_type=\"\",result=\"success\",le=\"0.02\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
