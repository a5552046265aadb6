//! Statuses as cases.

use std::collections::BTreeMap;

use api::Value;

use super::{Facts, Failure, Waiting, derive};
use crate::pods::cases;

#[test]
fn statuses_are_as_the_cases_say() {
    cases::run(include_str!("../../../cases/status.yaml"), |case| {
        let (pod, observed) = (cases::pod(case.at("pod")), cases::observed(case.at("there")));
        let waiting: BTreeMap<String, Waiting> = case
            .at("waiting")
            .members()
            .map(|(name, w)| {
                (name.into(), Waiting { reason: w.str("reason").into(), message: w.str("message").into() })
            })
            .collect();
        let failure = case.at("failure");
        let failure = (!failure.is_null())
            .then(|| Failure { reason: failure.str("reason").into(), message: failure.str("message").into() });
        let old = if case.has("old") { case.at("old") } else { pod.at("status") };
        let told = derive(&Facts {
            pod: &pod,
            old,
            observed: &observed,
            runtime_name: "containerd",
            waiting: &waiting,
            probed: &cases::probed(case.at("probed")),
            host_ips: &["192.0.2.1".to_string()],
            recursive_read_only: false,
            terminal: case.bool("terminal"),
            failure: failure.as_ref(),
            disrupted: None,
            now: cases::now(case),
        });
        let mut shown = told.clone();
        for condition in told.list("conditions") {
            let word = format!("{} {} {}", condition.str("status"), condition.str("reason"), condition.str("message"));
            shown.set_path(&["said", condition.str("type")], Value::from(word.trim()));
        }
        shown
    });
}
