//! Probes as cases.

use std::path::Path;

use super::*;

/// `cases/probes.yaml`: a probe, and what comes of it step by step.
///
/// A step: `at` (seconds since the node agent began), `see` (what is known of the container), `says` (`up`, `down`,
/// `unknown`, or nothing), `next`, and `finds` with what is said `then`.
#[test]
fn every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/probes.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut seen = 0;
    for document in text.split("\n---\n") {
        let case: Value = yaml_serde::from_str(document).expect("is YAML");
        run(&case);
        seen += 1;
    }
    assert!(seen > 5, "there are cases");
}

fn run(case: &Value) {
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == case.str("kind")).expect("the case says which");
    let mut machine = Machine::new(kind, case.at("probe"), at(0));
    for (i, step) in case.list("steps").iter().enumerate() {
        let name = format!("{}, step {}", case.str("case"), i + 1);
        let (said, next) = machine.look(&seen(step.at("see")), at(step.int("at")));
        assert_eq!(word(said), step.str("says"), "{name}");
        assert_eq!(format!("{next:?}"), step.str("next"), "{name}");
        if let Some(success) = step.opt_bool("finds") {
            assert_eq!(word(machine.find(success)), step.str("then"), "{name}");
        }
    }
}

fn word(said: Option<Said>) -> &'static str {
    match said {
        None => "",
        Some(None) => "unknown",
        Some(Some(true)) => "up",
        Some(Some(false)) => "down",
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 0).expect("is a time")
}

fn seen(see: &Value) -> Seen {
    Seen {
        id: see.str("id").to_owned(),
        is_running: see.has("since") && !see.bool("ended"),
        started_at: see.opt_int("since").map(at),
        started: see.bool("started"),
        is_over: see.bool("over"),
        is_leaving: see.bool("leaving"),
    }
}
