//! Cases for jobs and cron jobs.

use api::{Value, value};

use super::*;
use crate::{
    row::Subresource,
    testing::{context, texts},
};

fn template() -> Value {
    value!({"spec": {
        "restartPolicy": "Never", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": "work", "image": "work:1", "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
        }]
    }})
}

fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut job = value!({"metadata": {"name": "pi", "uid": "1-2-3"}, "spec": {"template": (template())}});
    change(job.entry("spec"));
    jobs::default(&mut job);
    (jobs::ROW.rules.prepare_create)(&mut job, &context());
    job
}

fn found(job: &Value) -> Vec<String> {
    texts(&(jobs::ROW.rules.validate)(job, &context()))
}

#[test]
fn a_job_gets_labels_and_a_selector_of_its_own() {
    let job = job(|_| {});
    assert_eq!(found(&job), Vec::<String>::new());
    let spec = job.at("spec");
    assert_eq!(spec.at("selector"), &value!({"matchLabels": {"batch.kubernetes.io/controller-uid": "1-2-3"}}));
    assert_eq!(spec.at_path(&["template", "metadata", "labels"]).str("job-name"), "pi");
    assert_eq!((spec.int("completions"), spec.int("backoffLimit")), (1, 6));
}

#[test]
fn what_is_wrong_with_a_job_is_said() {
    type Case<'a> = (fn(&mut Value), &'a [&'a str]);
    let cases: [Case<'_>; 5] = [
        (
            |spec| spec.set_path(&["template", "spec", "restartPolicy"], "Always"),
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        ),
        (
            |spec| spec.set("maxFailedIndexes", 1),
            &[
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            |spec| {
                spec.set("podFailurePolicy", value!({"rules": [{"onExitCodes": {"operator": "In", "values": [2, 0]}}]}))
            },
            &[
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \
                 \"Ignore\"]",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0]: must be ordered",
            ],
        ),
        (
            |spec| spec.set("successPolicy", value!({"rules": [{"succeededCount": 1}]})),
            &["spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: \
               requires indexed completion mode"],
        ),
        (
            |spec| {
                spec.set("completionMode", "Indexed");
                spec.set("completions", 3);
                spec.set("successPolicy", value!({"rules": [{"succeededIndexes": "0-1,7", "succeededCount": 4}]}));
            },
            &[
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-1,7\": error parsing succeededIndexes: \
                 too large index: \"7\"",
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number \
                 of specified completions)",
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 0 (the number \
                 of indexes in the specified succeededIndexes field)",
            ],
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(found(&job(change)), expected);
    }
}

#[test]
fn only_a_job_at_rest_may_move() {
    let update = |new: &Value, old: &Value| texts(&(jobs::ROW.rules.validate_update)(new, old, &context()));
    let running = job(|_| {});
    let mut moved = running.clone();
    moved.set_path(&["spec", "template", "spec", "nodeSelector"], value!({"a": "b"}));
    assert_eq!(update(&moved, &running).len(), 1);
    let suspended = job(|spec| spec.set("suspend", true));
    let mut moved = suspended.clone();
    moved.set_path(&["spec", "template", "spec", "nodeSelector"], value!({"a": "b"}));
    assert_eq!(update(&moved, &suspended), Vec::<String>::new());
    let mut scaled = suspended.clone();
    scaled.set_path(&["spec", "completions"], 2);
    assert_eq!(update(&scaled, &suspended), ["spec.completions: Invalid value: 2: field is immutable"]);
}

#[test]
fn a_status_has_to_agree_with_itself() {
    let [Subresource::Status(rules)] = jobs::ROW.subresources else { panic!("a job has a status") };
    let with = |status: Value| {
        let mut job = job(|_| {});
        job.set("status", status);
        job
    };
    let check = |new: Value, old: Value| texts(&(rules.validate)(&with(new), &with(old), &context()));
    let condition = |kind: &str| value!({"type": kind, "status": "True"});
    assert_eq!(check(value!({"active": 1, "ready": 1}), value!({})), Vec::<String>::new());
    assert_eq!(
        check(value!({"active": 1, "ready": 2}), value!({})),
        ["status.ready: Invalid value: 2: cannot set more ready pods than active"]
    );
    assert_eq!(
        check(value!({"conditions": [(condition("Complete"))]}), value!({})),
        [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true \
             condition",
            "status.startTime: Required value: startTime is required for finished job",
        ]
    );
    assert_eq!(
        check(value!({}), value!({"conditions": [(condition("FailureTarget"))], "failed": 1})),
        [
            "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            "status.failed: Invalid value: 0: cannot decrease the failed counter",
        ]
    );
}

#[test]
fn a_cron_job_needs_a_schedule_and_a_zone_that_exist() {
    let cron = |spec: Value| {
        let mut cron = value!({"metadata": {"name": "pi"}, "spec": spec});
        cron.set_path(&["spec", "jobTemplate", "spec", "template"], template());
        cronjobs::default(&mut cron);
        texts(&(cronjobs::ROW.rules.validate)(&cron, &context()))
    };
    assert_eq!(cron(value!({"schedule": "*/5 * * * *", "timeZone": "Europe/Vienna"})), Vec::<String>::new());
    assert_eq!(cron(value!({})), ["spec.schedule: Required value"]);
    assert_eq!(
        cron(value!({"schedule": "x", "timeZone": "Mars/Olympus"})),
        [
            "spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]",
            "spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus",
        ]
    );
    let zoned = cron(value!({"schedule": "TZ=UTC * * * * *"}));
    let expected = "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone \
                    field instead";
    assert_eq!(zoned, [expected]);
}
