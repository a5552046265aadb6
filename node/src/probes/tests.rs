//! Probing on a clock that only the test moves.

use std::collections::VecDeque;

use super::*;
use crate::{runtime::Output, scripted::Scripted, tell::Told};
use api::value;

struct Running;

impl Clock for Running {
    /// Far behind whenever the container started.
    fn now(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 0).expect("is a time")
    }
}

fn seen(id: &str, started: bool) -> PodSeen {
    let probe = || value!({"exec": {"command": ["x"]}, "periodSeconds": 5, "failureThreshold": 1});
    let pod = value!({"metadata": {"uid": "u"}, "spec": {"containers": [
        {"name": "c", "readinessProbe": probe(), "startupProbe": probe()}]}});
    let own = Seen {
        id: id.into(),
        is_running: true,
        started_at: Some(Running.now()),
        started,
        is_over: false,
        is_leaving: false,
    };
    PodSeen { pod: Arc::new(pod), pod_ip: String::new(), containers: BTreeMap::from([("c".into(), own)]) }
}

fn ended(code: i32) -> Result<Output, runtime::Error> {
    Ok(Output { exit_code: code, ..Output::default() })
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_said_and_told() {
    let (runtime, told) = (Arc::new(Scripted::default()), Arc::new(Told::default()));
    // The startup probe succeeds, the readiness probe fails once, then succeeds.
    *runtime.commands.lock() = VecDeque::from([ended(0), ended(1), ended(0)]);
    let (changed, mut heard) = mpsc::channel(16);
    let prober = Prober::new(runtime.clone(), Arc::new(Running), told.clone(), changed);
    prober.see(seen("a", false));
    let mut wait_for = async |expected: &[(Kind, bool)]| {
        let expected: SaidOf = expected.iter().copied().collect();
        while prober.said("u").get("a") != Some(&expected) {
            assert_eq!(heard.recv().await.as_deref(), Some("u"));
        }
    };
    wait_for(&[(Kind::Readiness, false), (Kind::Startup, true)]).await;
    assert_eq!(runtime.ran.lock().len(), 1, "readiness waits for the start");
    prober.see(seen("a", true));
    wait_for(&[(Kind::Readiness, true), (Kind::Startup, true)]).await;
    assert_eq!(told.take(), ["Warning Unhealthy Readiness probe failed: "]);
    prober.forget("u");
    assert!(prober.said("u").is_empty());
}
