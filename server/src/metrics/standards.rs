//! How pods, and what makes them, stand to security standards.
//!
//! What nearly all pods come to has a cell of its own, so that counting it looks nothing up. These cells show before anything
//! is counted in them, as upstream's do. Upstream: pod-security-admission/metrics/metrics.go.

use admission::tally::{Standing, Subject};

use super::{Counter, Labeled, Page, rows};

#[derive(Default)]
pub struct Standards {
    /// Pods that may be anything, by [`OPERATIONS`].
    usual: [Counter; 2],
    /// All others: decision, mode, level, version, operation, resource, subresource.
    others: Labeled<7, Counter>,
    /// By operation, resource, subresource.
    exemptions: Labeled<3, Counter>,
    /// By whether it is fatal, operation, resource, subresource.
    errors: Labeled<4, Counter>,
}

const OPERATIONS: [&str; 2] = ["create", "update"];
/// Those that show from the start.
const EXEMPT: [&str; 2] = ["controller", "pod"];

impl Standards {
    pub fn stood(&self, standing: &Standing<'_>) {
        let Standing { is_allowed, level, version, mode, subject: Subject { operation, resource, subresource } } =
            *standing;
        let usual = (true, "privileged", "latest", "enforce", "pod", "");
        if usual == (is_allowed, level, version, mode, resource, subresource)
            && let Some(place) = OPERATIONS.iter().position(|known| *known == operation)
        {
            return self.usual[place].add(1);
        }
        let decision = if is_allowed { "allow" } else { "deny" };
        self.others.get([decision, mode, level, version, operation, resource, subresource], Counter::default).add(1);
    }

    pub fn exempted(&self, subject: &Subject<'_>) {
        let Subject { operation, resource, subresource } = *subject;
        self.exemptions.get([operation, resource, subresource], Counter::default).add(1);
    }

    pub fn unjudged(&self, is_fatal: bool, subject: &Subject<'_>) {
        let Subject { operation, resource, subresource } = *subject;
        let fatal = if is_fatal { "true" } else { "false" };
        self.errors.get([fatal, operation, resource, subresource], Counter::default).add(1);
    }

    pub fn write(&self, page: &mut Page) {
        page.add(&rows::STANDINGS, |family| {
            for (operation, counter) in OPERATIONS.iter().zip(&self.usual) {
                let labels = ["allow", "enforce", "privileged", "latest", operation, "pod", ""];
                family.number(&labels, counter.get() as f64);
            }
            self.others.each(|labels, cell| family.number(&labels, cell.get() as f64));
        });
        for operation in OPERATIONS {
            for resource in EXEMPT {
                self.exemptions.get([operation, resource, ""], Counter::default);
            }
        }
        self.exemptions.write(page, &rows::EXEMPTIONS);
        self.errors.write(page, &rows::UNJUDGED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nearly_all_come_to_and_the_rest_are_one_family() {
        let counted = Standards::default();
        let subject = Subject { operation: "create", resource: "pod", subresource: "" };
        let usual = Standing { is_allowed: true, level: "privileged", version: "latest", mode: "enforce", subject };
        counted.stood(&usual);
        counted.stood(&Standing { subject: Subject { subresource: "resize", ..subject }, ..usual });
        counted.stood(&Standing { is_allowed: false, level: "baseline", version: "v1.30", mode: "audit", subject });
        counted.exempted(&Subject { operation: "update", resource: "controller", subresource: "" });
        counted.unjudged(false, &subject);
        let mut page = Page::default();
        counted.write(&mut page);
        let (text, of) = (page.finish(), "request_operation=\"create\",resource=\"pod\",subresource");
        let allowed = "decision=\"allow\",mode=\"enforce\",policy_level=\"privileged\",policy_version=\"latest\"";
        let denied = "decision=\"deny\",mode=\"audit\",policy_level=\"baseline\",policy_version=\"v1.30\"";
        for line in [
            format!("pod_security_evaluations_total{{{allowed},{of}=\"\"}} 1\n"),
            format!("pod_security_evaluations_total{{{allowed},{of}=\"resize\"}} 1\n"),
            format!("pod_security_evaluations_total{{{denied},{of}=\"\"}} 1\n"),
            format!("pod_security_evaluations_total{{{allowed},{}=\"\"}} 0\n", of.replace("create", "update")),
            format!("pod_security_exemptions_total{{{of}=\"\"}} 0\n"),
            "pod_security_exemptions_total{request_operation=\"update\",resource=\"controller\",subresource=\"\"} 1\n"
                .to_owned(),
            format!("pod_security_errors_total{{fatal=\"false\",{of}=\"\"}} 1\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
