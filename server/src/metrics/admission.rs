//! What plugins, webhooks and policies came to, and how long they took.
//!
//! Plugins are on the road of every write: their cells lie in one list, by numbers, so that counting builds no text and looks
//! nothing up. Upstream: apiserver/pkg/admission/metrics/metrics.go.

use std::sync::OnceLock;

use admission::{
    Operation, plugins,
    tally::{Called, Checked, Conditions, Side, Standing, Step, Subject, Tally},
};

use super::{Counter, Histogram, Labeled, Page, rows, standards::Standards};

/// Everything of admission. A webhook's `type` is `admit` or `validating`, a plugin's `admit` or `validate`.
#[derive(Default)]
pub struct Admission {
    steps: Steps,
    /// By what came of it, error, policy, binding.
    validated: Labeled<4, Histogram>,
    /// By error, policy, binding.
    mutated: Labeled<3, Histogram>,
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
    /// The same of conditions that could not be evaluated.
    failed: Labeled<4, Counter>,
    conditions: Labeled<4, Histogram>,
    standards: Standards,
}

/// By line (the last is the whole side), side, operation, whether it was rejected; made when they are first needed.
struct Steps(Box<[OnceLock<Histogram>]>);

const OPERATIONS: [Operation; 4] = [Operation::Create, Operation::Update, Operation::Delete, Operation::Connect];
const SIDES: [Side; 2] = [Side::Mutating, Side::Validating];

/// Higher codes are counted as this one, so that nobody can make series without end.
const CODE_MAX: u16 = 600;

impl Admission {
    pub fn write(&self, page: &mut Page) {
        self.steps.write(page);
        page.add(&rows::VALIDATED, |f| self.validated.each(|labels, cell| f.number(&labels, cell.count() as f64)));
        self.validated.write(page, &rows::VALIDATED_SECONDS);
        page.add(&rows::MUTATED, |f| self.mutated.each(|labels, cell| f.number(&labels, cell.count() as f64)));
        self.mutated.write(page, &rows::MUTATED_SECONDS);
        self.durations.write(page, &rows::WEBHOOK_DURATION);
        self.requests.write(page, &rows::WEBHOOK_REQUESTS);
        self.rejections.write(page, &rows::WEBHOOK_REJECTIONS);
        self.failed_open.write(page, &rows::WEBHOOK_FAILED_OPEN);
        self.excluded.write(page, &rows::CONDITION_EXCLUSIONS);
        self.failed.write(page, &rows::CONDITION_ERRORS);
        self.conditions.write(page, &rows::CONDITIONS);
        self.standards.write(page);
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

    fn conditions(&self, conditions: &Conditions<'_>) {
        let Conditions { of, name, side, operation, failed, took } = *conditions;
        let labels = [of, name, operation, side];
        self.conditions.get(labels, || Histogram::new(&rows::CONDITION_SECONDS)).observe(took.as_secs_f64());
        if failed > 0 {
            self.failed.get(labels, Counter::default).add(failed);
        }
    }

    fn stood(&self, standing: &Standing<'_>) {
        self.standards.stood(standing);
    }

    fn exempted(&self, subject: &Subject<'_>) {
        self.standards.exempted(subject);
    }

    fn unjudged(&self, is_fatal: bool, subject: &Subject<'_>) {
        self.standards.unjudged(is_fatal, subject);
    }

    fn stepped(&self, step: &Step) {
        self.steps.cell(step).get_or_init(|| Histogram::new(&rows::PLUGIN_SECONDS)).observe(step.took.as_secs_f64());
    }

    fn checked(&self, checked: &Checked<'_>) {
        let Checked { policy, binding, error, action, took } = checked;
        let made = || Histogram::new(&rows::POLICY_SECONDS);
        match action {
            Some(action) => self.validated.get([action, error, policy, binding], made),
            None => self.mutated.get([error, policy, binding], made),
        }
        .observe(took.as_secs_f64());
    }
}

// === impl Steps ===

impl Default for Steps {
    fn default() -> Steps {
        let cells = (plugins::ALL.len() + 1) * SIDES.len() * OPERATIONS.len() * 2;
        Steps((0..cells).map(|_| OnceLock::new()).collect())
    }
}

impl Steps {
    fn cell(&self, step: &Step) -> &OnceLock<Histogram> {
        let line = step.line.unwrap_or(plugins::ALL.len());
        let place = (line * SIDES.len() + step.side as usize) * OPERATIONS.len() + step.operation as usize;
        &self.0[place * 2 + usize::from(step.rejected)]
    }

    fn write(&self, page: &mut Page) {
        page.add(&rows::STEP_SECONDS, |family| self.each(None, |labels, cell| cell.write(family, labels)));
        page.add(&rows::PLUGIN_DURATION, |family| {
            for (line, entry) in plugins::ALL.iter().enumerate() {
                self.each(Some(line), |[operation, rejected, side], cell| {
                    cell.write(family, &[entry.name, operation, rejected, side]);
                });
            }
        });
    }

    /// Each cell of a line with its operation, whether it was rejected, and its side.
    fn each(&self, line: Option<usize>, mut visit: impl FnMut(&[&str; 3], &Histogram)) {
        for (side, word) in SIDES.into_iter().zip(["admit", "validate"]) {
            for operation in OPERATIONS {
                for rejected in [false, true] {
                    let step = Step { line, side, operation, rejected, took: Default::default() };
                    if let Some(cell) = self.cell(&step).get() {
                        visit(&[operation.word(), if rejected { "true" } else { "false" }, word], cell);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_cells_of_its_own() {
        let admission = Admission::default();
        let (line, took) = (Some(2), std::time::Duration::from_millis(30));
        let step = Step { line, side: Side::Validating, operation: Operation::Delete, rejected: true, took };
        admission.stepped(&step);
        admission.stepped(&Step { line: None, side: Side::Mutating, operation: Operation::Create, ..step });
        let mut page = Page::default();
        admission.write(&mut page);
        let text = page.finish();
        let counts: Vec<&str> = text.lines().filter(|line| line.contains("_count{")).collect();
        let expected = [
            "apiserver_admission_controller_admission_duration_seconds_count{name=\"NamespaceLifecycle\",operation=\"DELETE\",rejected=\"true\",type=\"validate\"} 1",
            "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"true\",type=\"admit\"} 1",
        ];
        assert_eq!(counts, expected);
    }

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
