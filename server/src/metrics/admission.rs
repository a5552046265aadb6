//! What webhooks came to, and how long they took.
//!
//! Upstream: apiserver/pkg/admission/metrics/metrics.go.

use admission::webhook::{Called, Side, Tally};

use super::{Counter, Histogram, Labeled, Page, rows};

/// Calls of admission webhooks. `type` is `admit` or `validating`.
#[derive(Default)]
pub struct Admission {
    /// By name, operation, whether it was rejected, type.
    durations: Labeled<4, Histogram>,
    /// By code, name, operation, whether it was rejected, type.
    requests: Labeled<5, Counter>,
    /// By error type, name, operation, code, type.
    rejections: Labeled<5, Counter>,
    /// By name, type.
    failed_open: Labeled<2, Counter>,
    /// By kind, name, operation, type.
    excluded: Labeled<4, Counter>,
}

/// Higher codes are counted as this one, so that nobody can make series without end.
const CODE_MAX: u16 = 600;

impl Admission {
    pub fn write(&self, page: &mut Page) {
        self.durations.write(page, &rows::WEBHOOK_DURATION);
        self.requests.write(page, &rows::WEBHOOK_REQUESTS);
        self.rejections.write(page, &rows::WEBHOOK_REJECTIONS);
        self.failed_open.write(page, &rows::WEBHOOK_FAILED_OPEN);
        self.excluded.write(page, &rows::CONDITION_EXCLUSIONS);
    }
}

impl Tally for Admission {
    fn called(&self, called: &Called<'_>) {
        let Called { name, side, operation, seconds, rejected, code, rejection, failed_open } = called;
        let (code, rejected) = ((*code).min(CODE_MAX).to_string(), rejected.to_string());
        let made = || Histogram::new(&rows::WEBHOOK_SECONDS);
        self.durations.get([name, operation, &rejected, side.word()], made).observe(*seconds);
        self.requests.get([&code, name, operation, &rejected, side.word()], Counter::default).add(1);
        if let Some(kind) = rejection {
            self.rejections.get([kind, name, operation, &code, side.word()], Counter::default).add(1);
        }
        if *failed_open {
            self.failed_open.get([name, side.word()], Counter::default).add(1);
        }
    }

    fn excluded(&self, name: &str, side: Side, operation: &str) {
        // Here the other side has another word than in all other families.
        let side = if side == Side::Mutating { "admit" } else { "validate" };
        self.excluded.get(["webhook", name, operation, side], Counter::default).add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_fails_open_rejects_nothing() {
        let admission = Admission::default();
        let failed = Called {
            name: "a.example.com",
            side: Side::Validating,
            operation: "CREATE",
            seconds: 0.2,
            rejected: false,
            code: 1000,
            rejection: None,
            failed_open: true,
        };
        admission.called(&failed);
        admission.called(&Called { rejected: true, rejection: Some("no_error"), failed_open: false, ..failed });
        let mut page = Page::default();
        admission.write(&mut page);
        let text = page.finish();
        for line in [
            "apiserver_admission_webhook_fail_open_count{name=\"a.example.com\",type=\"validating\"} 1\n",
            "apiserver_admission_webhook_rejection_count{error_type=\"no_error\",name=\"a.example.com\",operation=\"CREATE\",rejection_code=\"600\",type=\"validating\"} 1\n",
            "apiserver_admission_webhook_request_total{code=\"600\",name=\"a.example.com\",operation=\"CREATE\",rejected=\"true\",type=\"validating\"} 1\n",
            "apiserver_admission_webhook_admission_duration_seconds_bucket{name=\"a.example.com\",operation=\"CREATE\",rejected=\"false\",type=\"validating\",le=\"0.5\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
