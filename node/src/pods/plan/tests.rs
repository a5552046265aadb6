//! Plans as cases.

use api::Value;

use super::{Known, Plan, Step, plan};
use crate::pods::cases;

fn line(step: &Step) -> String {
    match step {
        Step::StopPod => "stop pod".into(),
        Step::PurgeInit => "purge init".into(),
        Step::KillContainer { id, message, why, .. } => format!("kill {id} {why:?}: {message}"),
        Step::CreateSandbox { attempt, replaces } => {
            format!("sandbox {attempt}{}", if *replaces { " instead" } else { "" })
        }
        Step::Start { kind, name } => format!("start {kind:?} {name}"),
        Step::BackOff { name, message, .. } => format!("back off {name}: {message}"),
    }
}

fn told(case: &Value) -> Plan {
    let observed = cases::observed(case.at("there"));
    let (probed, backoff) = (cases::probed(case.at("probed")), cases::backoff(case.at("backoff")));
    let now = cases::now(case);
    plan(&cases::pod(case.at("pod")), &observed, &Known { probed: &probed, backoff: &backoff, now })
}

#[test]
fn plans_are_as_the_cases_say() {
    cases::run(include_str!("../../../cases/plan.yaml"), |case| {
        let plan = told(case);
        let steps: Vec<String> = plan.steps.iter().map(line).collect();
        api::value!({
            "steps": steps, "finished": plan.finished, "again": plan.again_at.map(api::time::seconds)
        })
    });
}
